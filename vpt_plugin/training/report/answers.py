"""Probabilities by state, and learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from vpt_plugin.training.report.facts import LearningCurve
from vpt_plugin.training.report.style import (
    ABSENT,
    FAINT,
    FULL_WIDTH_INCHES,
    HALF_WIDTH_INCHES,
    INK,
    PRESENT,
    legend,
    new_figure,
    png,
    tidy,
)
from vpt_plugin.training.report.words import number_in_words

Floats = NDArray[np.float64]
_BINS = 20


def histogram_figure(states: Floats, probabilities: Floats, threshold: float) -> bytes:
    """How many studies of each state got which probability, with the threshold, as PNG.

    Present studies stand above the line, absent ones hang below it.

    Args:
        states: (n,), 1 present and 0 absent.
        probabilities: (n,).
        threshold: nan for none.
    """
    figure = new_figure(HALF_WIDTH_INCHES, 4.1)
    axes = figure.add_subplot()
    edges = np.linspace(0, 1, _BINS + 1)
    for state, name, sign, colour, hatch in (
        (1, "present", 1, PRESENT, ""),
        (0, "absent", -1, ABSENT, "////"),
    ):
        chosen = probabilities[states == state]
        axes.bar(
            edges[:-1], sign * np.histogram(chosen, edges)[0],
            width=1 / _BINS, align="edge", color=colour, hatch=hatch, edgecolor="white", linewidth=0.5,
            label=f"{name} ({len(chosen)})",
        )  # fmt: skip
    axes.axhline(0, color=INK, linewidth=0.8)
    if not math.isnan(threshold):
        axes.axvline(
            threshold,
            color=INK,
            linewidth=1.2,
            linestyle="--",
            label=f"threshold {number_in_words(threshold)}",
        )
    tidy(axes, x="probability of the study", y="studies")
    axes.set_xlim(-0.01, 1.01)
    # Room above for the legend, which would else hide the highest bars.
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.28 * (high - low))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):g}"))
    axes.set_box_aspect(1)
    legend(axes, "upper center")
    return png(figure)


def learning_figure(curves: Sequence[LearningCurve]) -> bytes:
    """Loss and validation AUROC over the epochs, one pair of panels per training round, as PNG."""
    alone = len(curves) == 1
    across = 1 if alone else 2 if len(curves) in (2, 4) else 3
    blocks = -(-len(curves) // across)
    # Four blocks, the most there can be, fit on a printed page.
    figure = new_figure(FULL_WIDTH_INCHES, 3.0 if alone else (3.9 if blocks < 3 else 3.0) * blocks)
    panels = (
        figure.subplots(1, 2, squeeze=False) if alone else figure.subplots(2 * blocks, across, squeeze=False)
    )
    for axes in panels.flat:
        axes.set_visible(False)
    top = _highest_loss(curves)
    for number, curve in enumerate(curves):
        block, column = divmod(number, across)
        loss, auroc = panels[0] if alone else panels[2 * block : 2 * block + 2, column]
        _loss_panel(loss, curve, top)
        _auroc_panel(auroc, curve)
    lines, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside upper left", ncols=len(names), fontsize=8, frameon=False)
    return png(figure)


def _loss_panel(axes: Axes, curve: LearningCurve, top: float) -> None:
    axes.set_visible(True)
    _best(axes, curve)
    axes.plot(curve.epochs, curve.train_loss, color=ABSENT, linewidth=1.6, linestyle="--", label="training")
    if not np.isnan(curve.validation_loss).all():
        axes.plot(curve.epochs, curve.validation_loss, color=PRESENT, linewidth=1.6, label="validation")
    tidy(axes, x="epoch", y="loss", title=curve.title)
    axes.set_ylim(0, top)
    _whole_epochs(axes, curve)


def _auroc_panel(axes: Axes, curve: LearningCurve) -> None:
    axes.set_visible(True)
    _best(axes, curve)
    tidy(axes, x="epoch", y="validation AUROC")
    axes.set_ylim(-0.02, 1.02)
    _whole_epochs(axes, curve)
    if np.isnan(curve.validation_auroc).all():
        axes.text(
            0.5, 0.5, "no validation:\nlearns from all studies",
            transform=axes.transAxes, ha="center", va="center", fontsize=8, color=INK,
        )  # fmt: skip
        return
    axes.axhline(0.5, color=FAINT, linewidth=0.8, linestyle=":")
    axes.plot(curve.epochs, curve.validation_auroc, color=PRESENT, linewidth=1.6, marker="o", markersize=3)


def _best(axes: Axes, curve: LearningCurve) -> None:
    axes.axvline(curve.best_epoch, color=INK, linewidth=1.0, linestyle="-.", label="the epoch that was kept")


def _whole_epochs(axes: Axes, curve: LearningCurve) -> None:
    axes.set_xlim(0.5, max(curve.epochs, default=1) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _highest_loss(curves: Sequence[LearningCurve]) -> float:
    losses = [loss for curve in curves for loss in (*curve.train_loss, *curve.validation_loss)]
    highest = max((loss for loss in losses if math.isfinite(loss)), default=1.0)
    return 1.1 * highest or 1.0
