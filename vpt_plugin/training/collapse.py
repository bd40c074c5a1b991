"""A training that ended in a constant: the same probability for every study, whatever it shows.

Such networks look finished, and their AUROC of 0.500 looks like a weak one. Several cells of
the table in Ke et al. (PMLR 227, 2023) are of this kind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vpt_plugin.models.card import Estimate
from vpt_plugin.words import in_a_sentence

# Between the lowest and the highest probability. Half-precision arithmetic alone makes differences of about
# a thousandth; a network that has begun to learn spreads its answers over more than a twentieth.
CONSTANT_SPREAD = 0.001
NEARLY_CONSTANT_SPREAD = 0.05


# A loss that stays within this share of its first epoch has hardly moved.
HARDLY_MOVED = 0.05


def has_hardly_moved(losses: Sequence[Sequence[float]]) -> bool:
    """Whether no round's training loss came away from where it began: too early to speak of a collapse.

    Args:
        losses: of every epoch, per round. One epoch alone has not moved; without any nothing is known, and
            the answer is no.
    """
    return bool(losses) and all(
        max(each) - min(each) <= HARDLY_MOVED * abs(each[0]) for each in losses if len(each)
    )


def has_collapsed(probabilities: ArrayLike, auroc: Estimate, rounds: ArrayLike | None = None) -> bool:
    """Whether all studies surely get one and the same answer; arguments as of ``collapse_warning``."""
    return _spread(probabilities, auroc, rounds) < CONSTANT_SPREAD


def collapse_warning(
    finding: str,
    probabilities: ArrayLike,
    auroc: Estimate,
    rounds: ArrayLike | None = None,
    *,
    still_learning: bool = False,
) -> str:
    """What is to be said of a training that gives all validation studies one answer; "" where all is well.

    Probabilities that lie close together are no proof: a rare finding may have tiny ones in perfect order. So
    the interval of the AUROC must leave open whether they have any order at all.

    Args:
        finding: whose probabilities they are.
        probabilities: (studies,), as the network gives them, before calibration.
        auroc: of these studies, with its interval; where there are several rounds, within them
            (``within_rounds``).
        rounds: (studies,), by the network of which round each was answered: five networks that each give one
            answer give five. None where one network answered all.
        still_learning: whether something else than the spread says that the training was too short: its loss
            hardly moved, or clips are told apart better than by chance.
    """
    spread = _spread(probabilities, auroc, rounds)
    if not spread < NEARLY_CONSTANT_SPREAD:
        return ""
    values = np.asarray(probabilities, dtype=np.float64)
    several = rounds is not None and len(np.unique(np.asarray(rounds))) > 1
    of_each = ", fold by fold" if several else ""
    name = in_a_sentence(finding)
    if still_learning and not spread < CONSTANT_SPREAD:
        return (
            f"The network has hardly trained yet: {name} gets nearly the same probability in all "
            f"{len(values)} validation studies{of_each} ({values.min():.4f} to {values.max():.4f}). Try more "
            "epochs or steps_per_epoch, or a higher learning rate."
        )
    certainty = "has collapsed" if spread < CONSTANT_SPREAD else "may have collapsed"
    value = "n/a" if math.isnan(auroc.value) else f"{auroc.value:.3f}"
    return (
        f"The training {certainty}: {name} gets nearly the same probability in all {len(values)} "
        f"validation studies{of_each} ({values.min():.4f} to {values.max():.4f}, AUROC {value}). Try a lower "
        "learning rate, a pretrained network or another seed, and look whether the labels are right."
    )


def within_rounds(probabilities: ArrayLike, rounds: ArrayLike) -> NDArray[np.float64]:
    """How far each probability is from the mean of its round: which network answered no longer matters."""
    values, numbers = np.asarray(probabilities, dtype=np.float64), np.asarray(rounds)
    if not len(values):
        return values
    means = np.bincount(numbers, values) / np.bincount(numbers).clip(1)
    return np.asarray(values - means[numbers])


def _spread(probabilities: ArrayLike, auroc: Estimate, rounds: ArrayLike | None) -> float:
    """From the lowest probability to the highest, in the round where they are farthest apart.

    Infinite where they are in some order, or no round has two.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    low, high = auroc.ci95
    if math.isnan(low) and auroc.value in (0.0, 1.0):
        # In perfect order, which has no interval.
        return math.inf
    # A nan compares as neither: an interval that is not there leaves it open, too.
    if low > 0.5 or high < 0.5:
        return math.inf
    numbers = np.zeros(len(values), dtype=np.int64) if rounds is None else np.asarray(rounds)
    own = [values[numbers == number] for number in np.unique(numbers)]
    return max((float(np.ptp(each)) for each in own if len(each) > 1), default=math.inf)
