"""What all figures of a study share: how an arm looks, a dot with its interval, SVG and PNG of a figure.

Sizes are those of a journal's page: 7.2 inches are two columns, and no text is below 6.5 pt.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vpt_plugin.models.card import Estimate
from vpt_plugin.training.report.style import FAINT, INK, PRESENT

PAGE_INCHES = 7.2
PNG_DPI = 200
TEXT_PT, SMALL_PT = 8.0, 6.5
NOT_KNOWN = "n/a"
# Behind a mean: not all networks of the kind have what it needs.
NOT_ALL = "*"
_SEED_OPACITY = 0.55
_OF_ALL = (
    'role="img" stroke-linejoin="round" stroke-linecap="butt" '
    "font-family=\"'DejaVu Sans', Verdana, Arial, sans-serif\""
)


@dataclass(frozen=True)
class Look:
    """How one kind of result looks: never by its colour alone.

    Attributes:
        label: in the legend.
        colour: of Okabe & Ito, darkened where it would be too light for a thin line on paper.
        marker: matplotlib's word for the shape.
        filled: whether the marker is; an open one is white inside.
        line: the style of a line through such markers.
    """

    label: str
    colour: str
    marker: str
    filled: bool
    line: Literal["-", "--"] = "-"


NO_PRETRAINING = Look("no pretraining", "#b86200", "o", filled=False)
PRETRAINED = Look("video/image pretraining", PRESENT, "D", filled=True)
CT_PRETRAINED = Look("CT pretraining", "#00795a", "s", filled=False)
BOTH = Look("video/image, then CT pretraining", "#a3427c", "^", filled=True)
ARM_LOOKS = {"none": NO_PRETRAINING, "video": PRETRAINED, "ct": CT_PRETRAINED, "video+ct": BOTH}


@dataclass(frozen=True)
class StudyFigure:
    """One figure as files, or why there is none.

    Attributes:
        name: of its files, without the ending.
        title: above it.
        caption: what is drawn, so that it can be read without the text around it.
        svg: a whole SVG file; empty where there is no figure.
        png: the same at 200 dpi.
        width_inches: of both.
        missing: why there is none.
    """

    name: str
    title: str
    caption: str = ""
    svg: str = ""
    png: bytes = b""
    width_inches: float = 0.0
    missing: str = ""

    @property
    def label(self) -> str:
        """``Figure 2`` of ``figure2``."""
        return f"Figure {self.name.removeprefix('figure')}"


def drawn(figure: Figure, name: str, title: str, caption: str) -> StudyFigure:
    """The figure as SVG and PNG; the same figure gives the same bytes."""
    # Laid out once for both: that takes a third of the time, and gives both the same places.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return StudyFigure(name, title, caption, svg(figure, name, title), png(figure), figure.get_figwidth())


def svg(figure: Figure, name: str, title: str) -> str:
    """The figure as SVG with its text as text, which can be searched, read aloud and edited.

    Nothing in it tells when it was drawn. Its ids begin with ``name``, so that several can stand in one page,
    and it brings no style sheet, which there would hold for the whole page.
    """
    file = io.StringIO()
    # Both are settings of the process in matplotlib, without a way to hand them to one figure.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    text = file.getvalue()
    text = re.sub(r"\n *<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"\n *<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r'( id="|"#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r' (?:d|x|y|transform)="[^"]*"', _shorter, text)
    # What the style sheet said, where it holds for this picture alone; the font once for all texts.
    text = re.sub(r"font-family: [^;\"]*; ", "", text)
    return text.replace("<svg ", f"<svg {_OF_ALL} ", 1)


def _shorter(attribute: re.Match[str]) -> str:
    """A hundredth of a point is finer than any print; half of the file is digits behind it."""
    return re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", attribute[0])


def png(figure: Figure) -> bytes:
    """The figure as PNG at 200 dpi."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return file.getvalue()


def dot(
    axes: Axes, at: tuple[float, float], look: Look, *, size: float = 4.5, name: str = "", above: int = 3
) -> None:
    """One result at (x, y); the name is the id of its group in the SVG."""
    axes.plot(
        *at, marker=look.marker, color=look.colour, markersize=size, markeredgewidth=1.1,
        markerfacecolor=look.colour if look.filled else "white", linestyle="none", gid=name or None,
        zorder=above,
    )  # fmt: skip


