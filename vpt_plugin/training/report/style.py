"""How the figures look: sizes, colours, and a matplotlib figure as the bytes of a PNG file.

Only the object interface is used: pyplot keeps figures and settings for the whole process, which a server's
threads would share. Texts in figures are ours or names of findings: a study's name may hold a formula or a
script that the font lacks, so it stands in the page and not in the picture.
"""

from __future__ import annotations

import io
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Layout = Literal["constrained", "none"]
# Blue and orange keep apart for every kind of colour vision (Okabe & Ito, Color Universal Design, 2008); one
# is dark and one is light, so that they do on a grey printer, too.
PRESENT, ABSENT = "#0b4f8a", "#f0a33a"
INK, FAINT, BAND = "#222222", "#8a8a8a", "#b9d3ea"
# Wide enough for the page, half of it, and what a printed page holds at that size.
FULL_WIDTH_INCHES, HALF_WIDTH_INCHES = 8.8, 4.3
_DPI = 160
_TEXT, _SMALL = 9.0, 8.0


def new_figure(width_inches: float, height_inches: float, *, layout: Layout = "constrained") -> Figure:
    """An empty figure that leaves no label outside; with the layout ``none`` axes stay where they are put."""
    figure = Figure(figsize=(width_inches, height_inches), dpi=_DPI, facecolor="white")
    figure.set_layout_engine(layout)
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Labels in the sizes of the report, and no more lines than a reader needs."""
    axes.set_xlabel(x, fontsize=_TEXT, color=INK)
    axes.set_ylabel(y, fontsize=_TEXT, color=INK)
    if title:
        axes.set_title(title, fontsize=_TEXT, color=INK, loc="left")
    axes.tick_params(labelsize=_SMALL, colors=INK, length=3)
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def legend(axes: Axes, place: str) -> None:
    """The names of the lines, each once; ``above`` the axes, or where matplotlib's word says."""
    lines, names = axes.get_legend_handles_labels()
    named = dict(zip(names, lines, strict=True))
    where: dict[str, Any] = {"loc": place}
    if place == "above":
        where = {
            "loc": "lower left",
            "bbox_to_anchor": (-0.02, 1.0),
            "ncols": len(named),
            "columnspacing": 1.2,
            "handlelength": 1.6,
        }
    axes.legend(
        list(named.values()), list(named),
        fontsize=_SMALL, frameon=True, framealpha=0.9, edgecolor="none", borderpad=0.3, **where,
    )  # fmt: skip


def shares(axes: Axes) -> None:
    """Both axes from 0 to 1, as a square, with room for a line along the edge."""
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_box_aspect(1)


def png(figure: Figure) -> bytes:
    """The figure as a PNG file; the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return file.getvalue()
