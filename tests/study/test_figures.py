"""The figures of an experiment: where dots lie, what is missing, and that they are the same twice."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from vpt_plugin.models.card import Estimate
from vpt_plugin.study.differences import Difference, differences_of
from vpt_plugin.study.figures import study_figures
from vpt_plugin.study.figures_agreement import agreement_figure
from vpt_plugin.study.figures_canvas import StudyFigure
from vpt_plugin.study.figures_ct import gain_over_ct_figure
from vpt_plugin.study.figures_fractions import fractions_figure
from vpt_plugin.study.figures_pretraining import pretraining_figure
from vpt_plugin.study.published import published_table
from vpt_plugin.study.rows import TableRow

NAN = math.nan
PUBLISHED = published_table()
Drawn = tuple[StudyFigure, ...]


@cache
def published_differences() -> tuple[Difference, ...]:
    return differences_of(PUBLISHED)


def row(
    network: str, arm: str, auroc: float, *, kind: str = "3d", dataset: str = "ours", percent: float = 100,
    seeds: Sequence[float] = (),
) -> TableRow:  # fmt: skip
    half = 0.1 if not math.isnan(auroc) else NAN
    return TableRow(
        network, network, "2d" if kind == "2d" else "3d", arm, dataset, percent,
        Estimate(auroc, (auroc - half, auroc + half), 40), max(1, len(seeds)), "ours", of_seeds=tuple(seeds),
    )  # fmt: skip


def two_networks() -> list[TableRow]:
    return [
        row("swin_t", "none", 0.6),
        row("swin_t", "video", 0.8),
        row("resnet18_2d", "none", 0.7, kind="2d"),
        row("resnet18_2d", "video", 0.65, kind="2d"),
    ]


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    # All is in its place then, and no dot is painted that nobody looks at.
    figure.draw_without_rendering()
    return figure


def ends(line: Line2D) -> tuple[list[float], list[float]]:
    """Where a line goes, to the right and upwards."""
    x, y = line.get_data()
    return np.asarray(x, dtype=float).tolist(), np.asarray(y, dtype=float).tolist()


def dots(figure: Figure) -> dict[str, tuple[float, ...]]:
    """The places of all dots that have a name."""
    found = {}
    for axes in figure.axes:
        for line in axes.get_lines():
            if name := line.get_gid():
                found[name] = tuple(places[0] for places in ends(line))
    return found


@cache
def published_pretraining() -> Figure:
    return drawn(pretraining_figure(PUBLISHED, published_differences()))


@cache
def published_over_ct() -> Figure:
    return drawn(gain_over_ct_figure(PUBLISHED, published_differences()))


@cache
def published_fractions() -> Figure:
    return drawn(fractions_figure(PUBLISHED, published_differences(), {("rsna", 100.0): 5095}))


def texts(figure: Figure) -> list[Text]:
    """All texts that are shown, those of ticks and legends among them."""
    found: list[Text] = [each for legend in figure.legends for each in legend.get_texts()]
    for axes in figure.axes:
        if axes.axison:
            ticks = [tick for axis in (axes.xaxis, axes.yaxis) for tick in _shown_ticks(axis)]
            left_title = axes.title if axes.title.get_text() else axes._left_title  # type: ignore[attr-defined]
            found += [*axes.texts, left_title, axes.xaxis.label, axes.yaxis.label, *ticks]
    return [each for each in found if each.get_visible() and each.get_text()]


def _shown_ticks(axis: Axis) -> list[Text]:
    low, high = sorted(axis.get_view_interval())
    ticks = axis.get_major_ticks()
    return [tick.label1 for tick in ticks if low <= tick.get_loc() <= high]


def written(figure: Figure) -> list[str]:
    return [each.get_text() for each in texts(figure)]


def test_the_same_figures_are_the_same_files_whenever_they_are_drawn() -> None:
    rows = two_networks()
    first, second = (study_figures(rows, differences_of(rows), published=PUBLISHED) for _ in range(2))
    assert [(each.svg, each.png) for each in first] == [(each.svg, each.png) for each in second]


def test_every_published_dot_lies_at_its_auroc_and_its_line_is_that_of_its_network() -> None:
    places = dots(published_pretraining())
    for each in PUBLISHED:
        if each.arm in ("none", "video"):
            x, _ = places[f"{each.dataset}-{each.percent:g}-{each.network}-{each.arm}"]
            assert x == each.auroc.value
    # The pretrained dot of a network is above the other one, and both below those of the network before.
    in_order = [
        places[f"rsna-100-{name}-{arm}"][1]
        for name in dict.fromkeys(each.network for each in PUBLISHED)
        for arm in ("video", "none")
    ]
    assert in_order == sorted(in_order, reverse=True)


def test_the_means_of_the_published_figure_are_those_of_the_paper() -> None:
    figure = published_pretraining()
    places = dots(figure)
    assert places["rsna-100-mean-3d-none"][0] == pytest.approx(0.573, abs=5e-4)
    assert places["rsna-100-mean-3d-video"][0] == pytest.approx(0.719, abs=5e-4)
    assert {"+0.146", "+0.074", "+0.124", "+0.077"} <= set(written(figure))


def test_gains_over_ct_pretraining_lie_where_the_table_says() -> None:
    figure = published_over_ct()
    x, _ = dots(figure)["rsna-100-swin_t-3d-video"]
    assert x == pytest.approx(0.902 - 0.698)
    x, _ = dots(figure)["rsna-100-swin_t-3d-video+ct"]
    assert x == pytest.approx(0.504 - 0.698)


def test_the_best_networks_stand_at_their_share_and_are_named() -> None:
    figure = published_fractions()
    x, y = dots(figure)["rsna-100-swin_t"]
    assert (y, round(x / 100, 2)) == (0.902, 1.07)
    assert dots(figure)["rsna-100-lrcn"][1] == 0.784
    assert {"Swin-T", "LRCN", "100 %\n5,095 studies"} <= set(written(figure))
    assert figure.axes[0].get_xscale() == "log"


def test_ours_against_published_has_a_dot_for_every_cell_of_both_and_a_diagonal() -> None:
    ours = [row("swin_t", "video", 0.85, dataset="rsna"), row("swin_t", "video", 0.9, dataset="elsewhere")]
    figure = drawn(agreement_figure(ours, PUBLISHED))
    assert dots(figure) == {"rsna-100-swin_t-video": (0.902, 0.85)}
    diagonals = [
        line for line in figure.axes[0].get_lines()
        if ends(line)[0] == ends(line)[1] and len(ends(line)[0]) == 2
    ]  # fmt: skip
    assert len(diagonals) == 1


def test_a_missing_result_leaves_a_gap_that_says_n_a_and_never_a_dot_at_zero() -> None:
    rows = [row("swin_t", "none", NAN), row("swin_t", "video", 0.8), row("penet", "none", NAN)]
    figure = drawn(pretraining_figure(rows, differences_of(rows)))
    assert {name: x for name, (x, _) in dots(figure).items()} == {"ours-100-swin_t-video": 0.8}
    # Both networks, and their mean.
    assert written(figure).count("n/a") == 3


def test_a_mean_that_lacks_a_network_says_so() -> None:
    rows = [
        *two_networks()[:2], row("penet", "none", 0.5), row("penet", "video", 0.6),
        row("csn_r101", "none", NAN), row("csn_r101", "video", 0.9),
    ]  # fmt: skip
    figure = drawn(pretraining_figure(rows, differences_of(rows)))
    assert dots(figure)["ours-100-mean-3d-video"][0] == pytest.approx((0.8 + 0.6) / 2)
    assert "+0.150*" in written(figure)


def test_without_any_result_every_figure_says_why_it_is_not_there() -> None:
    for figure in study_figures([], (), published=PUBLISHED):
        assert (figure.missing[:3], figure.svg, figure.png) == ("n/a", "", b"")


def test_all_undefined_results_draw_no_dot() -> None:
    rows = [replace(each, auroc=Estimate(NAN, (NAN, NAN), 0)) for each in two_networks()]
    figure = drawn(pretraining_figure(rows, differences_of(rows)))
    assert not dots(figure)
    assert [each.missing[:3] for each in study_figures(rows, differences_of(rows))] == ["", "n/a", "n/a"]


def test_one_result_alone_is_drawn() -> None:
    rows = [row("tiny", "video", 0.7)]
    assert [bool(figure.svg) for figure in study_figures(rows, differences_of(rows))] == [True, False, False]


def test_where_nothing_began_from_video_ct_pretraining_is_drawn() -> None:
    rows = [row("tiny", "none", 0.6), row("tiny", "ct", 0.7)]
    figure = drawn(pretraining_figure(rows, differences_of(rows)))
    assert set(dots(figure)) == {"ours-100-tiny-none", "ours-100-tiny-ct"}
    assert "+0.100" in written(figure)


def test_single_seeds_are_small_dots_and_one_seed_alone_is_not_drawn_twice() -> None:
    several = row("tiny", "video", 0.7, seeds=(0.65, 0.75))
    alone = row("tiny", "none", 0.6, seeds=(0.6,))
    figure = drawn(pretraining_figure([several, alone], ()))
    small = [line for line in figure.axes[0].get_lines() if line.get_marker() == "."]
    assert [ends(line)[0] for line in small] == [[0.65, 0.75]]


def test_an_interval_that_cannot_be_is_not_drawn() -> None:
    impossible = replace(row("tiny", "none", 0.523), auroc=Estimate(0.523, (0.572, 0.560), 40))
    figure = drawn(pretraining_figure([impossible, row("tiny", "video", 0.7)], ()))
    whiskers = [ends(line)[0] for line in figure.axes[0].get_lines() if line.get_linestyle() == "-"]
    assert [pytest.approx(0.6), pytest.approx(0.8)] in whiskers
    assert not any(0.572 in each for each in whiskers)


def test_arms_differ_in_shape_and_filling_and_not_only_in_colour() -> None:
    figure = drawn(pretraining_figure(two_networks(), ()))
    looks = {}
    for line in figure.axes[0].get_lines():
        if name := line.get_gid():
            filled = line.get_markerfacecolor() != "white"
            looks[name.rsplit("-", 1)[1]] = (line.get_marker(), filled)
    assert looks == {"none": ("o", False), "video": ("D", True)}


@cache
def figures_to_read() -> list[Figure]:
    ours = [
        replace(each, of_seeds=(each.auroc.value - 0.02, each.auroc.value + 0.02), dataset="a site's own")
        for each in PUBLISHED
        if each.dataset == "rsna"
    ]
    return [
        published_pretraining(),
        published_fractions(),
        published_over_ct(),
        drawn(agreement_figure(PUBLISHED, PUBLISHED)),
        drawn(pretraining_figure(ours, differences_of(ours))),
        drawn(pretraining_figure(two_networks(), differences_of(two_networks()))),
    ]


@pytest.mark.parametrize("number", range(6))
def test_no_text_covers_another_or_leaves_the_figure(number: int) -> None:
    figure = figures_to_read()[number]
    whole = figure.bbox
    boxes = [(each.get_text(), each.get_window_extent()) for each in texts(figure)]
    for name, box in boxes:
        assert whole.x0 - 1 <= box.x0 < box.x1 <= whole.x1 + 1, name
        assert whole.y0 - 1 <= box.y0 < box.y1 <= whole.y1 + 1, name
    for (name, box), (other, another) in combinations(boxes, 2):
        # A pixel of air of two texts may be shared.
        assert not box.padded(-1).overlaps(another.padded(-1)), (name, other)


def test_the_legend_fits_into_the_figure() -> None:
    for figure in figures_to_read():
        (legend,) = figure.legends
        assert legend.get_window_extent().width <= figure.bbox.width


def test_svg_has_its_text_as_text_and_no_date_and_ids_of_its_own(published_figures: Drawn) -> None:
    seen: set[str] = set()
    for figure in published_figures:
        root = ElementTree.fromstring(figure.svg)
        said = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
        assert any("Swin-T" in (text or "") for text in said)
        assert not re.search(r"20\d\d-\d\d-\d\d|<style|<metadata|<script|href=\"http", figure.svg)
        ids = {each.get("id", "") for each in root.iter() if each.get("id")}
        assert all(name.startswith(figure.name) for name in ids)
        assert not ids & seen
        seen |= ids
        used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', figure.svg))
        assert used <= ids


def test_a_dataset_s_name_is_never_taken_for_a_formula() -> None:
    rows = [replace(each, dataset="$x^2$ & <b>") for each in two_networks()]
    (figure, *_) = study_figures(rows, differences_of(rows))
    assert "$x^2$ &amp; &lt;b&gt;" in figure.svg


def test_png_has_two_hundred_pixels_per_inch(published_figures: Drawn) -> None:
    for figure in published_figures:
        width = int.from_bytes(figure.png[16:20], "big")
        assert width == pytest.approx(200 * figure.width_inches, abs=1)


def test_captions_tell_how_many_test_studies_there_are(published_figures: Drawn) -> None:
    for figure in published_figures:
        assert "1,092 studies of RSNA-PE, 152 of LIDC-IDRI" in figure.caption


def test_no_text_is_too_small_to_read_in_print() -> None:
    for figure in figures_to_read():
        assert min(float(each.get_fontsize()) for each in texts(figure)) >= 6.5
        assert figure.get_figwidth() <= 7.2
