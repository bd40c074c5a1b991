"""A classifier made ready for torch: a copy for answering only, as fast as torch has it on the device."""

from __future__ import annotations

import copy
import logging
from typing import Any

import torch
from torch import Tensor, nn

from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.device import arrange, memory_format, out_of_memory
from vpt_plugin.models.folding import (
    fold_batch_norm,
    fuse_convolutions,
    hold_weights_in,
    pack_linear_layers,
)
from vpt_plugin.models.onednn import FusedConvolution, PackedLinear
from vpt_plugin.models.window_attention import use_lean_attention

# By how much features may change, as a share of their length; 1e-6 is usual in float32, 5e-3 in bfloat16.
_ALLOWED_CHANGE = {torch.float32: 1e-4, torch.bfloat16: 0.05}
# A copy is tried with a clip of no more slices than this, where the network takes so few.
_SLICES_TRIED = 4
# And a convolution alone with a map of so many times the side of its kernel.
_CELLS_TRIED = 4
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
    if device.type == "cpu" and _can_be_for_the_cpu(ready, dtype):
        _for_the_cpu(ready)
    return ready


def _for_the_cpu(classifier: Classifier) -> None:
    """Bring in, in place, what computes the same faster on the CPU."""
    fuse_convolutions(classifier)
    use_lean_attention(classifier)
    pack_linear_layers(classifier.backbone)


def _can_be_for_the_cpu(classifier: Classifier, dtype: torch.dtype) -> bool:
    """Whether a copy with these operators computes the same here; if not, it is said.

    torch does not promise to keep them, and every kind of processor has its own. Another copy is tried,
    because one lays its weights out for the first clips it sees.
    """
    name = classifier.spec.name
    try:
        tried = copy.deepcopy(classifier)
        _for_the_cpu(tried)
        # A whole clip of full size would take seconds.
        change_of = _change_of_layers if classifier.spec.shape_rule.only else _change
        change = change_of(classifier, tried, dtype)
    except (AttributeError, RuntimeError, TypeError) as error:
        if out_of_memory(error):
            raise
        _logger.warning("%s: the operators of oneDNN fail here (%s); answers take longer", name, error)
        return False
    if change <= _ALLOWED_CHANGE[dtype]:
        return True
    _logger.warning(
        "%s: the operators of oneDNN change features by %.2g of their length here; answers take longer",
        name, change,
    )  # fmt: skip
    return False


def _copy(classifier: Classifier) -> Classifier:
    return copy.deepcopy(classifier).eval().requires_grad_(False)


def _folded(classifier: Classifier) -> Classifier:
    """A copy without batch norms, if it gives the same features; else the classifier as it is."""
    folded = copy.deepcopy(classifier)
    if not fold_batch_norm(folded):
        return classifier
    change = _change(classifier, folded, torch.float32)
    # Written so that a change that is no number, of damaged weights, is too large.
    if change <= _ALLOWED_CHANGE[torch.float32]:
        return folded
    name = classifier.spec.name
    _logger.warning("%s: folding changes features by %.2g of their length; not folded", name, change)
    return classifier


@torch.inference_mode()
def _change(one: Classifier, other: Classifier, dtype: torch.dtype) -> float:
    """How far the features of noise are apart, computed in a type, as a share of their length."""
    rule = one.spec.shape_rule
    slices = 1 if rule.single_slice else min(one.spec.clip_slices, _SLICES_TRIED)
    device = next(one.parameters()).device
    noise = _noise(*(rule.only or (slices, rule.min_pixels, rule.min_pixels))).to(device)
    noise = noise.contiguous(memory_format=memory_format(dtype))
    with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        return _apart(one.features(noise), other.features(noise))


@torch.inference_mode()
def _change_of_layers(one: Classifier, other: Classifier, dtype: torch.dtype) -> float:
    """The same of the layer that changes most, each tried with noise of its own."""
    changes = [0.0]
    for name, layer in other.named_modules():
        if not isinstance(layer, (FusedConvolution, PackedLinear)):
            continue
        plain: Any = one.get_submodule(name)
        if isinstance(plain, nn.Linear):
            noise = _noise(plain.in_features)[0]
        else:
            noise = _noise(plain.in_channels, *(_CELLS_TRIED * n for n in plain.kernel_size))[0]
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            changes.append(_apart(plain(noise), layer(noise)))
    return float(torch.tensor(changes).max())  # unlike Python's, it keeps what is no number


def _noise(*shape: int) -> Tensor:
    """(1, 1, ...), the same every time."""
    return torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0))


def _apart(before: Tensor, after: Tensor) -> float:
    return float((after.float() - before.float()).norm() / before.float().norm())
