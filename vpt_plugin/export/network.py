"""The network that leaves the house: logits of clips in float32, and what became of it held against it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vpt_plugin.errors import BackendDisagreesError, ConfigurationError
from vpt_plugin.export.facts import Exported
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.folding import fold_batch_norm

# By how much an exported network may differ from torch: in a logit (as a share of the largest one, where that
# is above 1), and so by less than that in a probability.
TOLERANCE = 1e-4
_CHECKED_CLIPS = 2


class ClipLogits(nn.Module):
    """A classifier without our own checks, which no exporter understands: clips in, logits out."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.backbone = classifier.backbone
        self.head = classifier.head

    def forward(self, clips: Tensor) -> Tensor:
        """(batch, 1, slices, rows, columns) -> (batch, findings)."""
        logits: Tensor = self.head(self.backbone(clips))
        return logits


def network_of(classifier: Classifier) -> ClipLogits:
    """A copy of a classifier for export, on the CPU, in float32, for answering only.

    Raises:
        ConfigurationError: it reads as many slices as a study has, which no exported network can.
    """
    if classifier.spec.ignores_filling:
        raise ConfigurationError(
            f"{classifier.spec.name} cannot be exported: it leaves out the air that short studies are filled "
            "up with, and an exported network takes clips of one length only.",
            "Move it with `vpt versions export`, or export another network.",
        )
    return ClipLogits(copy.deepcopy(classifier)).cpu().float().eval().requires_grad_(False)


def folded(network: ClipLogits) -> ClipLogits:
    """A copy with its batch norms in the convolutions before them: fewer steps to write, and to compute."""
    copied = copy.deepcopy(network)
    fold_batch_norm(copied)
    return copied


def clips_to_try(exported: Exported, count: int = _CHECKED_CLIPS) -> Tensor:
    """Clips to try a network with: noise of 4 x 4 x 4 cells around a middle grey, within the input's range.

    Smooth on purpose: noise of single voxels has little in common with a body, and leaves deep networks
    indifferent.
    """
    shape = exported.clip_shape
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 1, *(-(-side // 4) for side in shape), generator=draw)
    low, high = exported.input_range
    return low + (high - low) * nn.functional.interpolate(coarse, size=shape, mode="nearest")


def require_same(
    network: ClipLogits, other: Callable[[Tensor], Tensor], exported: Exported, *, what: str
) -> float:
    """Hold an exported network against the one that it came from, with one clip and with two.

    Args:
        network: ours.
        other: what became of it.
        what: it is, for messages.

    Returns:
        By how much logits differ at most.

    Raises:
        BackendDisagreesError: by more than ``TOLERANCE``, or it says what is no number.
    """
    clips = clips_to_try(exported)
    with torch.inference_mode():
        ours = network(clips)
        theirs = torch.cat([other(clips[:1]), other(clips)[1:]])
    difference = float((theirs - ours).abs().max())
    # Written so that a difference that is no number is too large.
    if not difference <= TOLERANCE * max(1.0, float(ours.abs().max())):
        raise BackendDisagreesError(
            f"{exported.name} version {exported.card.version}: {what} answers otherwise than torch: logits "
            f"differ by {difference:.2g}, allowed is {TOLERANCE:g}. Nothing was written.",
            "Export it in another format, or on another computer.",
        )
    return difference
