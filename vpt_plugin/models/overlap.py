"""What overlapping clips have in common: the part of a network that looks at every slice by itself.

The maps that such a part makes of a slice are the same in every clip that holds the slice, so that they need
to be computed once. Of the seven networks Slow R50 has one that is worth it: its stem and its first two
stages, 40 % of its work. In R(2+1)D it is the stem alone, 6 % of the work, whose maps are as large as the
largest there are; in the others the first convolution already reaches across slices.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from torch import Tensor, nn

from vpt_plugin.models.backbones import ResNetBackbone, sliding_mean
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.onednn import FusedConvolution

# What treats every value, or every channel, by itself once it is set to evaluation.
_POINTWISE = (nn.BatchNorm3d, nn.Dropout, nn.Identity, nn.ReLU)
_WINDOWED = (nn.AvgPool3d, nn.Conv3d, FusedConvolution, nn.MaxPool3d)
# The stem alone is little work, and to keep its maps costs as much as to compute them.
_LEAST_STAGES = 2


class _AcrossSlices(nn.Module):
    """The stages of a ResNet from the first one that reaches across slices, and the mean over its maps."""

    def __init__(self, stages: nn.Sequential, window: tuple[int, int, int]) -> None:
        super().__init__()
        self.stages = stages
        self.window = window

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, slices, rows, columns) -> (batch, feature_dim)."""
        return sliding_mean(self.stages(maps), self.window)


def per_slice_part(classifier: Classifier) -> tuple[nn.Module, nn.Module] | None:
    """The part of a network that looks at every slice by itself, and the rest up to the head.

    Both hold the classifier's own modules. It must be set to evaluation: in training, batch norm looks at
    all slices together.

    Args:
        classifier: any; whatever was folded or put in another order in memory stays so.

    Returns:
        The trunk, clips (batch, 1, slices, rows, columns) to maps (batch, channels, slices, rows, columns),
        and the rest, maps to features (batch, feature_dim); None where there is no trunk that is worth it.
    """
    backbone = getattr(classifier, "backbone", None)  # whatever answers for clips may be in its place
    if not isinstance(backbone, ResNetBackbone):
        return None
    stages = list(backbone.blocks)
    alone = len(list(takewhile(_sees_slices_alone, stages)))
    if alone < _LEAST_STAGES:
        return None
    return backbone.blocks[:alone], _AcrossSlices(backbone.blocks[alone:], backbone.window)


def _sees_slices_alone(stage: nn.Module) -> bool:
    """Whether no module in a stage reaches from one slice to another; what it does not know might."""
    return all(_is_alone(module) for module in stage.modules() if not list(module.children()))


def _is_alone(module: nn.Module) -> bool:
    if isinstance(module, _POINTWISE):
        return True
    return isinstance(module, _WINDOWED) and all(
        _along_slices(getattr(module, name)) == value
        for name, value in (("kernel_size", 1), ("stride", 1), ("padding", 0))
    )


def _along_slices(value: Any) -> Any:
    """The first of three numbers, or the one that stands for all three."""
    return value if isinstance(value, (int, str)) else value[0]
