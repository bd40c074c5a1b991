"""Intervals: the percentile bootstrap over patients, for every figure at once.

Patients are drawn, not studies: studies and clips of one patient are alike, and drawn one by one they would
make an interval too narrow (Field & Welsh, JRSS B 2007, on the cluster bootstrap).

What such an interval cannot do: a figure that is the same in every resample, such as an AUROC of 1, would
get an interval of no width, which looks certain, however few the studies. It is undefined (``perfect`` has
what can be said of it). The calibration error of a resample tends to lie above that of the set
itself, since resampling adds noise and noise looks like miscalibration; its interval leans to the high side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vpt_plugin.models.card import Estimate
from vpt_plugin.training.metrics.definitions import FIGURES, default_bins
from vpt_plugin.training.metrics.drawn import Answers, Drawn, Floats

RESAMPLES = 1000
_PERCENTILES = (2.5, 97.5)
# Equal figures may differ in their last bits.
_NO_WIDTH = 1e-12
# Numbers of one block of weights: 16 MB, which stays near the processor.
_BLOCK = 1 << 21


@dataclass(frozen=True)
class Resampled:
    """A figure and what it was in every resample.

    Attributes:
        value: of the set itself.
        resamples: (resamples,), nan where a resample has no such figure, for want of a state.
        n: studies or clips it is over.
        patients: that were drawn from.
    """

    value: float
    resamples: Floats
    n: int
    patients: int

    @property
    def undefined(self) -> int:
        """How many resamples have no such figure; they are left out of the interval."""
        return int(np.isnan(self.resamples).sum())

    def estimate(self) -> Estimate:
        """The figure with its 95 % interval.

        The interval is nan where the figure is undefined, in the set or in every resample, where there is one
        patient only, of whom nothing can be concluded about others, and where it would have no width: that
        resampling shows no spread does not mean that there is none.
        """
        defined = self.resamples[~np.isnan(self.resamples)]
        if np.isnan(self.value) or self.patients < 2 or not len(defined):
            return Estimate(self.value, (float("nan"), float("nan")), self.n)
        low, high = np.percentile(defined, _PERCENTILES)
        if high - low <= _NO_WIDTH:
            low = high = float("nan")
        return Estimate(self.value, (float(low), float(high)), self.n)

    def minus(self, other: Resampled) -> Resampled:
        """How far this figure is above another one of the same patients in the same resamples."""
        return Resampled(self.value - other.value, self.resamples - other.resamples, self.n, self.patients)

    def share_above(self, bound: float = 0.0) -> float:
        """Share of the resamples in which the figure is above the bound; nan where none says anything."""
        defined = self.resamples[~np.isnan(self.resamples)]
        if np.isnan(self.value) or self.patients < 2 or not len(defined):
            return float("nan")
        return float(np.mean(defined > bound + _NO_WIDTH))


def mean_of(parts: Sequence[Resampled], n: int) -> Resampled:
    """The mean of figures within the same resamples, nan where one of them is undefined.

    Args:
        parts: one or more, of findings, seeds or networks.
        n: studies that the mean is over.
    """
    return Resampled(
        value=float(np.mean([each.value for each in parts])),
        resamples=np.mean([each.resamples for each in parts], axis=0),
        n=n,
        patients=min(each.patients for each in parts),
    )


class PatientBootstrap:
    """Draws patients, the same ones for everything that is computed with it.

    Args:
        patients: (n,), whose study or clip each is.
        resamples: how often as many patients are drawn as there are.
        seed: of the draws.

    Raises:
        ValueError: a patient without a name, or fewer than one resample.
    """

    def __init__(self, patients: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0) -> None:
        if any(patient == "" for patient in patients):
            raise ValueError("a patient has no name; where it is not known, give the study's")
        if resamples < 1:
            raise ValueError(f"an interval needs at least 1 resample, not {resamples}")
        # By first appearance, so that studies of unknown patients are numbered as they come.
        numbers: dict[str, int] = {}
        self._patient_of = np.array([numbers.setdefault(each, len(numbers)) for each in patients], dtype=int)
        self._seed = seed
        self.patients = len(numbers)
        self.resamples = resamples

    def draws(self) -> NDArray[np.int64]:
        """(resamples, patients), the numbers of the patients drawn; numbered as they first appear."""
        size = (self.resamples, self.patients)
        return np.random.default_rng(self._seed).integers(0, max(1, self.patients), size=size)

    def blocks(self) -> Iterator[Floats]:
        """(some resamples, n) each: how often every study or clip is drawn."""
        if self.resamples * len(self._patient_of) <= _BLOCK:
            yield self._only_block
            return
        draws = self.draws()
        step = max(1, _BLOCK // max(1, len(self._patient_of)))
        for first in range(0, self.resamples, step):
            yield self._counts(draws[first : first + step])

    @cached_property
    def _only_block(self) -> Floats:
        """All resamples of few studies, kept for the next figure: an experiment has hundreds of the same."""
        return self._counts(self.draws())

    def _counts(self, drawn: NDArray[np.int64]) -> Floats:
        offsets = self.patients * np.arange(len(drawn))[:, None]
        counts = np.bincount((drawn + offsets).ravel(), minlength=len(drawn) * self.patients)
        return counts.reshape(len(drawn), self.patients)[:, self._patient_of].astype(np.float64)

    def figures(
        self,
        names: Sequence[str],
        labels: ArrayLike,
        scores: ArrayLike,
        *,
        rows: NDArray[np.bool_] | None = None,
        threshold: float = float("nan"),
        bins: int | None = None,
    ) -> dict[str, Resampled]:
        """Figures and their resamples.

        Args:
            names: of ``FIGURES``.
            labels: (n,), 1 present and 0 absent; any value where ``rows`` says no.
            scores: (n,), as the figures ask for.
            rows: (n,), which ones count, for example those whose state is known; None for all.
            threshold: as in ``figure_value``.
            bins: of the calibration error, in every resample as many; None takes ``default_bins``.

        Raises:
            ValueError: as in ``figure_value``.
        """
        counted = np.arange(len(self._patient_of)) if rows is None else np.flatnonzero(rows)
        answers = Answers.of(np.asarray(labels)[counted], np.asarray(scores)[counted])
        if any(FIGURES[name].of_probabilities for name in names):
            answers.require_probabilities()
        n = len(counted)
        once = Drawn.once(answers, threshold=threshold, bins=bins or default_bins(n))
        columns = counted[answers.order]
        found: dict[str, list[Floats]] = {name: [] for name in names}
        for weights in self.blocks() if n else ():
            drawn = Drawn(answers, weights[:, columns], once.threshold, once.bins)
            for name in names:
                found[name].append(FIGURES[name].compute(drawn))
        patients = len(np.unique(self._patient_of[counted]))
        return {
            name: Resampled(
                float(FIGURES[name].compute(once)[0]),
                np.concatenate([*parts, np.full(0 if n else self.resamples, np.nan)]),
                n,
                patients,
            )
            for name, parts in found.items()
        }


def resampled_figures(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Sequence[str] | None = None,
    *,
    threshold: float = float("nan"),
    names: Sequence[str] = tuple(FIGURES),
    bins: int | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Mapping[str, Resampled]:
    """As ``figures``, with all resamples, so that one can count those that have no such figure."""
    length = len(np.asarray(labels))
    if patients is None:
        patients = [str(number) for number in range(length)]
    if len(patients) != length:
        raise ValueError(f"{length} labels of {len(patients)} patients: one name is needed for each")
    bootstrap = PatientBootstrap(patients, resamples=resamples, seed=seed)
    return bootstrap.figures(names, labels, scores, threshold=threshold, bins=bins)


def figures(
    labels: ArrayLike,
    probabilities: ArrayLike,
    patients: Sequence[str] | None = None,
    *,
    threshold: float = float("nan"),
    names: Sequence[str] = tuple(FIGURES),
    bins: int | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Mapping[str, Estimate]:
    """All figures of a finding, each with its 95 % interval over patients.

    The threshold counts as given: where it was chosen on these very studies, sensitivity and specificity
    flatter a little.

    Args:
        labels: (n,), 1 present and 0 absent; studies or clips.
        probabilities: (n,).
        patients: (n,), whose each is; the study's name where the patient is not known. None makes each its
            own.
        threshold: from which probability on the finding counts as present; nan leaves sensitivity,
            specificity and predictive values undefined.
        names: of ``FIGURES``.
        bins: of the calibration error; None takes ``default_bins``.
        resamples, seed: of the bootstrap.

    Raises:
        ValueError: lengths that differ, a label that is neither 0 nor 1, or no probability.
    """
    found = resampled_figures(
        labels, probabilities, patients,
        threshold=threshold, names=names, bins=bins, resamples=resamples, seed=seed,
    )  # fmt: skip
    return {name: each.estimate() for name, each in found.items()}


def bootstrap_auroc(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Sequence[str] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """The AUROC with its 95 % interval over patients; arguments and errors as of ``figures``."""
    return figures(labels, scores, patients, names=("auroc",), resamples=resamples, seed=seed)["auroc"]
