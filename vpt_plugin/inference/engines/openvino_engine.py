"""OpenVinoEngine: answers computed by OpenVINO on the CPU, checked against torch's before the first one."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import vpt_plugin
from vpt_plugin.errors import BackendDisagreesError, ConfigurationError, VptError
from vpt_plugin.inference.engines.compiled_cache import CompiledCache
from vpt_plugin.inference.engines.engine import Engine, EngineRequest
from vpt_plugin.inference.engines.openvino_network import (
    CompiledNetwork,
    convert,
    installed_version,
    is_installed,
    processor,
)
from vpt_plugin.inference.engines.torch_engine import TorchEngine
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.spec import ModelSpec

# By how much a probability of the clips of ``check_clips`` may differ from torch's in float32.
ALLOWED_SHIFT = {"float32": 1e-4, "bfloat16": 0.01}
# Its group norms cost OpenVINO as much as its convolutions, so that torch is faster; `auto` takes torch.
_FASTER_BY_TORCH = frozenset({"penet"})
# Rises when what is computed or kept changes, so that older entries of the cache are left.
_LAYOUT = 2
_COMPILED, _EXPECTED = "compiled.blob", "expected.json"
_logger = logging.getLogger(__name__)


class OpenVinoEngine:
    """A classifier compiled by OpenVINO; see ``Engine``.

    Attributes:
        name, device, precision, notes: see ``Engine``.

    Args:
        network: the compiled classifier.
        request: what it was made from.
    """

    name = "openvino"

    def __init__(self, network: CompiledNetwork, request: EngineRequest) -> None:
        self.device = request.device
        self.precision = request.precision
        self.notes = request.notes
        self._network = network
        self._clip_shape = request.clip_shape

    def answer(self, slices: Tensor, starts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What the classifier says of some clips of a study, one after the other; see ``Engine``."""
        length = self._clip_shape[0]
        of_study = slices.numpy()
        answers = [self._network.answer(of_study[start : start + length]) for start in starts]
        logits, features = (torch.from_numpy(np.stack(part)) for part in zip(*answers, strict=True))
        return logits.double(), features

    def warm_up(self) -> None:
        """Answer for one clip of air, see ``Engine``."""
        self.answer(torch.zeros(self._clip_shape, dtype=torch.uint8), (0,))


def openvino_is_faster(spec: ModelSpec, device: torch.device) -> bool:
    """Whether OpenVINO is installed, can compute a network on this device, and does so faster than torch."""
    if device.type != "cpu" or not is_installed():
        return False
    return not _cannot(spec) and spec.name not in _FASTER_BY_TORCH


def openvino_suits(request: EngineRequest) -> bool:
    """Whether ``auto`` takes OpenVINO: it is faster, and the start is quick or pays."""
    if not openvino_is_faster(request.classifier.spec, request.device):
        return False
    if request.many_studies:
        return True
    try:
        return CompiledCache(request.cache).has(_facts(request))
    except ConfigurationError:
        return True  # it does not run here; making the engine says why


def make_openvino_engine(request: EngineRequest) -> OpenVinoEngine:
    """The engine for a request: compiled before and kept, or compiled now and kept for the next start.

    Every time its answers for a few fixed clips are compared with torch's in float32.

    Raises:
        ConfigurationError: OpenVINO is not installed, does not run here, or cannot convert or compute the
            network.
        BackendDisagreesError: a probability differs from torch's by more than ``ALLOWED_SHIFT``.
        DeviceMemoryError: the network does not fit into the memory.
    """
    if request.device.type != "cpu":
        raise ConfigurationError(
            f"the backend openvino computes on the CPU, not on {request.device};",
            "choose the device cpu, or the backend torch.",
        )
    if cause := _cannot(request.classifier.spec):
        raise ConfigurationError(cause, "Choose the backend torch.")
    facts = _facts(request)
    cache = CompiledCache(request.cache)
    if engine := _load(request, cache, facts):
        return engine
    with cache.making(facts):
        # Another process may have made it while this one waited.
        return _load(request, cache, facts) or _make(request, cache, facts)


def check_clips(clip_shape: tuple[int, int, int]) -> list[NDArray[np.uint8]]:
    """The clips on which a compiled network is compared with torch: air, a body with vessels, and noise.

    Args:
        clip_shape: (slices, rows, columns).

    Returns:
        uint8 clips of that shape, the same ones every time.
    """
    slices, rows, columns = clip_shape
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in clip_shape), indexing="ij")
    body = np.where((x / 0.9) ** 2 + (y / 0.7) ** 2 < 1, 150.0, 0.0)
    lungs = ((np.abs(x) - 0.4) / 0.3) ** 2 + (y / 0.5) ** 2 + (z / 1.5) ** 2 < 1
    vessels = 90 * (np.sin(9 * x + 3 * z) * np.sin(8 * y - 2 * z) > 0.6)
    chest = np.where(lungs, 20 + vessels, body)
    noise = np.random.default_rng(0).integers(0, 256, size=clip_shape)
    air = np.zeros((slices, rows, columns))
    return [clip.astype(np.uint8) for clip in (air, chest, noise)]


