"""Where a network is trained, and in which precision: the same for its steps and its validations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.precision import settle_precision


@dataclass(frozen=True)
class Placement:
    """Where the network is trained, and in which precision its products are computed."""

    device: torch.device
    dtype: torch.dtype

    @classmethod
    def serving(cls, card: ModelCard, device: torch.device, asked: str = "auto") -> Placement:
        """Where and in which precision a version answers, as torch serves it."""
        return cls(device, getattr(torch, settle_precision(card, device, asked).precision))


class MixedPrecision:
    """Calls the network in the placement's precision; what MONAI calls an inferer.

    MONAI's own mixed precision knows CUDA only.

    Args:
        placement: of the network.

    Attributes:
        frozen: parts that are not trained; they stay in evaluation mode, or their batch norms would drift.
    """

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self.frozen: Sequence[nn.Module] = ()

    def __call__(self, clips: Tensor, network: nn.Module) -> Tensor:
        """(clips, 1, slices, rows, columns) -> logits (clips, findings), float32."""
        for part in self.frozen:
            part.eval()
        enabled = self._placement.dtype == torch.bfloat16
        with torch.autocast(self._placement.device.type, torch.bfloat16, enabled=enabled):
            logits: Tensor = network(clips)
        return logits.float()


@contextmanager
def repeatable_convolutions() -> Iterator[None]:
    """Let cuDNN choose, within the block, only among algorithms that give the same bits every time.

    It holds for the whole process. Elsewhere than on CUDA it changes nothing.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    # Benchmarking takes what was fastest just now, which may be another one the next time.
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before
