"""Tiny: a small 3D network that learns phantoms in a minute on two cores; for the demo and for tests.

A lesion is small and lies anywhere in a clip, so a quarter of the in-plane resolution is kept to the end and
the strongest response in the clip is taken: in an average over the clip it would drown. There is no paper
and there are no published weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Tiny(nn.Module):
    """Stem, one reduction, residual blocks, the maximum over the clip.

    Args:
        in_channels: of the clip.
        width: channels of the stem; the blocks have twice as many.
        blocks: number of residual blocks.
        classes: outputs.
    """

    def __init__(self, *, in_channels: int = 3, width: int = 16, blocks: int = 3, classes: int = 1) -> None:
        super().__init__()
        self.stem = _conv_norm_relu(in_channels, width, kernel=(3, 5, 5), stride=(1, 2, 2))
        self.reduce = _conv_norm_relu(width, 2 * width, kernel=(3, 3, 3), stride=(2, 2, 2))
        self.blocks = nn.Sequential(*(_Residual(2 * width) for _ in range(blocks)))
        self.head = nn.Linear(2 * width, classes)

    def forward(self, clips: Tensor) -> Tensor:
        """(batch, channels, slices, rows, columns) -> logits (batch, classes)."""
        maps: Tensor = self.blocks(self.reduce(self.stem(clips)))
        # Features are float32 in mixed precision, too, as those of the other networks.
        logits: Tensor = self.head(maps.amax(dim=(2, 3, 4)).float())
        return logits


class _Residual(nn.Module):
    """Two convolutions added to what came in; begins as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv_norm_relu(channels, channels, kernel=(3, 3, 3), stride=(1, 1, 1))
        self.second = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm3d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(maps + self.norm(self.second(self.first(maps))))


def _conv_norm_relu(
    channels: int, out: int, *, kernel: tuple[int, int, int], stride: tuple[int, int, int]
) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Sequential(
        nn.Conv3d(channels, out, kernel, stride, padding, bias=False),
        nn.BatchNorm3d(out),
        nn.ReLU(inplace=True),
    )
