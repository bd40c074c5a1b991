"""Multiple-instance poolings: from the logits of a bag's clips to the bag's.

Every pooling gives a bag of one clip that clip's logit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

# Sharpness of `lse`, the r of the paper: 0 would be the mean, infinity the maximum.
_LSE_SHARPNESS = 5.0


def pool_bags(logits: Tensor, bag: Tensor, pooling: str) -> Tensor:
    """The logits of whole bags.

    Args:
        logits: (clips, findings).
        bag: (clips,), the number of the bag that each clip is of: 0 ... bags - 1, ascending.
        pooling: one of ``POOLINGS``.

    Returns:
        (bags, findings).
    """
    sizes = torch.bincount(bag).tolist()
    if len(sizes) == len(logits):
        return logits
    return torch.stack([POOLINGS[pooling](clips) for clips in torch.split(logits, sizes)])


def _maximum(logits: Tensor) -> Tensor:
    """The surest clip speaks for the bag; as the paper (Ke et al. 2023) reads a study."""
    return logits.amax(dim=0)


def _mean(logits: Tensor) -> Tensor:
    """All clips alike (mi-Net of Wang et al., Pattern Recognition 2018); few of many positive ones drown."""
    return logits.mean(dim=0)


def _log_sum_exp(logits: Tensor) -> Tensor:
    """A soft maximum: Pinheiro & Collobert, From Image-level to Pixel-level Labeling, CVPR 2015."""
    total = torch.logsumexp(_LSE_SHARPNESS * logits, dim=0)
    return (total - math.log(len(logits))) / _LSE_SHARPNESS


def _noisy_or(logits: Tensor) -> Tensor:
    """Each clip may show it by itself: 1 - product of (1 - p); Viola, Platt & Zhang, NIPS 2005."""
    # -log of the chance that no clip shows it; the logit of the rest is log(exp(none) - 1).
    # Kept above 0, whose logarithm has no gradient, where every clip is below -87.
    none = softplus(logits).sum(dim=0).clamp(min=torch.finfo(logits.dtype).tiny)
    return none + torch.log(-torch.expm1(-none))


def _linear_softmax(logits: Tensor) -> Tensor:
    """Mean of the probabilities, weighted by themselves: Wang, Li & Metze, ICASSP 2019.

    Its gradient pushes clips below half of the bag's probability down, even where the bag shows the finding.
    """
    # In logarithms: of sum p^2 / sum p, and of 1 - that = sum p (1 - p) / sum p.
    shown, not_shown = logsigmoid(logits), logsigmoid(-logits)
    return torch.logsumexp(2 * shown, dim=0) - torch.logsumexp(shown + not_shown, dim=0)


POOLINGS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "max": _maximum,
        "lse": _log_sum_exp,
        "mean": _mean,
        "noisy_or": _noisy_or,
        "linear_softmax": _linear_softmax,
    }
)
