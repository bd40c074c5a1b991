"""Figure 2: every network with and without video (3D) or image (2D) pretraining."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vpt_plugin.models.card import Estimate
from vpt_plugin.study.differences import Difference
from vpt_plugin.study.figures_canvas import (
    ARM_LOOKS,
    NOT_ALL,
    NOT_KNOWN,
    auroc_limits,
    beside,
    dot,
    gain_in_figures,
    legend_above,
    line_in_legend,
    seed_dots,
    seed_in_legend,
    whisker,
    whisker_in_legend,
)
from vpt_plugin.study.figures_grid import MEAN, Line, lines_of, panels_of, upright_line
from vpt_plugin.study.rows import TableRow
from vpt_plugin.training.report.style import FAINT, INK

# Which pretraining is drawn beside none: CT where no network has another, as those without published weights.
CLAIMS = {"video": "video_gain", "ct": "ct_gain"}
# How far the two arms stand from the middle of their line, the pretrained one above.
_APART = 0.18
_UNDEFINED = Estimate(math.nan, (math.nan, math.nan), 0)


@dataclass(frozen=True)
class Pair:
    """One line of a panel: a network, or the mean, without and with pretraining; undefined is nan."""

    without: Estimate
    pretrained: Estimate

    @property
    def gain(self) -> float:
        """Of the second over the first; nan where one of them is not known."""
        return self.pretrained.value - self.without.value


def pretraining_figure(rows: Sequence[TableRow], differences: Sequence[Difference]) -> Figure | None:
    """A pair of dots per network, joined by a line, and that of the mean; None where no row is pretrained.

    Args:
        rows: of one source; those without pretraining and those with video (or image) pretraining are drawn;
            where no network has that, those with CT pretraining.
        differences: of the same source; the means are theirs.
    """
    pretrained = next((arm for arm in CLAIMS if any(row.arm == arm for row in rows)), None)
    if pretrained is None:
        return None
    arms = "none", pretrained
    rows = [row for row in rows if row.arm in arms]
    by_cell = {(row.network, row.arm, row.dataset, row.percent): row for row in rows}
    means: dict[tuple[str | None, str, float], Difference] = {
        (each.kind, each.dataset, each.percent): each
        for each in differences
        if each.claim == CLAIMS[pretrained] and each.is_mean
    }
    lines = lines_of(rows)
    limits = auroc_limits([row.auroc for row in rows], [value for row in rows for value in row.of_seeds])
    figure, panels = panels_of(rows, lines, limits, "AUROC, test studies")
    for (dataset, percent), axes in panels.items():
        upright_line(axes, 0.5)
        for line in lines:
            if not line.network:
                beside(axes, "gain", line.y)
            elif line.network == MEAN:
                networks = sum(each.kind == line.kind and each.is_network for each in lines)
                _mean(axes, line, arms, means.get((line.kind, dataset, percent)), networks)
            else:
                found = {arm: by_cell.get((line.network, arm, dataset, percent)) for arm in arms}
                _network(axes, line, found, f"{dataset}-{percent:g}")
    marks = [whisker_in_legend(), *([seed_in_legend()] if any(len(row.of_seeds) > 1 for row in rows) else [])]
    legend_above(figure, [ARM_LOOKS[arm] for arm in arms], *marks, line_in_legend("chance"))
    return figure


def _network(axes: Axes, line: Line, rows: Mapping[str, TableRow | None], where: str) -> None:
    pair = Pair(*(row.auroc if row else _UNDEFINED for row in rows.values()))
    heights = line.y - _APART, line.y + _APART
    if not math.isnan(pair.gain):
        values = [pair.without.value, pair.pretrained.value]
        axes.plot(values, heights, color=FAINT, linewidth=1.1, zorder=1.5)
    for (arm, row), y in zip(rows.items(), heights, strict=True):
        if row is None or math.isnan(row.auroc.value):
            continue
        whisker(axes, row.auroc, y, ARM_LOOKS[arm])
        seed_dots(axes, row.of_seeds, y, ARM_LOOKS[arm])
        dot(axes, (row.auroc.value, y), ARM_LOOKS[arm], size=4, name=f"{where}-{line.network}-{arm}")
    beside(axes, gain_in_figures(pair.gain), line.y)


def _mean(
    axes: Axes, line: Line, arms: tuple[str, str], difference: Difference | None, networks: int
) -> None:
    """Both means and how far they are apart; with an asterisk where not all networks have both arms."""
    if difference is None or math.isnan(difference.gain.value):
        beside(axes, NOT_KNOWN, line.y)
        return
    estimates = difference.worse, difference.better
    axes.plot([each.value for each in estimates], [line.y] * 2, color=INK, linewidth=1.3, zorder=1.5)
    where = f"{difference.dataset}-{difference.percent:g}-{MEAN}-{line.kind}"
    for arm, estimate, apart in zip(arms, estimates, (-_APART, _APART), strict=True):
        whisker(axes, estimate, line.y + apart, ARM_LOOKS[arm])
        dot(axes, (estimate.value, line.y), ARM_LOOKS[arm], size=5.5, name=f"{where}-{arm}")
    fewer = "" if len(difference.networks) == networks else NOT_ALL
    beside(axes, gain_in_figures(difference.gain.value) + fewer, line.y, bold=True)
