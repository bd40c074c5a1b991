"""What a network takes at the least on a device: its products at the device's peak, or their memory traffic.

The floor of a clip is the longer of two times: all of its operations at the peak that was measured with a
large matrix product, and the inputs and outputs of its convolutions and linear layers, each once through the
memory at the rate of a large copy. Products within attention cost no traffic, and all that lies between the
products costs nothing, because it could be fused into them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import Classifier, new_classifier

# Worked out beforehand for an H200 (790 TFLOP/s in bfloat16, 4.3 TB/s), in milliseconds per clip.
H200_MS: Mapping[str, float] = MappingProxyType(
    {
        "slow_r50": 0.42, "slowfast_r50": 0.15, "csn_r101": 0.29, "r2plus1d_r50": 0.40, "mvit_b": 0.43,
        "swin_t": 0.22, "penet": 0.14,
    }
)  # fmt: skip
# A way back computes the gradients of inputs and of weights: two products for each of the way there.
STEP_PRODUCTS = 3
# AdamW reads weight, gradient and two moments, and writes weight and moments, in float32.
_OPTIMIZER_BYTES = 7 * 4
_BYTES = 2  # of a number in bfloat16
_LAYERS = (torch.ops.aten.convolution, torch.ops.aten.addmm, torch.ops.aten.mm)
_MATRIX, _COPY_BYTES, _ROUNDS = 8192, 2**30, 7


@dataclass(frozen=True)
class Work:
    """Of a forward pass: operations (2 x multiply-add), and bytes of inputs and outputs in bfloat16."""

    operations: float
    bytes: float


@dataclass(frozen=True)
class Peaks:
    """What a device does at the most: operations and bytes per second."""

    operations: float
    bytes: float

    def seconds(self, work: Work) -> float:
        """At the least, for some work."""
        return max(work.operations / self.operations, work.bytes / self.bytes)


def forward_floor_ms(network: str, device_name: str, peaks: Peaks) -> float:
    """Milliseconds per clip: those of the notes on an H200, else from what was measured of the device."""
    if "H200" in device_name:
        return H200_MS[network]
    return 1000 * peaks.seconds(work_of(network))


def step_floor_ms(network: str, clips: int, forward_ms: float, peaks: Peaks) -> float:
    """Milliseconds of an optimizer step on so many clips: there, back, and the weights once through AdamW."""
    weights = sum(each.numel() for each in new_classifier(get_model(network), ("finding",)).parameters())
    return STEP_PRODUCTS * clips * forward_ms + 1000 * weights * _OPTIMIZER_BYTES / peaks.bytes


def work_of(network: str) -> Work:
    """What one clip through a network is; nothing is computed."""
    spec = get_model(network)
    classifier: Classifier = new_classifier(spec, ("finding",)).to("meta").eval()
    clip = torch.empty(1, 1, spec.clip_slices, spec.crop_px, spec.crop_px, device="meta")
    with torch.no_grad(), _Products() as seen:
        classifier(clip)
    return Work(seen.operations, _BYTES * seen.numbers)


def measure_peaks(device: torch.device) -> Peaks:
    """Of a large product in bfloat16, and of a large copy, which reads and writes."""
    left = torch.randn(_MATRIX, _MATRIX, device=device, dtype=torch.bfloat16)
    right = torch.randn(_MATRIX, _MATRIX, device=device, dtype=torch.bfloat16)
    source = torch.empty(_COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product = _median_seconds(lambda: torch.mm(left, right), device)
    copy = _median_seconds(lambda: target.copy_(source), device)
    return Peaks(2 * _MATRIX**3 / product, 2 * _COPY_BYTES / copy)


class _Products(TorchDispatchMode):
    """Counts every operation that torch's own counter knows."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0.0
        self.numbers = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        product = func.overloadpacket
        counted = flop_registry.get(product)
        if counted is not None:
            self.operations += counted(*args, **(kwargs or {}), out_val=out)
        if product in _LAYERS:
            self.numbers += sum(each.numel() for each in (*args, out) if isinstance(each, torch.Tensor))
        return out


def _median_seconds(run: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(_ROUNDS + 1):
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        run()
        torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])
