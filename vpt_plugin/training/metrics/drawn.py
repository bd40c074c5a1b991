"""Answers beside the truth, and how often each of them is drawn: what every figure is computed from.

One row of weights is one resample; a row of ones is the set itself. All figures take many rows at once, which
is what makes a thousand resamples cheap, and the value and its interval come from the same lines of code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What was said of some studies or clips, beside the truth; from the highest score to the lowest.

    Attributes:
        truth: (n,), whether the finding is present.
        scores: (n,), descending.
        order: (n,), where each of them stood in the lists it was made from.
        ends: (distinct scores,), the last place of every run of equal scores.
    """

    truth: Flags
    scores: Floats
    order: NDArray[np.intp]
    ends: NDArray[np.intp]

    @classmethod
    def of(cls, labels: ArrayLike, scores: ArrayLike) -> Answers:
        """The answers from two lists.

        Args:
            labels: (n,), 1 present and 0 absent.
            scores: (n,), higher speaks for present.

        Raises:
            ValueError: lengths that differ, a label that is neither 0 nor 1, or a score that is not finite.
        """
        truth, values = pair(labels, scores)
        order = np.argsort(-values, kind="stable")
        scores_down = values[order]
        ends = np.flatnonzero(np.append(np.diff(scores_down) != 0, True)) if len(values) else order
        return cls(truth[order], scores_down, order, ends)

    def require_probabilities(self) -> None:
        """Refuse scores that cannot be probabilities.

        Raises:
            ValueError: a score below 0 or above 1.
        """
        if len(self.scores) and not (self.scores[-1] >= 0 and self.scores[0] <= 1):
            raise ValueError("a probability is not between 0 and 1")


@dataclass(frozen=True)
class Drawn:
    """Answers, each drawn some number of times, once per resample.

    Attributes:
        answers: what is drawn from.
        weights: (resamples, n), how often each of ``answers`` is drawn, in their order.
        threshold: score from which an answer counts as present; nan where none was chosen.
        bins: how many bins the calibration error takes.
    """

    answers: Answers
    weights: Floats
    threshold: float = float("nan")
    bins: int = 1

    @classmethod
    def once(cls, answers: Answers, *, threshold: float = float("nan"), bins: int = 1) -> Drawn:
        """The set itself: each answer once."""
        return cls(answers, np.ones((1, len(answers.truth))), threshold, bins)

    @cached_property
    def total(self) -> Floats:
        """(resamples,), answers drawn."""
        return np.asarray(self.weights.sum(axis=1))

    @cached_property
    def present_down_to(self) -> Floats:
        """(resamples, distinct scores), drawn answers with the finding at that score or above."""
        return self.down_to(self.answers.truth.astype(np.float64))

    @cached_property
    def absent_down_to(self) -> Floats:
        """(resamples, distinct scores), drawn answers without the finding at that score or above."""
        return self.down_to((~self.answers.truth).astype(np.float64))

    @property
    def present(self) -> Floats:
        """(resamples,), drawn answers with the finding."""
        return self.sum_of(self.answers.truth.astype(np.float64))

    @property
    def absent(self) -> Floats:
        """(resamples,), drawn answers without the finding."""
        return self.sum_of((~self.answers.truth).astype(np.float64))

    def down_to(self, values: Floats) -> Floats:
        """(resamples, distinct scores), the sum of ``values`` (n,) over drawn answers of that score up."""
        return np.asarray(np.cumsum(self.weights * values, axis=1)[:, self.answers.ends])

    def sum_of(self, values: Floats) -> Floats:
        """(resamples,), the sum of ``values`` (n,) over the drawn answers."""
        return np.asarray(self.weights @ values)

    def mean_of(self, values: Floats) -> Floats:
        """(resamples,), the mean of ``values`` (n,) over the drawn answers; nan where none is drawn."""
        return ratio(self.sum_of(values), self.total)


def ratio(part: Floats, whole: Floats) -> Floats:
    """``part / whole``, nan where ``whole`` is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def pair(labels: ArrayLike, scores: ArrayLike) -> tuple[Flags, Floats]:
    """Labels and scores as two lists of one length.

    Raises:
        ValueError: lengths that differ, a label that is neither 0 nor 1, or a score that is not finite.
    """
    given = np.asarray(labels)
    values = np.asarray(scores, dtype=np.float64)
    if given.ndim != 1 or given.shape != values.shape:
        raise ValueError(
            f"labels and scores must be two lists of one length, not {given.shape} and {values.shape}"
        )
    # nan, a state nobody knows, would count as present.
    if not np.isin(given, (0, 1)).all():
        raise ValueError("a label is neither 0 nor 1; leave out studies whose state is not known")
    if not np.isfinite(values).all():
        raise ValueError("a score is not a finite number")
    return given.astype(np.bool_), values
