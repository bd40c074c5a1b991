"""ROC, precision-recall and reliability of one finding, of whole validation studies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from vpt_plugin.models.card import Estimate
from vpt_plugin.training.calibration import reliability
from vpt_plugin.training.metrics import PatientBootstrap, sensitivity, specificity
from vpt_plugin.training.metrics import positive_predictive_value as precision_at
from vpt_plugin.training.metrics.drawn import Answers, Drawn, ratio
from vpt_plugin.training.report.style import (
    BAND,
    FAINT,
    HALF_WIDTH_INCHES,
    INK,
    PRESENT,
    legend,
    new_figure,
    png,
    shares,
    tidy,
)
from vpt_plugin.training.report.words import figure_in_words
from vpt_plugin.words import studies_in_words

Floats = NDArray[np.float64]
_HEIGHT_INCHES = 4.1
# Where the band of the ROC is measured; more points than a figure of this size can show.
GRID = np.linspace(0, 1, 201)


def roc_figure(
    states: Floats, probabilities: Floats, patients: Sequence[str], threshold: float, auroc: Estimate
) -> bytes:
    """The ROC curve with its 95 % band over patients, as PNG.

    Args:
        states: (n,), 1 present and 0 absent; both are there.
        probabilities: (n,).
        patients: (n,), whose each is.
        threshold: where the point stands; nan for none.
        auroc: for the legend.
    """
    figure = new_figure(HALF_WIDTH_INCHES, _HEIGHT_INCHES)
    axes = figure.add_subplot()
    low, high = roc_band(states, probabilities, patients)
    axes.fill_between(GRID, low, high, color=BAND, linewidth=0, label="95 % interval over patients")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":", label="chance")
    once = Drawn.once(Answers.of(states, probabilities))
    false_alarms, found = _roc(once)
    axes.plot(
        false_alarms[0], found[0], color=PRESENT, linewidth=1.8, label=f"AUROC {figure_in_words(auroc)}"
    )
    if not math.isnan(threshold):
        at = (
            1 - specificity(states, probabilities, threshold),
            sensitivity(states, probabilities, threshold),
        )
        _point(axes, at, threshold)
    tidy(axes, x="1 − specificity", y="sensitivity")
    shares(axes)
    legend(axes, "lower right")
    return png(figure)


def precision_recall_figure(
    states: Floats, probabilities: Floats, threshold: float, auprc: Estimate
) -> bytes:
    """The precision-recall curve in steps, as PNG; arguments as of ``roc_figure``."""
    figure = new_figure(HALF_WIDTH_INCHES, _HEIGHT_INCHES)
    axes = figure.add_subplot()
    once = Drawn.once(Answers.of(states, probabilities))
    found, called = once.present_down_to[0], (once.present_down_to + once.absent_down_to)[0]
    share = float(np.mean(states))
    axes.axhline(
        share, color=FAINT, linewidth=0.8, linestyle=":", label=f"chance: {100 * share:.0f} % have it"
    )
    # Steps that fall where a call is added: AUPRC is the area below just these.
    recall, precision = np.append(0, found / found[-1]), found / called
    axes.step(
        recall, np.append(precision[:1], precision),
        where="pre", color=PRESENT, linewidth=1.8, label=f"AUPRC {figure_in_words(auprc)}",
    )  # fmt: skip
    if (probabilities >= threshold).any():
        at = (sensitivity(states, probabilities, threshold), precision_at(states, probabilities, threshold))
        _point(axes, at, threshold)
    tidy(axes, x="sensitivity (recall)", y="positive predictive value (precision)")
    shares(axes)
    legend(axes, "lower left")
    return png(figure)


def reliability_figure(states: Floats, probabilities: Floats, error: Estimate) -> bytes:
    """Said probability beside the share that has the finding, in bins of equally many studies, as PNG."""
    figure = new_figure(HALF_WIDTH_INCHES, _HEIGHT_INCHES)
    axes = figure.add_subplot()
    bins = reliability(states, probabilities)
    said, share = (np.array([getattr(each, name) for each in bins]) for name in ("probability", "share"))
    ends = np.array([each.ci95 for each in bins]).T
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":", label="as it should be")
    each = (
        studies_in_words(round(bins[0].studies)) if len(bins) == 1 else f"{bins[0].studies:.3g} studies each"
    )
    axes.errorbar(
        said, share, yerr=np.clip([share - ends[0], ends[1] - share], 0, None),
        color=PRESENT, ecolor=PRESENT, elinewidth=1.0, capsize=2.5, linewidth=1.4, marker="o", markersize=4,
        label=f"{each}, 95 % interval",
    )  # fmt: skip
    tidy(axes, x="mean probability that was said", y="share that has the finding")
    axes.set_title(f"calibration error {figure_in_words(error)}", fontsize=9, color=INK, loc="left")
    shares(axes)
    legend(axes, "upper left")
    return png(figure)


def _roc(drawn: Drawn) -> tuple[Floats, Floats]:
    """1 − specificity and sensitivity down the scores, from (0, 0), (resamples, distinct scores + 1) each."""
    padding = ((0, 0), (1, 0))
    found = np.pad(ratio(drawn.present_down_to, drawn.present[:, None] + 0 * drawn.present_down_to), padding)
    alarms = np.pad(ratio(drawn.absent_down_to, drawn.absent[:, None] + 0 * drawn.absent_down_to), padding)
    return alarms, found


def roc_band(states: Floats, probabilities: Floats, patients: Sequence[str]) -> tuple[Floats, Floats]:
    """Sensitivity at every 1 − specificity of ``GRID``: its 2.5th and 97.5th percentile over resamples.

    Resamples without one of the states have no curve and are left out; nan where all are.
    """
    answers = Answers.of(states, probabilities)
    found: list[Floats] = []
    for weights in PatientBootstrap(patients).blocks():
        for alarms, hits in zip(*_roc(Drawn(answers, weights[:, answers.order])), strict=True):
            if not (np.isnan(alarms[-1]) or np.isnan(hits[-1])):
                found.append(np.interp(GRID, alarms, hits))
    if not found:
        return np.full(len(GRID), np.nan), np.full(len(GRID), np.nan)
    low, high = np.percentile(found, (2.5, 97.5), axis=0)
    return low, high


def _point(axes: Axes, at: tuple[float, float], threshold: float) -> None:
    axes.plot(
        *at, marker="D", markersize=6, markerfacecolor="white", markeredgecolor=INK, markeredgewidth=1.4,
        linestyle="none", label=f"threshold {threshold:.3f}",
    )  # fmt: skip
