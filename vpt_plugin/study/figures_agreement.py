"""Figure S: what was found here against what was published, cell by cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vpt_plugin.study.figures_canvas import (
    ARM_LOOKS,
    PAGE_INCHES,
    auroc_limits,
    dot,
    legend_above,
    line_in_legend,
    plain,
    whisker,
)
from vpt_plugin.study.rows import TableRow, dataset_in_words
from vpt_plugin.study.side_by_side import side_by_side
from vpt_plugin.training.report.style import FAINT, new_figure

_COLUMNS = 2
# Of more cells the whiskers would hide the dots.
_FEW = 24


def agreement_figure(ours: Sequence[TableRow], published: Sequence[TableRow]) -> Figure | None:
    """Published AUROC to the right, ours upwards, a panel per dataset; None where no cell is in both."""
    pairs = [(each.ours, each.published) for each in side_by_side(ours, published)]
    if not pairs:
        return None
    datasets = list(dict.fromkeys(row.dataset for row, _ in pairs))
    columns = min(_COLUMNS, len(datasets))
    height = math.ceil(len(datasets) / columns)
    figure = new_figure(PAGE_INCHES if columns > 1 else 4.4, (3.6 if columns > 1 else 4.2) * height + 0.5)
    panels = figure.subplots(height, columns, squeeze=False)
    limits = auroc_limits([row.auroc for pair in pairs for row in pair])
    for axes in panels.flat[len(datasets) :]:
        axes.set_axis_off()
    for number, dataset in enumerate(datasets):
        axes = panels.flat[number]
        plain(axes, x="AUROC as published", y="AUROC here", title=dataset_in_words(dataset))
        axes.set_xlim(*limits)
        axes.set_ylim(*limits)
        axes.set_box_aspect(1)
        axes.plot(limits, limits, color=FAINT, linewidth=1.0, linestyle=":", zorder=1)
        for row, other in pairs:
            if row.dataset == dataset:
                _cell(axes, row, other, opacity=1.0 if len(pairs) <= _FEW else 0.35)
    arms = [arm for arm in ARM_LOOKS if any(row.arm == arm for row, _ in pairs)]
    legend_above(figure, [ARM_LOOKS[arm] for arm in arms], line_in_legend("the same"))
    return figure


def _cell(axes: Axes, ours: TableRow, published: TableRow, *, opacity: float) -> None:
    look = ARM_LOOKS[ours.arm]
    whisker(axes, published.auroc, ours.auroc.value, look, opacity=opacity)
    whisker(axes, ours.auroc, published.auroc.value, look, along="y", opacity=opacity)
    name = f"{ours.dataset}-{ours.percent:g}-{ours.network}-{ours.arm}"
    dot(axes, (published.auroc.value, ours.auroc.value), look, size=4, name=name)
