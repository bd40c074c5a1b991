"""What each figure of merit means. An undefined figure is nan, never 0, and raises no warning.

Every figure is a function of ``Drawn``, so that one set and a thousand resamples of it go through the same
lines; the functions of labels and scores below are the same for one set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from vpt_plugin.training.metrics.drawn import Answers, Drawn, Flags, Floats, ratio

MOST_BINS = 15
STUDIES_PER_BIN = 10
# Nobody is surer than this: one wrong answer at 0 or 1 would make the log loss infinite.
_SUREST = 1e-7


@dataclass(frozen=True)
class Figure:
    """One figure of merit.

    Attributes:
        title: for people, within a sentence.
        compute: (resamples,) from what was drawn; nan where undefined.
        higher_is_better: whether more of it is better.
        of_probabilities: whether it takes probabilities; else any score that orders the studies will do.
    """

    title: str
    compute: Callable[[Drawn], Floats]
    higher_is_better: bool = True
    of_probabilities: bool = False


def _auroc(drawn: Drawn) -> Floats:
    """The share of pairs of a present and an absent one in the right order; half for a tie (Mann-Whitney).

    Sums of whole and half numbers throughout, so they are exact and their order does not matter.
    """
    truth, ends = drawn.answers.truth, drawn.answers.ends
    # Of every present one: the absent ones with a higher score, and those with that score or a higher one.
    absent_so_far = np.append(0, np.cumsum(~truth))
    run = np.searchsorted(ends, np.flatnonzero(truth))
    above, down_to = absent_so_far[np.append(0, ends + 1)[run]], absent_so_far[ends[run] + 1]
    weights = drawn.weights[:, ~truth]
    absent = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=absent[:, 1:])
    in_front = absent[:, down_to]
    # Without ties these are the same columns.
    in_front = in_front if np.array_equal(above, down_to) else (in_front + absent[:, above]) / 2
    present = drawn.weights[:, truth]
    wrong = np.einsum("rp,rp->r", present, in_front)
    pairs = present.sum(axis=1) * absent[:, -1]
    return ratio(pairs - wrong, pairs)


def _average_precision(drawn: Drawn) -> Floats:
    """Precision at each distinct score, weighted by the step in sensitivity; nothing is interpolated."""
    present, absent = drawn.present_down_to, drawn.absent_down_to
    precision = np.divide(present, present + absent, out=np.zeros_like(present), where=present > 0)
    area = (np.diff(present, axis=1, prepend=0) * precision).sum(axis=1)
    # Without absent ones it is 1, whatever the scores are.
    return ratio(area, drawn.present * (drawn.absent > 0))


def _share(among: Callable[[Flags, Flags], Flags], right: bool) -> Callable[[Drawn], Floats]:
    """The share whose truth is ``right`` or that are called ``right``, as ``among`` says."""

    def compute(drawn: Drawn) -> Floats:
        truth = drawn.answers.truth == right
        called = (drawn.answers.scores >= drawn.threshold) == right
        if np.isnan(drawn.threshold):
            return np.full(len(drawn.weights), np.nan)
        whole = drawn.sum_of(among(truth, called).astype(np.float64))
        return ratio(drawn.sum_of((truth & called).astype(np.float64)), whole)

    return compute


def _brier(drawn: Drawn) -> Floats:
    return drawn.mean_of((drawn.answers.scores - drawn.answers.truth) ** 2)


def _log_loss(drawn: Drawn) -> Floats:
    sure = drawn.answers.scores.clip(_SUREST, 1 - _SUREST)
    return drawn.mean_of(-np.where(drawn.answers.truth, np.log(sure), np.log1p(-sure)))


def _error_of_equal_mass(drawn: Drawn) -> Floats:
    excess_down_to = drawn.present_down_to - drawn.down_to(drawn.answers.scores)
    return ratio(np.abs(in_equal_masses(drawn, excess_down_to)).sum(axis=1), drawn.total)


def in_equal_masses(drawn: Drawn, sums_down_to: Floats) -> Floats:
    """What each of ``drawn.bins`` bins of equally many answers holds of a sum, (resamples, bins).

    Answers of one score that the edge of a bin falls between are shared out evenly.

    Args:
        sums_down_to: (resamples, distinct scores), as ``drawn.down_to`` gives it; bins come in that order.
    """
    edges = drawn.total[:, None] * np.linspace(0, 1, drawn.bins + 1)
    mass_down_to = _from_zero(drawn.present_down_to + drawn.absent_down_to)
    rows = zip(edges, mass_down_to, _from_zero(sums_down_to), strict=True)
    return np.diff(np.reshape([np.interp(*row) for row in rows], edges.shape), axis=1)


def _error_of_equal_width(drawn: Drawn) -> Floats:
    inner_edges = np.linspace(0, 1, drawn.bins + 1)[1:-1]
    excess = np.zeros((len(drawn.answers.truth), drawn.bins))
    at = np.searchsorted(inner_edges, drawn.answers.scores)
    excess[np.arange(len(at)), at] = drawn.answers.truth - drawn.answers.scores
    return ratio(np.abs(drawn.weights @ excess).sum(axis=1), drawn.total)


def _from_zero(sums: Floats) -> Floats:
    return np.pad(sums, ((0, 0), (1, 0)))


def _among_truth(truth: Flags, called: Flags) -> Flags:
    return truth


def _among_called(truth: Flags, called: Flags) -> Flags:
    return called


FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        "auroc": Figure("AUROC", _auroc),
        "auprc": Figure("AUPRC", _average_precision),
        "sensitivity": Figure("sensitivity", _share(_among_truth, right=True)),
        "specificity": Figure("specificity", _share(_among_truth, right=False)),
        "ppv": Figure("positive predictive value", _share(_among_called, right=True)),
        "npv": Figure("negative predictive value", _share(_among_called, right=False)),
        "brier": Figure("Brier score", _brier, higher_is_better=False, of_probabilities=True),
        "calibration_error": Figure(
            "calibration error", _error_of_equal_mass, higher_is_better=False, of_probabilities=True
        ),
        "log_loss": Figure("log loss", _log_loss, higher_is_better=False, of_probabilities=True),
    }
)


def figure_value(
    name: str,
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    threshold: float = float("nan"),
    bins: int | None = None,
) -> float:
    """The figure of that name (one of ``FIGURES``); nan where it is undefined.

    Args:
        labels: (n,), 1 present and 0 absent; studies or clips.
        scores: (n,), higher speaks for present; probabilities where the figure asks for them.
        threshold: from which score on the finding counts as present; nan for none.
        bins: of the calibration error; None takes ``default_bins``.

    Raises:
        ValueError: lengths that differ, a label that is neither 0 nor 1, a score that is not finite, or no
            probability where one is needed.
    """
    answers = Answers.of(labels, scores)
    if FIGURES[name].of_probabilities:
        answers.require_probabilities()
    bins = bins or default_bins(len(answers.truth))
    return float(FIGURES[name].compute(Drawn.once(answers, threshold=threshold, bins=bins))[0])


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve; nan where one of the states is missing.

    Source: Hanley & McNeil, Radiology 1982.
    """
    return figure_value("auroc", labels, scores)


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall curve, as a sum of steps; nan where one of the states is missing.

    Source: Davis & Goadrich, ICML 2006, on why not to interpolate.
    """
    return figure_value("auprc", labels, scores)


def sensitivity(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Share of the present ones at or above the threshold; nan where there are none."""
    return figure_value("sensitivity", labels, scores, threshold=threshold)


