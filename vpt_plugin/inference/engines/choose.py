"""Which engine computes: the fastest that this computer has, or the one asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.inference.engines.engine import BACKENDS, Engine, EngineRequest
from vpt_plugin.inference.engines.torch_engine import TorchEngine
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.device import choose_device, choose_dtype
from vpt_plugin.tasks import ReadingTask

# Says which backend is meant where none is asked for.
VARIABLE = "VPT_BACKEND"


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
        precision: as in ``choose_dtype``.
        backend: one of ``BACKENDS``; ``auto`` takes the one that ``VPT_BACKEND`` names, else the fastest that
            suits.
        cache: folder for what is compiled once per version; None takes the backend's own place.
        many_studies: whether so many studies are to come that a slow start pays.

    Raises:
        ConfigurationError: unknown device, precision or backend, or one that is not installed.
        DeviceMemoryError: the network does not fit into the device's memory.
    """
    asked = check_backend(backend)
    place = choose_device(device)
    numbers = str(choose_dtype(place, precision)).removeprefix("torch.")
    request = EngineRequest(classifier, task, card, place, numbers, cache, many_studies)
    if asked == "auto":
        asked = next(name for name, each in _BACKENDS.items() if each.suits(request))
    return _BACKENDS[asked].make(request)


def check_backend(name: str) -> str:
    """The backend of that name; for ``auto`` what ``VPT_BACKEND`` says.

    Raises:
        ConfigurationError: none of ``BACKENDS``; says where the name comes from.
    """
    source = "backend"
    if name == "auto" and VARIABLE in os.environ:
        source, name = VARIABLE, os.environ[VARIABLE]
    if name not in BACKENDS:
        raise ConfigurationError(f"unknown {source} {name!r};", f"choose from {', '.join(BACKENDS)}.")
    return name
