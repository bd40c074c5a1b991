"""A classifier made ready for torch: a copy for answering only, as fast as torch has it on the device."""

from __future__ import annotations

import copy
import logging

import torch

from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.device import arrange
from vpt_plugin.models.folding import (
    fold_batch_norm,
    fuse_convolutions,
    hold_weights_in,
    pack_linear_layers,
)
from vpt_plugin.models.window_attention import use_lean_attention

# By how much folding may change features in float32, as a share of their length; 1e-6 is usual.
_ALLOWED_CHANGE = 1e-4
_logger = logging.getLogger(__name__)


def made_ready(classifier: Classifier, device: torch.device, dtype: torch.dtype) -> Classifier:
    """A copy that computes the same, faster: folded, its weights in the type and order it computes in.

    Args:
        classifier: left as it is; where it has no weights it is taken itself.
        device: where the copy goes.
        dtype: in which it computes under autocast.
    """
    if not any(True for _ in classifier.parameters()):
        return classifier.eval().to(device)
    ready = _folded(_copy(classifier)).to(device)
    if dtype != torch.float32:
        hold_weights_in(ready, dtype)
    arrange(ready, dtype)
    if device.type == "cpu":
        fuse_convolutions(ready)
        use_lean_attention(ready)
        pack_linear_layers(ready.backbone)
    return ready


def _copy(classifier: Classifier) -> Classifier:
    return copy.deepcopy(classifier).eval().requires_grad_(False)


def _folded(classifier: Classifier) -> Classifier:
    """A copy without batch norms, if it gives the same features; else the classifier as it is."""
    folded = copy.deepcopy(classifier)
    if not fold_batch_norm(folded):
        return classifier
    change = _change(classifier, folded)
    # Written so that a change that is no number, of damaged weights, is too large.
    if change <= _ALLOWED_CHANGE:
        return folded
    name = classifier.spec.name
    _logger.warning("%s: folding changes features by %.2g of their length; not folded", name, change)
    return classifier


@torch.inference_mode()
def _change(one: Classifier, other: Classifier) -> float:
    """How far the features of noise are apart, as a share of their length."""
    spec = one.spec
    slices = 1 if spec.shape_rule.single_slice else spec.clip_slices
    pixels = spec.shape_rule.min_pixels
    noise = torch.rand(1, 1, slices, pixels, pixels, generator=torch.Generator().manual_seed(0))
    device = next(one.parameters()).device
    before, after = (each.features(noise.to(device)).float() for each in (one, other))
    return float((after - before).norm() / before.norm())
