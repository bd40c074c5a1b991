"""Calibration: one temperature that makes probabilities mean what they say, and the curve that shows it.

All logits of all clips are divided by the temperature. Above 1 it makes a classifier less sure, below 1 more
sure; it moves no clip past another, and a logit of 0, a probability of 0.5, stays where it is.

What a reader sees is the study's probability, so that is what it is fitted on. Under the rule ``max`` this is
plain: the study's logit is the highest of its clips, dividing by a temperature leaves it the highest, so
studies keep their order, no AUROC changes, and thresholds move along. Fitted on clips instead, it would be
wrong for studies: of twenty honest clips the highest is too sure. What a temperature cannot mend is where 0.5
lies, which a maximum pushes upwards; the threshold has to do that. Under ``mean`` and ``top3_mean`` the
study's probability is a mean of stretched ones, so the order of studies may change a little: choose
thresholds and report figures on probabilities as they are after calibration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

from vpt_plugin.ct.aggregation import study_probabilities
from vpt_plugin.training.metrics.definitions import default_bins, in_equal_masses
from vpt_plugin.training.metrics.drawn import Answers, Drawn

Floats = NDArray[np.float64]

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 1 / 50, 50.0
# Ten events per fitted number (Peduzzi et al., J Clin Epidemiol 1996). With fewer, the fitted temperature
# makes the log loss of new studies worse about as often as better.
MIN_PER_STATE = 10
_GRID = 61
# Closer to 0 or 1 a float64 knows no probability; more than a log loss of 36 would be its rounding.
_SUREST = 1.2e-16
_Z95 = 1.959964


@dataclass(frozen=True)
class Calibration:
    """A temperature, or why there is none.

    Attributes:
        temperature: what logits are divided by; 1 where nothing was fitted.
        calibrated: whether it was fitted.
        explanation: one sentence for a person.
        log_loss_before, log_loss_after: of the studies it was fitted on; nan where there are none.
    """

    temperature: float
    calibrated: bool
    explanation: str
    log_loss_before: float
    log_loss_after: float


def fit_temperature(
    states: ArrayLike,
    logits: ArrayLike,
    studies: ArrayLike | None = None,
    *,
    aggregation: str = "max",
    min_per_state: int = MIN_PER_STATE,
) -> Calibration:
    """The temperature at which the studies' probabilities have the lowest log loss.

    One number for all findings, as a model card holds it. Where the data do not say which, it stays 1 and the
    explanation says why: too few studies, one state only, every study on its right side (the more sure the
    better, without end), or logits that no temperature helps.

    Args:
        states: (studies, findings), 1 present, 0 absent, nan not known; of studies training never saw.
        logits: (clips, findings), before any temperature.
        studies: (clips,), the number of the study each clip is of; None where every study is one clip.
        aggregation: the task's, one of ``vpt_plugin.tasks.AGGREGATIONS``.
        min_per_state: present and absent answers, over all findings, that it takes at least.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.

    Raises:
        ValueError: shapes that do not fit, a study without clips, or a logit that is not finite.
    """
    fit = _Fit.of(states, logits, studies, aggregation)
    before = fit.log_loss(1.0)
    if reason := fit.too_little(min_per_state):
        return _uncalibrated(reason, before)
    temperature = fit.best()
    if temperature is None:
        if fit.separated():
            return _uncalibrated(
                "every validation study is on the right side of 0.5, which does not say how sure is too sure",
                before,
            )
        return _uncalibrated(
            f"no temperature between {LOWEST_TEMPERATURE:g} and {HIGHEST_TEMPERATURE:g} is the best one",
            before,
        )
    after = fit.log_loss(temperature)
    made = "less" if temperature > 1 else "more"
    return Calibration(
        temperature,
        True,
        f"Probabilities are calibrated: a temperature of {temperature:.2f} makes them {made} sure; "
        f"the log loss of {len(fit.states)} validation studies went from {before:.3f} to {after:.3f}.",
        before,
        after,
    )


def _uncalibrated(reason: str, log_loss: float) -> Calibration:
    return Calibration(1.0, False, f"Probabilities are not calibrated: {reason}.", log_loss, log_loss)


@dataclass(frozen=True)
class _Fit:
    """The studies, and what a temperature makes of them.

    Attributes:
        states: (studies, findings).
        logits: (clips, findings).
        clip_studies: (clips,), the number of the study each clip is of.
        aggregation: the task's.
    """

    states: Floats
    logits: Floats
    clip_studies: NDArray[np.int64]
    aggregation: str

    @classmethod
    def of(cls, states: ArrayLike, logits: ArrayLike, studies: ArrayLike | None, aggregation: str) -> _Fit:
        known, values = np.asarray(states, dtype=np.float64), np.asarray(logits, dtype=np.float64)
        numbers = np.arange(len(known)) if studies is None else np.asarray(studies)
        if known.ndim != 2 or values.shape != (len(numbers), known.shape[1]):
            raise ValueError(
                f"states {known.shape} must be (studies, findings), logits {values.shape} (clips, findings), "
                f"and {len(numbers)} clips have a study"
            )
        if not np.isfinite(values).all():
            raise ValueError("a logit is not a finite number")
        clips = (
            np.bincount(numbers, minlength=len(known)) if len(numbers) else np.zeros(len(known), dtype=int)
        )
        if len(clips) != len(known) or not clips.all():
            raise ValueError(f"clips must be of all of the {len(known)} studies and of no others")
        return cls(known, values, numbers, aggregation)

    def probabilities(self, temperature: float) -> Floats:
        """(studies, findings)."""
        return study_probabilities(expit(self.logits / temperature), self.clip_studies, self.aggregation)

    def log_loss(self, temperature: float) -> float:
        known = ~np.isnan(self.states)
        if not known.any():
            return float("nan")
        sure = self.probabilities(temperature)[known].clip(_SUREST, 1 - _SUREST)
        return float(-np.where(self.states[known] == 1, np.log(sure), np.log1p(-sure)).mean())

    def too_little(self, min_per_state: int) -> str:
        """Why nothing can be fitted; "" where it can."""
        present, absent = int((self.states == 1).sum()), int((self.states == 0).sum())
        if min(present, absent) >= min_per_state:
            return ""
        return (
            f"it takes {min_per_state} validation studies with the finding and {min_per_state} without; "
            f"there are {present} and {absent}"
        )

    def separated(self) -> bool:
        known = ~np.isnan(self.states)
        return bool(((self.probabilities(1.0)[known] >= 0.5) == (self.states[known] == 1)).all())

    def best(self) -> float | None:
        """The temperature of lowest log loss; None where it lies on or beyond the bounds."""
        grid = np.geomspace(LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE, _GRID)
        lowest = int(np.argmin([self.log_loss(float(each)) for each in grid]))
        if lowest in (0, _GRID - 1):
            return None
        # Under max the loss has one valley; a mean of clips promises none, hence the grid before the descent.
        found = minimize_scalar(
            lambda log_temperature: self.log_loss(float(np.exp(log_temperature))),
            bounds=(np.log(grid[lowest - 1]), np.log(grid[lowest + 1])),
            method="bounded",
            options={"xatol": 1e-9},
        )
        return float(np.exp(found.x))


@dataclass(frozen=True)
class ReliabilityBin:
    """One point of the reliability curve.

    Attributes:
        probability: the mean that was said.
        share: of the studies in the bin that have the finding.
        ci95: of that share, by Wilson's method; studies count as independent.
        studies: in the bin; not whole where studies of one probability are shared out.
    """

    probability: float
    share: float
    ci95: tuple[float, float]
    studies: float


def reliability(
    labels: ArrayLike, probabilities: ArrayLike, *, bins: int | None = None
) -> tuple[ReliabilityBin, ...]:
    """The reliability curve, from the lowest probabilities up; empty without studies.

    The bins are those of the equal-mass ``calibration_error``, which is the mean distance of the curve from
    the diagonal.

    Args:
        labels: (n,), 1 present and 0 absent; studies or clips.
        probabilities: (n,).
        bins: None takes ``default_bins``.

    Source: DeGroot & Fienberg, The Statistician 1983; Wilson, JASA 1927.

    Raises:
        ValueError: lengths that differ, a label that is neither 0 nor 1, or no probability.
    """
    answers = Answers.of(labels, probabilities)
    answers.require_probabilities()
    n = len(answers.truth)
    if n == 0:
        return ()
    drawn = Drawn.once(answers, bins=bins or default_bins(n))
    present = in_equal_masses(drawn, drawn.present_down_to)[0, ::-1]
    said = in_equal_masses(drawn, drawn.down_to(answers.scores))[0, ::-1]
    studies = n / drawn.bins
    return tuple(
        ReliabilityBin(float(p / studies), float(k / studies), wilson_interval(float(k), studies), studies)
        for p, k in zip(said, present, strict=True)
    )


def wilson_interval(present: float, studies: float) -> tuple[float, float]:
    """The 95 % interval of a share, from 0 to 1; (nan, nan) without studies.

    Args:
        present: with the finding.
        studies: in all; they count as independent.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927.
    """
    if not studies:
        return float("nan"), float("nan")
    centre = present + _Z95**2 / 2
    # Not below 0, where sharing out leaves a present study of 1e-17 less than none.
    spread = _Z95 * np.sqrt(max(0.0, present * (studies - present)) / studies + _Z95**2 / 4)
    whole = studies + _Z95**2
    return float(max(0.0, centre - spread) / whole), float(min(whole, centre + spread) / whole)