def specificity(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Share of the absent ones below the threshold; nan where there are none."""
    return figure_value("specificity", labels, scores, threshold=threshold)


def positive_predictive_value(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Share of present ones among those at or above the threshold; nan where none is.

    It holds for the share of present studies in this set, which a site's readings rarely have.
    """
    return figure_value("ppv", labels, scores, threshold=threshold)


def negative_predictive_value(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Share of absent ones among those below the threshold; nan where none is."""
    return figure_value("npv", labels, scores, threshold=threshold)


def brier_score(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared difference of probability and truth; nan without any.

    Source: Brier, Monthly Weather Review 1950.
    """
    return figure_value("brier", labels, probabilities)


def log_loss(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean binary cross-entropy; probabilities closer to 0 or 1 than 1e-7 count as that; nan without any."""
    return figure_value("log_loss", labels, probabilities)


def calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, *, bins: int | None = None, binning: str = "equal_mass"
) -> float:
    """Expected calibration error: how far shares of present and mean probabilities lie apart, bin by bin.

    ``equal_mass`` bins hold equally many studies; those of one probability that an edge falls between are
    shared out evenly, so the order of the studies never matters. ``equal_width`` bins cut [0, 1] into equal
    ranges, each without its lower end, as Guo et al. did. Equal mass is the default, being less biased
    (Roelofs et al., AISTATS 2022). Even so a few studies per bin make a perfectly calibrated classifier look
    wrong: hence ``default_bins``.

    Args:
        bins: None takes ``default_bins`` for equal mass, and 15 for equal width.
        binning: ``equal_mass`` or ``equal_width``.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.

    Raises:
        ValueError: as in ``figure_value``, or another binning.
    """
    if binning == "equal_mass":
        return figure_value("calibration_error", labels, probabilities, bins=bins)
    if binning != "equal_width":
        raise ValueError(f"unknown binning {binning!r}; choose from equal_mass, equal_width")
    answers = Answers.of(labels, probabilities)
    answers.require_probabilities()
    return float(_error_of_equal_width(Drawn.once(answers, bins=bins or MOST_BINS))[0])


def default_bins(studies: int) -> int:
    """15 bins, as Guo et al. have, but fewer where a bin would hold fewer than 10 studies; at least one."""
    return max(1, min(MOST_BINS, studies // STUDIES_PER_BIN))
