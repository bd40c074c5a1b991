"""The loss of a training: cross-entropy of bags, over what is known of them."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from vpt_plugin.training.pooling import pool_bags


def bag_cross_entropy(logits: Tensor, labels: Tensor, bag: Tensor, pooling: str) -> Tensor:
    """Binary cross-entropy of whole bags, mean over the labels that are known.

    Args:
        logits: (clips, findings).
        labels: (bags, findings), 1, 0 or nan where not known.
        bag: (clips,), the number of the bag that each clip is of, ascending.
        pooling: one of ``POOLINGS``.
    """
    return known_cross_entropy(pool_bags(logits, bag, pooling), labels)


def known_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy over the labels that are known, those that are not nan; both (bags, findings)."""
    known = ~labels.isnan()
    return binary_cross_entropy_with_logits(logits[known], labels[known])
