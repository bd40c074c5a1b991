"""Figure 3: the best 3D network against the best 2D one over the fractions of the training set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from vpt_plugin.models.card import Estimate
from vpt_plugin.study.differences import Difference
from vpt_plugin.study.figures_canvas import (
    NOT_KNOWN,
    PAGE_INCHES,
    SMALL_PT,
    Look,
    auroc_limits,
    dot,
    legend_above,
    line_in_legend,
    plain,
    seed_dots,
    seed_in_legend,
    whisker,
    whisker_in_legend,
)
from vpt_plugin.study.rows import TableRow, dataset_in_words, percent_in_words
from vpt_plugin.training.report.style import FAINT, INK, PRESENT, new_figure
from vpt_plugin.words import studies_in_words

CLAIM = "best_3d_over_best_2d"
ARMS = ("video", "ct", "none")
KIND_LOOKS = {
    "3d": Look("best 3D network", PRESENT, "D", filled=True),
    "2d": Look("best 2D network", "#b86200", "s", filled=False, line="--"),
}
# Factors of the percent: side by side, so that no whisker hides another.
_BESIDE = {"3d": 1.07, "2d": 1 / 1.07}
_COLUMNS = 2
_NARROW_INCHES, _PANEL_INCHES = 4.4, 2.7


@dataclass(frozen=True)
class Best:
    """The best network of one kind on one part of the experiment."""

    network: str
    title: str
    auroc: Estimate
    of_seeds: tuple[float, ...]


def best_of(rows: Sequence[TableRow], difference: Difference) -> dict[str, Best]:
    """The two networks that a difference compares, by their kind."""
    aurocs = difference.better, difference.worse
    found = {}
    for kind, network, arm, auroc in zip(
        KIND_LOOKS, difference.networks, difference.arms, aurocs, strict=True
    ):
        row = next(
            row
            for row in rows
            if (row.network, row.arm) == (network, arm)
            and (row.dataset, row.percent) == (difference.dataset, difference.percent)
        )
        found[kind] = Best(network, row.title, auroc, row.of_seeds)
    return found


def arm_shown(differences: Sequence[Difference]) -> str:
    """The arm whose best networks are drawn: video where it is compared, else CT, else none; or ""."""
    there = {each.arms[0] for each in differences if each.claim == CLAIM and not math.isnan(each.gain.value)}
    return next((arm for arm in ARMS if arm in there), "")


def fractions_figure(
    rows: Sequence[TableRow],
    differences: Sequence[Difference],
    trained_on: Mapping[tuple[str, float], int] | None = None,
) -> Figure | None:
    """A panel per dataset; None where a 3D and a 2D network are nowhere compared.

    Args:
        rows: of one source.
        differences: of the same source; those of the best networks are drawn.
        trained_on: number of training studies by dataset and percent, where it is known.
    """
    compared = [each for each in differences if each.claim == CLAIM and not math.isnan(each.gain.value)]
    arm = arm_shown(compared)
    best = {(each.dataset, each.percent): best_of(rows, each) for each in compared if each.arms[0] == arm}
    if not best:
        return None
    drawn = [each for pair in best.values() for each in pair.values()]
    limits = auroc_limits([each.auroc for each in drawn], [v for each in drawn for v in each.of_seeds])
    datasets = list(dict.fromkeys(row.dataset for row in rows))
    figure, panels = _panels(datasets)
    for number, (dataset, axes) in enumerate(zip(datasets, panels, strict=True)):
        percents = sorted({row.percent for row in rows if row.dataset == dataset})
        plain(axes, x="share of the training studies", y="" if number % _COLUMNS else "AUROC, test studies",
              title=dataset_in_words(dataset))  # fmt: skip
        _percent_axis(axes, dataset, percents, trained_on or {})
        # Room for the names at the ends of the whiskers.
        axes.set_ylim(limits[0] - 0.03, limits[1] + 0.05)
        axes.axhline(0.5, color=FAINT, linewidth=1.0, linestyle=":", zorder=1)
        by_percent = {percent: best.get((dataset, percent)) for percent in percents}
        for kind in KIND_LOOKS:
            _curve(axes, dataset, kind, by_percent)
        _name_networks(axes, by_percent)
    marks = [whisker_in_legend(), *([seed_in_legend()] if any(len(e.of_seeds) > 1 for e in drawn) else [])]
    legend_above(figure, list(KIND_LOOKS.values()), *marks, line_in_legend("chance"), lines=True)
    return figure


def _panels(datasets: Sequence[str]) -> tuple[Figure, list[Axes]]:
    columns = min(_COLUMNS, len(datasets))
    height = math.ceil(len(datasets) / columns)
    figure = new_figure(PAGE_INCHES if columns > 1 else _NARROW_INCHES, _PANEL_INCHES * height + 0.35)
    panels = list(figure.subplots(height, columns, squeeze=False, sharey=True).flat)
    for axes in panels[len(datasets) :]:
        axes.set_axis_off()
    return figure, panels[: len(datasets)]


def _percent_axis(
    axes: Axes, dataset: str, percents: Sequence[float], trained_on: Mapping[tuple[str, float], int]
) -> None:
    axes.set_xscale("log")
    axes.set_xlim(percents[0] / 2.4, percents[-1] * 2.4)
    axes.xaxis.set_major_locator(FixedLocator(list(percents)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(labelleft=True)
    names = []
    for percent in percents:
        number = trained_on.get((dataset, percent))
        names.append(percent_in_words(percent) + (f"\n{studies_in_words(number)}" if number else ""))
    axes.set_xticks(list(percents), names)


def _curve(
    axes: Axes, dataset: str, kind: str, by_percent: Mapping[float, Mapping[str, Best] | None]
) -> None:
    """The line breaks where nothing is known."""
    look = KIND_LOOKS[kind]
    x = [percent * _BESIDE[kind] for percent in by_percent]
    y = [pair[kind].auroc.value if pair else math.nan for pair in by_percent.values()]
    axes.plot(x, y, color=look.colour, linewidth=1.1, linestyle=look.line, zorder=1.5)
    for across, (percent, pair) in zip(x, by_percent.items(), strict=True):
        if pair is None:
            continue
        best = pair[kind]
        whisker(axes, best.auroc, across, look, along="y")
        seed_dots(axes, best.of_seeds, across, look, along="y")
        dot(axes, (across, best.auroc.value), look, size=5, name=f"{dataset}-{percent:g}-{best.network}")


def _name_networks(axes: Axes, by_percent: Mapping[float, Mapping[str, Best] | None]) -> None:
    """The better network above both whiskers, the other one below them."""
    for percent, pair in by_percent.items():
        if pair is None:
            axes.annotate(
                NOT_KNOWN, (percent, 0.03), xycoords=("data", "axes fraction"), ha="center",
                fontsize=SMALL_PT, color=INK,
            )  # fmt: skip
            continue
        ranked = sorted(pair.items(), key=lambda each: -each[1].auroc.value)
        # Whiskers stand side by side, so each name must clear both of them.
        ends = [
            end
            for best in pair.values()
            for end in (best.auroc.value, *best.auroc.ci95, *best.of_seeds)
            if not math.isnan(end)
        ]
        for above, (kind, best) in zip((True, False), ranked, strict=True):
            axes.annotate(
                best.title, (percent, max(ends) if above else min(ends)), xytext=(0, 4 if above else -4),
                textcoords="offset points", ha="center", va="bottom" if above else "top",
                fontsize=SMALL_PT, parse_math=False, color=KIND_LOOKS[kind].colour,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
            )  # fmt: skip
