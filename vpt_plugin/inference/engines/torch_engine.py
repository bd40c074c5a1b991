"""TorchEngine: answers computed by torch, the fastest way it has on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vpt_plugin.data.clip_dataset import scale_clips
from vpt_plugin.inference.batch_size import first_batch
from vpt_plugin.inference.engines.engine import EngineRequest
from vpt_plugin.inference.engines.shared_slices import SLICES_AT_ONCE, SharedSlices
from vpt_plugin.inference.engines.torch_ready import made_ready
from vpt_plugin.models.device import full_float32, memory_format, memory_needed
from vpt_plugin.models.overlap import per_slice_part


class TorchEngine:
    """A classifier made ready for torch; see ``Engine``.

    Attributes:
        name, device, precision, notes: see ``Engine``.

    Args:
        request: what to make it from.

    Raises:
        DeviceMemoryError: the network does not fit into the device's memory.
    """

    name = "torch"

    def __init__(self, request: EngineRequest) -> None:
        self.notes = request.notes
        self.device = request.device
        self.precision = request.precision
        self._dtype = getattr(torch, request.precision)
        self._clip_shape = request.clip_shape
        self._offset = request.task.offset
        with memory_needed(self.device, "the network does not fit"):
            self._classifier = made_ready(request.classifier, self.device, self._dtype)
        self._shared = self._shared_slices()

    @property
    def shares_slices(self) -> bool:
        """Whether overlapping clips of a study are computed with less work."""
        return self._shared is not None

    def answer(self, slices: Tensor, starts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What the classifier says of some clips of a study; see ``Engine``."""
        enabled = self._dtype == torch.bfloat16
        exact = full_float32(self.device)  # in bfloat16, too, some layers compute in float32
        with exact, torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
            features = self._features(slices, starts)
            logits: Tensor = self._classifier.head(features)
            return logits.float().cpu().double(), features.float().cpu()

    def warm_up(self) -> None:
        """Answer for air, as many clips at once as will be asked for; see ``Engine``."""
        clips = first_batch(self.device, single_slices=self._clip_shape[0] == 1)
        self.answer(torch.zeros(self._clip_shape, dtype=torch.uint8, device=self.device), (0,) * clips)

    def _shared_slices(self) -> SharedSlices | None:
        """What computes overlapping clips with less work; None where the network has no part for it."""
        parts = per_slice_part(self._classifier)
        length = self._clip_shape[0]
        at_once = SLICES_AT_ONCE if self.device.type == "cpu" else length
        return parts and SharedSlices(*parts, self._seen, length=length, at_once=at_once)

    def _features(self, slices: Tensor, starts: Sequence[int]) -> Tensor:
        """The vectors before the head (clips, features)."""
        if self._shared is not None:
            return self._shared.features(slices, starts)
        length = self._clip_shape[0]
        clips = torch.stack([slices[start : start + length] for start in starts])
        return self._classifier.features(self._seen(clips))

    def _seen(self, slices: Tensor) -> Tensor:
        """Slices, or clips of them, as the network takes them: (clips, 1, slices, rows, columns)."""
        clips = slices.view(-1, 1, *slices.shape[-3:])
        return scale_clips(clips, self._offset).to(memory_format=memory_format(self._dtype))
