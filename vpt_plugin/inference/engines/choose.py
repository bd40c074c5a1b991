"""Which engine computes: the fastest that this computer has, or the one asked for."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from vpt_plugin.errors import BackendDisagreesError, ConfigurationError
from vpt_plugin.inference.engines.engine import BACKENDS, Engine, EngineRequest
from vpt_plugin.inference.engines.openvino_engine import (
    make_openvino_engine,
    openvino_is_faster,
    openvino_suits,
)
from vpt_plugin.inference.engines.torch_engine import TorchEngine
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.device import choose_device
from vpt_plugin.models.precision import FULL, settle_precision
from vpt_plugin.models.spec import ModelSpec
from vpt_plugin.tasks import ReadingTask

# Says which backend is meant where none is asked for.
VARIABLE = "VPTCT_BACKEND"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backend:
    """One way to compute.

    Attributes:
        suits: whether ``auto`` takes it for a request.
        make: makes the engine; where it was asked for by name and cannot be had, it raises.
    """

    suits: Callable[[EngineRequest], bool]
    make: Callable[[EngineRequest], Engine]


# The fastest first: ``auto`` takes the first that suits.
_BACKENDS: MappingProxyType[str, Backend] = MappingProxyType(
    {
        "openvino": Backend(suits=openvino_suits, make=make_openvino_engine),
        "torch": Backend(suits=lambda _request: True, make=TorchEngine),
    }
)


def make_engine(
    classifier: Classifier,
    task: ReadingTask,
    card: ModelCard,
    *,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    cache: Path | None = None,
    many_studies: bool = False,
) -> Engine:
    """The engine that a classifier's answers come from.

    Args:
        classifier: never changed; the engine has a copy of its own.
        task: says how a study is read.
        card: of the classifier.
        device: as in ``choose_device``.
        precision: as in ``settle_precision``.
        backend: one of ``BACKENDS``; ``auto`` takes the one that ``VPTCT_BACKEND`` names, else the fastest
            that suits, and may compute in reduced precision where any may.
        cache: folder for what is compiled once per version; None takes the backend's own place.
        many_studies: whether so many studies are to come that a slow start pays.

    Raises:
        ConfigurationError: unknown device, precision or backend, or one that is not installed.
        DeviceMemoryError: the network does not fit into the device's memory.
    """
    asked = check_backend(backend)
    place = choose_device(device)

    def request(name: str) -> EngineRequest:
        settled = settle_precision(card, place, precision, name)
        notes = (settled.why.rstrip("."),) if settled.to_tell else ()
        return EngineRequest(classifier, task, card, place, settled.precision, cache, many_studies, notes)

    if asked == "auto":
        suiting = [name for name, each in _BACKENDS.items() if each.suits(request(name))]
        chosen = _fastest(suiting, lambda name: request(name).precision)
        return _make_or_fall_back(chosen, request, ConfigurationError)
    return _make_or_fall_back(asked, request, BackendDisagreesError)


def _fastest(names: Sequence[str], precision_of: Callable[[str], str]) -> str:
    """Of backends, the faster first, the one to take: half the bits gain more than another backend does."""
    return next((name for name in names if precision_of(name) != FULL), names[0])


def _make_or_fall_back(
    name: str, request: Callable[[str], EngineRequest], passed_over: type[ConfigurationError]
) -> Engine:
    """The engine of a backend; torch's with a note where that backend raises one of these errors."""
    try:
        return _BACKENDS[name].make(request(name))
    except passed_over as error:
        if name == "torch":
            raise
        note = f"{error.message.rstrip('.')}; torch computes instead"
        _logger.warning("%s.", note)
        with_torch = request("torch")
        return _BACKENDS["torch"].make(replace(with_torch, notes=(*with_torch.notes, note)))


def expected_backend(
    spec: ModelSpec,
    device: str,
    backend: str = "auto",
    *,
    card: ModelCard | None = None,
    precision: str = "auto",
) -> str:
    """What ``make_engine`` takes for a network where many studies are to come, unless that backend fails.

    Args:
        spec: of the network.
        device: as in ``choose_device``.
        backend: one of ``BACKENDS``.
        card: of the version; None asks what is fastest for one that may answer in reduced precision by all.
        precision: as in ``settle_precision``.

    Raises:
        ConfigurationError: unknown device, backend or precision.
    """
    asked = check_backend(backend)
    if asked != "auto":
        return asked
    place = choose_device(device)
    names = ["openvino", "torch"] if openvino_is_faster(spec, place) else ["torch"]
    if card is None:
        return names[0]
    return _fastest(names, lambda name: settle_precision(card, place, precision, name).precision)


def check_backend(name: str) -> str:
    """The backend of that name; for ``auto`` what ``VPTCT_BACKEND`` says.

    Raises:
        ConfigurationError: none of ``BACKENDS``; says where the name comes from.
    """
    source = "backend"
    if name == "auto" and VARIABLE in os.environ:
        source, name = VARIABLE, os.environ[VARIABLE]
    if name not in BACKENDS:
        raise ConfigurationError(f"unknown {source} {name!r};", f"choose from {', '.join(BACKENDS)}.")
    return name