def whisker(
    axes: Axes, estimate: Estimate, across: float, look: Look, *, along: str = "x", opacity: float = 1.0
) -> None:
    """The 95 % interval, where there is one; an impossible one (low above high) is not drawn.

    Args:
        axes: to draw on.
        estimate: whose interval it is.
        across: where it stands on the other axis.
        look: whose colour it has.
        along: the axis that the interval runs along, ``x`` or ``y``.
        opacity: below 1 where there are many.
    """
    low, high = estimate.ci95
    if not low <= high:
        return
    ends, there = [low, high], [across, across]
    x, y = (ends, there) if along == "x" else (there, ends)
    axes.plot(x, y, color=look.colour, linewidth=0.9, solid_capstyle="butt", alpha=opacity, zorder=2)


def seed_dots(axes: Axes, values: Sequence[float], across: float, look: Look, *, along: str = "x") -> None:
    """Each seed as a small dot; one seed alone is the result itself and is not drawn twice."""
    known = [value for value in values if not math.isnan(value)]
    if len(known) < 2:
        return
    there = [across] * len(known)
    x, y = (known, there) if along == "x" else (there, known)
    axes.plot(
        x, y, marker=".", markersize=3, color=look.colour, alpha=_SEED_OPACITY, linestyle="none", zorder=2.5
    )


def beside(axes: Axes, said: str, y: float, *, bold: bool = False) -> None:
    """A number, or ``n/a``, in the column at the right of a panel, where no dot or whisker can be."""
    axes.annotate(
        said, (1.02, y), xycoords=("axes fraction", "data"), ha="left", va="center", fontsize=SMALL_PT,
        fontweight="bold" if bold else "normal", color=INK, annotation_clip=False,
    )  # fmt: skip


def gain_in_figures(gain: float) -> str:
    """``+0.146``, with the minus sign that the axes have."""
    return NOT_KNOWN if math.isnan(gain) else f"{gain:+.3f}".replace("-", "\N{MINUS SIGN}")


def legend_above(figure: Figure, looks: Sequence[Look], *more: Line2D, lines: bool = False) -> None:
    """What the markers mean, above all panels, and the line of chance or of no difference."""
    marks: list[Line2D] = [
        Line2D(
            [], [], marker=look.marker, color=look.colour, markersize=5, markeredgewidth=1.1,
            markerfacecolor=look.colour if look.filled else "white", linewidth=1.1,
            linestyle=look.line if lines else "none", label=look.label,
        )
        for look in looks
    ]  # fmt: skip
    handles = [*marks, *more]
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(
            handles=handles, loc="outside upper left", ncols=columns, fontsize=SMALL_PT + 0.5,
            frameon=False, handletextpad=0.5, columnspacing=1.4, borderpad=0.1,
        )  # fmt: skip
        if columns == 1 or legend.get_window_extent().width < figure.bbox.width:
            return
        legend.remove()


def line_in_legend(label: str) -> Line2D:
    """The thin dotted line, in the legend."""
    return Line2D([], [], color=FAINT, linewidth=1.0, linestyle=":", label=label)


def seed_in_legend() -> Line2D:
    """One seed, in the legend."""
    return Line2D(
        [], [], marker=".", markersize=3.5, color=INK, alpha=_SEED_OPACITY, linestyle="none", label="one seed"
    )


def whisker_in_legend() -> Line2D:
    """An interval, in the legend."""
    return Line2D([], [], color=INK, linewidth=0.9, label="95 % interval")


def plain(axes: Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Labels and lines in the sizes of a printed column; no text is taken for a formula."""
    axes.set_xlabel(x, fontsize=TEXT_PT, color=INK)
    axes.set_ylabel(y, fontsize=TEXT_PT, color=INK)
    if title:
        axes.set_title(title, fontsize=TEXT_PT, color=INK, loc="left", parse_math=False)
    axes.tick_params(labelsize=SMALL_PT + 0.5, colors=INK, length=2.5)
    axes.grid(visible=True, axis="both", color="#e9e9e9", linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def auroc_limits(estimates: Sequence[Estimate], seeds: Sequence[float] = ()) -> tuple[float, float]:
    """From a little below the lowest end of an interval to a little above the highest; 0.5 is always in."""
    ends = [value for each in estimates for value in (each.value, *each.ci95) if not math.isnan(value)] + [
        value for value in seeds if not math.isnan(value)
    ]
    low, high = min([0.45, *ends]), max([0.75, *ends])
    return max(low - 0.03, -0.03), min(high + 0.03, 1.03)
