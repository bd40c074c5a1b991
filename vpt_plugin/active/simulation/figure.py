"""Learning curves: AUROC against the number of labels, each strategy beside chance, and the differences."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from vpt_plugin.active.simulation.settings import BASELINE
from vpt_plugin.active.simulation.summary import StrategySummary, interval_over_seeds
from vpt_plugin.training.report.style import (
    ABSENT,
    FAINT,
    FULL_WIDTH_INCHES,
    INK,
    PRESENT,
    legend,
    new_figure,
    png,
    tidy,
)

_COLUMNS = 3
_ROW_INCHES = 2.7
_BAND_OPACITY = 0.22


def learning_curves(summaries: Sequence[StrategySummary], *, target: float, title: str) -> bytes:
    """One panel per strategy, with ``random`` in each, and one of the differences in area; as PNG.

    Args:
        summaries: of all strategies.
        target: an AUROC, drawn as a line; a ring is where a mean curve has reached it to stay.
        title: what was simulated.
    """
    by_name = {each.strategy: each for each in summaries}
    baseline = by_name.get(BASELINE)
    shown = [each for each in summaries if each.strategy != BASELINE] or list(summaries)
    compared = [each for each in shown if math.isfinite(each.difference.value)]
    panels = len(shown) + bool(compared)
    columns = min(_COLUMNS, panels)
    rows = math.ceil(panels / columns)
    figure = new_figure(FULL_WIDTH_INCHES, _ROW_INCHES * rows + 0.4)
    figure.suptitle(title, fontsize=9, color=INK, x=0.01, ha="left")
    low = min(0.5, *(float(np.nanmin(each.auroc.mean(axis=0))) for each in summaries)) - 0.04
    for number, each in enumerate(shown):
        axes = figure.add_subplot(rows, columns, number + 1)
        if baseline is not None and each is not baseline:
            _curve(axes, baseline, ABSENT)
        _curve(axes, each, PRESENT)
        axes.axhline(target, color=FAINT, linewidth=0.8, linestyle=":")
        axes.set_ylim(low, 1.01)
        tidy(axes, x="labels", y="AUROC, held out" if number % columns == 0 else "")
        legend(axes, "above")
    if compared:
        _differences(figure.add_subplot(rows, columns, panels), compared)
    return png(figure)


def _curve(axes: Axes, summary: StrategySummary, colour: str) -> None:
    """The mean over seeds, and its 95 % interval as a band."""
    points = [interval_over_seeds(column, low=0.0) for column in summary.auroc.T]
    ends = np.array([point.ci95 for point in points])
    axes.fill_between(summary.labels, ends[:, 0], ends[:, 1], color=colour, alpha=_BAND_OPACITY, linewidth=0)
    axes.plot(
        summary.labels, [point.value for point in points],
        color=colour, linewidth=1.6, marker="o", markersize=2.5, label=summary.strategy,
    )  # fmt: skip
    if math.isfinite(summary.needed.of_mean):
        at = int(np.flatnonzero(summary.labels == summary.needed.of_mean)[0])
        axes.plot(
            summary.labels[at], points[at].value, color=colour, marker="o", markersize=8, fillstyle="none"
        )


def _differences(axes: Axes, summaries: Sequence[StrategySummary]) -> None:
    """What each strategy's area has more than that of ``random``, with intervals."""
    places = np.arange(len(summaries))[::-1]
    for place, each in zip(places, summaries, strict=True):
        low, high = each.difference.ci95
        axes.plot([low, high], [place, place], color=PRESENT, linewidth=1.4, solid_capstyle="butt")
        axes.plot(each.difference.value, place, color=PRESENT, marker="o", markersize=4)
        # Names stand above their lines: beside the axes they would take a third of the panel.
        axes.annotate(
            each.strategy, (0.02, place + 0.22), xycoords=("axes fraction", "data"), fontsize=8, color=INK
        )
    axes.axvline(0, color=FAINT, linewidth=0.8, linestyle=":")
    axes.set_yticks([])
    axes.set_ylim(-0.5, len(summaries) - 0.4)
    axes.spines["left"].set_visible(False)
    tidy(axes, x=f"area, less that of {BASELINE}")
