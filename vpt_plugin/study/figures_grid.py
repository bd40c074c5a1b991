"""The grid of figures 2 and 4: a panel per dataset and percent, a row per network, 3D and 2D apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vpt_plugin.study.figures_canvas import (
    PAGE_INCHES,
    SMALL_PT,
    plain,
)
from vpt_plugin.study.rows import TableRow, dataset_in_words, percent_in_words
from vpt_plugin.training.report.style import FAINT, INK, new_figure

KINDS = ("3d", "2d")
_KIND_TITLES = {"3d": "3D networks", "2d": "2D networks"}
MEAN = "mean"
_ROW_INCHES, _PANEL_INCHES, _NAMES_INCHES = 0.185, 2.2, 1.1


@dataclass(frozen=True)
class Line:
    """One line of a panel.

    Attributes:
        kind: ``3d`` or ``2d``.
        network: its name, ``MEAN``, or "" for the line that names the kind.
        title: what stands at the left.
        y: where its middle is, from the top down.
        height: of the line; that of a network is 1.
    """

    kind: str
    network: str
    title: str
    y: float
    height: float = 1.0

    @property
    def is_network(self) -> bool:
        """Whether it is neither the kind's name nor the mean."""
        return self.network not in ("", MEAN)


def lines_of(rows: Sequence[TableRow], *, mean_height: float = 1.0) -> tuple[Line, ...]:
    """A line per network in the order of the rows, below the kind's name and above its mean."""
    lines: list[Line] = []
    y = 0.0
    for kind in KINDS:
        networks = {row.network: row.title for row in rows if row.kind == kind}
        if not networks:
            continue
        titles = {"": _KIND_TITLES[kind], **networks}
        if len(networks) > 1:
            titles[MEAN] = f"mean of the {len(networks)}"
        for network, title in titles.items():
            height = mean_height if network == MEAN else 1.0
            lines.append(Line(kind, network, title, y - height / 2, height))
            y -= height
        y -= 0.3
    return tuple(lines)


def panels_of(
    rows: Sequence[TableRow], lines: Sequence[Line], limits: tuple[float, float], x: str
) -> tuple[Figure, dict[tuple[str, float], Axes]]:
    """An empty figure with a panel for each dataset (downwards) and percent (to the right, largest first).

    Args:
        rows: which datasets and percents there are.
        lines: of each panel.
        limits: of the x axis of all panels.
        x: what it shows.
    """
    percents = {name: sorted({r.percent for r in rows if r.dataset == name}, reverse=True) for name in
                dict.fromkeys(row.dataset for row in rows)}  # fmt: skip
    columns, height = (
        max(map(len, percents.values())),
        _ROW_INCHES * (lines[-1].height / 2 - lines[-1].y) + 0.55,
    )
    width = min(PAGE_INCHES, max(4.4, _NAMES_INCHES + _PANEL_INCHES * columns))
    figure = new_figure(width, height * len(percents) + 0.45)
    grid = figure.subplots(len(percents), columns, squeeze=False, sharex=True, sharey=True)
    panels = {}
    for across, (dataset, shares) in zip(grid, percents.items(), strict=True):
        for place, axes in enumerate(across):
            if place >= len(shares):
                # The experiment has no such part; a part that is missing is drawn with n/a in it.
                axes.set_axis_off()
                continue
            panels[dataset, shares[place]] = axes
            plain(axes, x=x, title=f"{dataset_in_words(dataset)}, {percent_in_words(shares[place])}")
            axes.tick_params(labelbottom=True)
    _name_lines([grid[number][0] for number in range(len(grid))], lines)
    for axes in panels.values():
        axes.set_xlim(*limits)
        _rule(axes, lines)
    return figure, panels


def _rule(axes: Axes, lines: Sequence[Line]) -> None:
    """Room for the lines, and grey behind the means."""
    axes.set_ylim(lines[-1].y - lines[-1].height / 2 - 0.1, 0.1)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for line in lines:
        if line.network == MEAN:
            ends = line.y - line.height / 2, line.y + line.height / 2
            axes.axhspan(*ends, color="#f1f1f1", linewidth=0, zorder=0)


def _name_lines(leftmost: Sequence[Axes], lines: Sequence[Line]) -> None:
    for axes in leftmost:
        axes.set_yticks([line.y for line in lines])
        axes.set_yticklabels([line.title for line in lines], fontsize=SMALL_PT + 0.5, color=INK)
        for line, label in zip(lines, axes.get_yticklabels(), strict=True):
            label.set_parse_math(False)
            label.set_fontweight("bold" if line.network in ("", MEAN) else "normal")


def upright_line(axes: Axes, at: float) -> None:
    """The dotted line of chance, or of no difference."""
    axes.axvline(at, color=FAINT, linewidth=1.0, linestyle=":", zorder=1)
