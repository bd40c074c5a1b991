"""Figures of merit over studies. An undefined figure is nan, never 0, and raises no warning."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from vpt_plugin.models.card import Estimate


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve; nan where one of the states is missing.

    Args:
        labels: (studies,), 1 present and 0 absent.
        scores: (studies,), higher speaks for present.

    Raises:
        ValueError: lengths that differ, or a score that is not finite.
    """
    truth, values = _pair(labels, scores)
    if truth.all() or not truth.any():
        return float("nan")
    return float(roc_auc_score(truth, values))


def bootstrap_auroc(
    labels: ArrayLike, scores: ArrayLike, *, resamples: int = 1000, seed: int = 0
) -> Estimate:
    """The AUROC with its 95 % interval: percentiles 2.5 and 97.5 over resampled studies, as in the paper.

    A resample without one of the states has no AUROC and is left out; where the figure itself is undefined,
    so is its interval.
    """
    truth, values = _pair(labels, scores)
    value = auroc(truth, values)
    if np.isnan(value):
        return Estimate(value, (value, value), len(truth))
    drawn = np.random.default_rng(seed).integers(0, len(truth), size=(resamples, len(truth)))
    low, high = np.percentile(_resampled_aurocs(truth, values, drawn), (2.5, 97.5))
    return Estimate(value, (float(low), float(high)), len(truth))


def _resampled_aurocs(
    truth: NDArray[np.bool_], values: NDArray[np.float64], drawn: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The AUROC of every resample that has both states; ``drawn`` (resamples, studies) are study numbers.

    All at once, as the weighted share of pairs in the right order (Mann-Whitney's U): a thousand calls of
    scikit-learn would take seconds.
    """
    times_drawn = np.stack([np.bincount(chosen, minlength=len(truth)) for chosen in drawn]).astype(np.float64)
    present, absent = times_drawn[:, truth], times_drawn[:, ~truth]
    difference = values[truth][:, None] - values[~truth][None, :]
    right = ((present @ ((np.sign(difference) + 1) / 2)) * absent).sum(axis=1)
    pairs = present.sum(axis=1) * absent.sum(axis=1)
    return np.asarray(right[pairs > 0] / pairs[pairs > 0])


def youden_threshold(labels: ArrayLike, scores: ArrayLike) -> float:
    """The threshold with the highest sensitivity + specificity - 1; nan where one of the states is missing.

    It lies half way between the last study called present and the first called absent. Among equally good
    ones the lowest is taken, the more sensitive one.

    Source: Youden, Cancer 1950.
    """
    truth, values = _pair(labels, scores)
    if truth.all() or not truth.any():
        return float("nan")
    false_positives, true_positives, thresholds = roc_curve(truth, values, drop_intermediate=False)
    gain = true_positives - false_positives
    called_present = float(thresholds[np.flatnonzero(np.isclose(gain, gain.max(), rtol=0, atol=1e-12))[-1]])
    below = values[values < called_present]
    return (called_present + float(below.max())) / 2 if len(below) else called_present


def log_loss(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean binary cross-entropy; probabilities closer to 0 or 1 than 1e-7 count as that."""
    truth, values = _pair(labels, probabilities)
    values = values.clip(1e-7, 1 - 1e-7)
    return float(-np.where(truth, np.log(values), np.log1p(-values)).mean())


def _pair(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    truth = np.asarray(labels).astype(np.bool_)
    values = np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != values.shape:
        raise ValueError(
            f"labels and scores must be two lists of one length, not {truth.shape} and {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError("a score is not a finite number")
    return truth, values
