"""From which probability on a finding counts as present: rules that choose it on validation studies.

Calls change only at the probabilities of the studies, so a whole gap between two of them is as good as any
point in it. A point in the middle half of the gap, in log-odds, is taken: a study that comes out a little
lower on another computer is still called as before. And since a temperature only stretches log-odds,
calibrating the maximum over clips moves threshold and probabilities together and changes no call.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.tasks import target_sensitivity
from vpt_plugin.training.metrics.drawn import Answers, Drawn, Floats

Rule = Callable[[ArrayLike, ArrayLike], float]
# Probabilities closer to 0 or 1 have no more digits to tell them apart.
_SUREST = 1e-15


def youden_threshold(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """The threshold with the highest sensitivity + specificity - 1; nan where one of the states is missing.

    With few studies many thresholds are as good; the one nearest to the middle between the median log-odds of
    the present and of the absent studies is taken. The medians lie in the thick of the studies, where the
    ends of a gap are its two oddest ones.

    Source: Youden, Cancer 1950; Fluss et al., Biometrical Journal 2005, on its estimation: for two normal
    distributions of one width the best threshold is the middle between their centres.

    Raises:
        ValueError: lengths that differ, a label that is neither 0 nor 1, or no probability.
    """
    once = _once(labels, probabilities)
    present, absent = once.present_down_to[0], once.absent_down_to[0]
    if not (once.present[0] and once.absent[0]):
        return float("nan")
    # In whole numbers, so that equally good thresholds are equal to the last bit.
    gain = present * once.absent[0] - absent * once.present[0]
    truth, odds = once.answers.truth, _log_odds(once.answers.scores)
    wanted = float(np.median(odds[truth]) + np.median(odds[~truth])) / 2
    best = [_within_gap(once.answers, int(place), wanted) for place in np.flatnonzero(gain == gain.max())]
    return min(best, key=lambda threshold: abs(float(_log_odds(np.array(threshold))) - wanted))


def sensitivity_threshold(labels: ArrayLike, probabilities: ArrayLike, target: float) -> float:
    """The threshold that reaches a sensitivity at the least loss of specificity.

    It makes the calls of the highest threshold that reaches the target, from the middle of the gap below it;
    nan where no study has the finding. With fewer than ``1 / (1 - target)`` present studies (20 for 0.95) it
    has to call all of them; how far that holds for new ones, the interval of the sensitivity says.

    Args:
        target: share of the present studies that must be called, above 0 and at most 1.

    Raises:
        ValueError: as in ``youden_threshold``, or a target that is no such share.
    """
    if not 0 < target <= 1:
        raise ValueError(f"a target sensitivity lies above 0 and is at most 1, not {target}")
    once = _once(labels, probabilities)
    if not once.present[0]:
        return float("nan")
    # 0.95 of 20 is 19, and not 19.000000000000004 or 18.999999999999996.
    needed = np.ceil(round(target * once.present[0], 9))
    place = int(np.flatnonzero(once.present_down_to[0] >= needed)[0])
    return _within_gap(once.answers, place, None)


def threshold_rule(name: str) -> Rule:
    """The rule of that name, as a task or a setting writes it: ``youden`` or ``sensitivity:0.95``.

    Raises:
        ConfigurationError: no such rule, or a sensitivity that is none.
    """
    try:
        target = target_sensitivity(name)
    except ValueError as error:
        wrong, _, choices = str(error).partition("; ")
        raise ConfigurationError(f"{wrong};", f"{choices}.") from error
    if target is None:
        return youden_threshold
    return lambda labels, probabilities: sensitivity_threshold(labels, probabilities, target)


def choose_threshold(name: str, labels: ArrayLike, probabilities: ArrayLike) -> float:
    """The threshold that the rule of that name chooses; nan where it is undefined.

    Raises:
        ConfigurationError: no such rule.
        ValueError: as in ``youden_threshold``.
    """
    return threshold_rule(name)(labels, probabilities)


def _once(labels: ArrayLike, probabilities: ArrayLike) -> Drawn:
    answers = Answers.of(labels, probabilities)
    answers.require_probabilities()
    return Drawn.once(answers)


def _within_gap(answers: Answers, place: int, wanted: float | None) -> float:
    """A threshold that calls the distinct probabilities down to ``place`` and no others.

    In the middle half of the gap below that probability, as near to ``wanted`` log-odds as can be; in its
    middle where nothing is wanted. Where no study lies below, the probability itself.
    """
    distinct = answers.scores[answers.ends]
    called = float(distinct[place])
    if place + 1 == len(distinct):
        return called
    below = float(distinct[place + 1])
    low, high = _log_odds(np.array([below, called]))
    quarter = (high - low) / 4
    at = (low + high) / 2 if wanted is None else np.clip(wanted, low + quarter, high - quarter)
    threshold = float(1 / (1 + np.exp(-at)))
    # Two probabilities may be neighbours among the floating-point numbers.
    return threshold if below < threshold <= called else called


def _log_odds(probabilities: Floats) -> Floats:
    sure = np.clip(probabilities, _SUREST, 1 - _SUREST)
    return np.asarray(np.log(sure) - np.log1p(-sure))
