"""Figure 4: how far video (or image) pretraining is ahead of CT pretraining, alone and followed by it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vpt_plugin.study.differences import Difference
from vpt_plugin.study.figures_canvas import (
    ARM_LOOKS,
    NOT_ALL,
    NOT_KNOWN,
    beside,
    dot,
    gain_in_figures,
    legend_above,
    line_in_legend,
    whisker,
    whisker_in_legend,
)
from vpt_plugin.study.figures_grid import MEAN, Line, lines_of, panels_of, upright_line
from vpt_plugin.study.rows import TableRow

CLAIMS = {"video": "gain_over_ct", "video+ct": "both_over_ct"}
_APART = {"video": 0.2, "video+ct": -0.2}
# Of its two gains in numbers, each beside its dot.
_MEAN_HEIGHT = 1.6


def gain_over_ct_figure(rows: Sequence[TableRow], differences: Sequence[Difference]) -> Figure | None:
    """Two dots per network, right of zero where it is ahead; None where no gain over CT pretraining is known.

    Args:
        rows: of one source; they tell which networks there are.
        differences: of the same source; those over CT pretraining are drawn.
    """
    gains = [
        each for each in differences if each.claim in CLAIMS.values() and not math.isnan(each.gain.value)
    ]
    parts = {(each.dataset, each.percent) for each in gains}
    shown = [row for row in rows if (row.dataset, row.percent) in parts]
    if not shown:
        return None
    by_line: dict[tuple[str, float, str | None, str, str], Difference] = {
        (
            each.dataset,
            each.percent,
            each.kind,
            MEAN if each.is_mean else each.networks[0],
            each.arms[0],
        ): each
        for each in gains
    }
    # An arm that the plan leaves out is no gap.
    arms = [arm for arm in CLAIMS if any(each.arms[0] == arm for each in gains)]
    lines = lines_of(shown, mean_height=_MEAN_HEIGHT)
    figure, panels = panels_of(shown, lines, _limits(gains), "AUROC gained over CT pretraining")
    for (dataset, percent), axes in panels.items():
        upright_line(axes, 0)
        for line in lines:
            if line.network:
                found = {arm: by_line.get((dataset, percent, line.kind, line.network, arm)) for arm in arms}
                networks = sum(each.kind == line.kind and each.is_network for each in lines)
                _gains(axes, line, found, networks)
    # Published gains have no intervals.
    marks = [whisker_in_legend()] if any(not math.isnan(each.gain.ci95[0]) for each in gains) else []
    legend_above(figure, [ARM_LOOKS[arm] for arm in arms], *marks, line_in_legend("CT pretraining alone"))
    return figure


def _limits(gains: Sequence[Difference]) -> tuple[float, float]:
    ends = [end for each in gains for end in (each.gain.value, *each.gain.ci95) if not math.isnan(end)]
    return min([-0.05, *ends]) - 0.04, max([0.05, *ends]) + 0.04


def _gains(axes: Axes, line: Line, gains: Mapping[str, Difference | None], networks: int) -> None:
    """The dots of one line; the means in numbers, and n/a where nothing is known."""
    if not any(gains.values()):
        beside(axes, NOT_KNOWN, line.y)
        return
    for arm, each in gains.items():
        y = line.y + _APART[arm] * line.height
        if each is None:
            beside(axes, NOT_KNOWN, y)
            continue
        look, is_mean = ARM_LOOKS[arm], line.network == MEAN
        whisker(axes, each.gain, y, look)
        name = f"{each.dataset}-{each.percent:g}-{line.network}-{line.kind}-{arm}"
        dot(axes, (each.gain.value, y), look, size=5 if is_mean else 4, name=name)
        if is_mean:
            fewer = "" if len(each.networks) == networks else NOT_ALL
            beside(axes, gain_in_figures(each.gain.value) + fewer, y, bold=True)
