"""TorchEngine: answers computed by torch, the fastest way it has on the device."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from vpt_plugin.data.clip_dataset import scale_clips
from vpt_plugin.inference.engines.engine import EngineRequest
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.device import arrange, memory_format, memory_needed


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
            self._classifier = _own(request.classifier).to(self.device)
            arrange(self._classifier, self._dtype)

    def answer(self, slices: Tensor, starts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What the classifier says of some clips of a study; see ``Engine``."""
        enabled = self._dtype == torch.bfloat16
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
            features = self._features(slices, starts)
            logits: Tensor = self._classifier.head(features)
            return logits.float().cpu().double(), features.float().cpu()

    def warm_up(self) -> None:
        """Answer for one clip of air, see ``Engine``."""
        self.answer(torch.zeros(self._clip_shape, dtype=torch.uint8, device=self.device), (0,))

    def _features(self, slices: Tensor, starts: Sequence[int]) -> Tensor:
        """The vectors before the head (clips, features)."""
        length = self._clip_shape[0]
        clips = torch.stack([slices[start : start + length] for start in starts]).unsqueeze(1)
        clips = scale_clips(clips, self._offset).to(memory_format=memory_format(self._dtype))
        return self._classifier.features(clips)


def _own(classifier: Classifier) -> Classifier:
    """A copy that nobody trains; where there is nothing to train, there is nothing to copy."""
    mine = copy.deepcopy(classifier) if any(True for _ in classifier.parameters()) else classifier
    return mine.eval().requires_grad_(False)
