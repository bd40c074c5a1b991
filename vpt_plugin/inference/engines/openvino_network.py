"""What OpenVINO is asked to do: convert a classifier, compile it for this processor, compute with it.

OpenVINO is the extra ``openvino`` and is imported when it is used. When it is imported, and with every
conversion, it would report to its makers over the network; that is switched off first.
"""

from __future__ import annotations

import io
import sys
import threading
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vpt_plugin.data.clip_dataset import scale_clips
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.classifier import Classifier

# What OpenVINO calls our precisions.
_NUMBERS = {"float32": "f32", "bfloat16": "bf16"}
_REPORTER = "openvino_telemetry"


@cache
def is_installed() -> bool:
    """Whether OpenVINO is there, looked for once; it is not imported for that."""
    return find_spec("openvino") is not None


def installed_version() -> str:
    """OpenVINO's version; empty where it is not installed."""
    try:
        return version("openvino")
    except PackageNotFoundError:
        return ""


def openvino() -> Any:
    """OpenVINO's module, which reports nothing to anybody.

    Raises:
        ConfigurationError: it is not installed, or does not run on this computer.
    """
    _stop_reports()
    try:
        import openvino as module
    except (ImportError, OSError, RuntimeError) as error:
        cause = "is not installed" if not is_installed() else f"does not run on this computer ({error})"
        raise ConfigurationError(
            f"the backend openvino was asked for, and OpenVINO {cause}.",
            "Install it with `pip install 'vptct[openvino]'`, or choose the backend torch.",
        ) from error
    return module


def _stop_reports() -> None:
    """Keep OpenVINO from reporting: it does without the package that would, where that cannot be imported."""
    reporter: Any = sys.modules.get(_REPORTER)
    if reporter is None:
        sys.modules[_REPORTER] = None  # type: ignore[assignment]
        return
    # Somebody else imported it before, and with it perhaps OpenVINO: there is one object for the process.
    reporter.Telemetry.consent = property(lambda _self: False, lambda _self, _value: None)


class _ClipNetwork(nn.Module):
    """A classifier from the bytes of one clip to what it says of it."""

    def __init__(self, classifier: Classifier, offset: float) -> None:
        super().__init__()
        self.classifier = classifier
        self.offset = offset

    def forward(self, slices: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (slices, rows, columns) -> logits (1, findings) and features (1, features)."""
        features = self.classifier.features(scale_clips(slices[None, None], self.offset))
        return self.classifier.head(features), features


def convert(classifier: Classifier, offset: float, clip_shape: tuple[int, int, int]) -> Any:
    """A classifier as OpenVINO's model of one clip of this shape, in float32.

    The graph is taken by ``torch.export``. Running the network and writing down what it did gives one that is
    as fast, and torch warns that this is deprecated.

    Args:
        classifier: in evaluation mode, on the CPU.
        offset: of the task.
        clip_shape: (slices, rows, columns).

    Raises:
        RuntimeError and others of torch and OpenVINO: it cannot be converted.
    """
    module = openvino()
    clip = torch.zeros(clip_shape, dtype=torch.uint8)
    with torch.no_grad():
        exported = torch.export.export(_ClipNetwork(classifier, offset).eval(), (clip,))
        # OpenVINO leaves the size open that torch has fixed, and so it stays: told the size, it is no faster,
        # and OpenVINO 2026.4 crashes on PENet.
        return module.convert_model(exported)


def processor() -> dict[str, str]:
    """What a compiled network depends on besides itself: OpenVINO's version and the processor."""
    module = openvino()
    core = module.Core()
    return {
        "openvino": module.get_version(),
        "processor": core.get_property("CPU", "FULL_DEVICE_NAME").strip(),
        "abilities": " ".join(sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))),
    }


class CompiledNetwork:
    """A network compiled for this processor. One thread computes at a time, others wait.

    Args:
        compiled: OpenVINO's compiled model of ``convert``'s.
    """

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        self._lock = threading.Lock()

    @classmethod
    def compile(cls, model: Any, precision: str, threads: int) -> CompiledNetwork:
        """Compile what ``convert`` gave.

        Args:
            model: OpenVINO's model.
            precision: ``float32`` or ``bfloat16``.
            threads: of the processor to use.
        """
        return cls(openvino().Core().compile_model(model, "CPU", _settings(precision, threads)))

    @classmethod
    def from_bytes(cls, content: bytes, precision: str, threads: int) -> CompiledNetwork:
        """What ``to_bytes`` gave on the same processor, by the same version of OpenVINO.

        Raises:
            RuntimeError: OpenVINO does not take it.
        """
        return cls(openvino().Core().import_model(content, "CPU", _settings(precision, threads)))

    def to_bytes(self) -> bytes:
        """The compiled network, for ``from_bytes``."""
        content = self._compiled.export_model()
        return content.getvalue() if isinstance(content, io.BytesIO) else bytes(content)

    def answer(self, clip: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits (findings,) and features (features,) of one clip (slices, rows, columns)."""
        module = openvino()
        with self._lock:
            self._request.infer({0: module.Tensor(np.ascontiguousarray(clip), shared_memory=True)})
            # Copies: the next clip's answer is written to the same place.
            logits, features = (self._request.get_output_tensor(index).data[0].copy() for index in (0, 1))
        return logits, features


def _settings(precision: str, threads: int) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": _NUMBERS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        # Several processes may share this computer, and each would pin its threads to the first cores.
        "ENABLE_CPU_PINNING": False,
    }