def _cannot(spec: ModelSpec) -> str:
    """Why OpenVINO cannot compute this network at all; empty where it can."""
    if spec.ignores_filling:
        # It reads as many slices as a study has, and a compiled network always takes the same number.
        return f"{spec.name} reads clips of any length, and OpenVINO is given networks of a fixed one."
    return ""


def _load(request: EngineRequest, cache: CompiledCache, facts: dict[str, Any]) -> OpenVinoEngine | None:
    """The engine of the network as it was compiled before; None where none is kept that OpenVINO takes."""
    files = cache.load(facts)
    if files is None:
        return None
    try:
        network = CompiledNetwork.from_bytes(files[_COMPILED], request.precision, torch.get_num_threads())
    except VptError:
        raise
    except Exception as error:  # of OpenVINO, and of many classes
        _logger.warning(
            "OpenVINO does not take the network it compiled before (%s): it is made again.", error
        )
        cache.remove(facts)
        return None
    return _checked(network, request, np.array(json.loads(files[_EXPECTED])))


def _make(request: EngineRequest, cache: CompiledCache, facts: dict[str, Any]) -> OpenVinoEngine:
    """Convert, compile and check a network, and keep it where it says the same as torch."""
    spec = request.classifier.spec
    _logger.info("%s is made ready by OpenVINO; that takes a while once per version.", spec.name)
    expected = _logits(TorchEngine(replace(request, precision="float32")), request)
    with _or_configuration_error(f"convert {spec.name}"):
        mine = copy.deepcopy(request.classifier).eval().requires_grad_(False)
        model = convert(mine, request.task.offset, request.clip_shape)
        network = CompiledNetwork.compile(model, request.precision, torch.get_num_threads())
    engine = _checked(network, request, expected)
    with _or_configuration_error(f"export {spec.name}"):
        content = network.to_bytes()
    cache.store(facts, {_COMPILED: content, _EXPECTED: json.dumps(expected.tolist()).encode()})
    return engine


def _checked(
    network: CompiledNetwork, request: EngineRequest, expected: NDArray[np.float64]
) -> OpenVinoEngine:
    """The engine of a network that gives the clips of the check the probabilities that torch gives them.

    Args:
        network: compiled now or before.
        request: what it was made from.
        expected: torch's logits of these clips (clips, findings).
    """
    name = request.classifier.spec.name
    engine = OpenVinoEngine(network, request)
    with _or_configuration_error(f"compute {name}"):
        logits = _logits(engine, request)
    shift = _largest_shift(logits, expected, request.card.temperature)
    allowed = ALLOWED_SHIFT[request.precision]
    if shift > allowed:
        raise BackendDisagreesError(
            f"OpenVINO {installed_version()} differs from torch by {shift:.4f} in a probability of "
            f"{name} (allowed in {request.precision}: {allowed}).",
            "Choose the backend torch.",
        )
    return engine


@contextmanager
def _or_configuration_error(what: str) -> Iterator[None]:
    """Tell an error of OpenVINO, or of torch's export, as one that ``auto`` falls back to torch for."""
    try:
        yield
    except VptError:
        raise
    except Exception as error:  # of either library, and of many classes
        raise ConfigurationError(
            f"OpenVINO {installed_version()} cannot {what} ({type(error).__name__}: {error}).",
            "Choose the backend torch.",
        ) from error


def _logits(engine: Engine, request: EngineRequest) -> NDArray[np.float64]:
    """Logits (clips, findings) that an engine gives the clips of the check."""
    clips = [torch.from_numpy(clip) for clip in check_clips(request.clip_shape)]
    logits: NDArray[np.float64] = torch.cat([engine.answer(clip, (0,))[0] for clip in clips]).numpy()
    return logits


def _largest_shift(logits: NDArray[np.float64], expected: NDArray[np.float64], temperature: float) -> float:
    """By how much a probability, as the version tells it, differs at most; infinite if one is no number."""
    answers, wanted = (torch.sigmoid(torch.from_numpy(each) / temperature) for each in (logits, expected))
    shift = float((answers - wanted).abs().max())
    return shift if np.isfinite(shift) else float("inf")


def _facts(request: EngineRequest) -> dict[str, Any]:
    """What decides what the compiled network computes, and on which processors."""
    with _or_configuration_error("tell what this processor is"):
        runs_on = processor()
    return {
        "layout": _LAYOUT,
        "vpt_plugin": vpt_plugin.__version__,
        "torch": str(torch.__version__),
        "weights": _digest(request.classifier),
        "network": request.classifier.spec.name,
        "offset": request.task.offset,
        "clip": list(request.clip_shape),
        "precision": request.precision,
        **runs_on,
    }


def _digest(classifier: Classifier) -> str:
    """SHA-256 of the weights as they are, and not as a card says: they may have been trained since."""
    digest = hashlib.sha256()
    for name, entry in classifier.state_dict().items():
        digest.update(f"{name} {entry.dtype} {tuple(entry.shape)}".encode())
        digest.update(entry.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
