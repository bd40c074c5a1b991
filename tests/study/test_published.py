"""The published table 1: its rows, its oddities, and which of the paper's claims follow from it."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cache

import pytest

from vpt_plugin.models.catalog import MODELS
from vpt_plugin.study.cells import ARMS
from vpt_plugin.study.differences import Difference, differences_of
from vpt_plugin.study.published import CITATION, published_table
from vpt_plugin.study.text import published_text


@cache
def differences() -> tuple[Difference, ...]:
    return differences_of(published_table())


def of_mean(claim: str, dataset: str, percent: float, kind: str = "3d") -> Difference:
    (found,) = (
        each
        for each in differences()
        if (each.claim, each.dataset, each.percent, each.kind) == (claim, dataset, percent, kind)
        and each.is_mean
    )
    return found


def of_best(dataset: str, percent: float, arm: str = "video") -> Difference:
    (found,) = (
        each
        for each in differences()
        if each.claim == "best_3d_over_best_2d"
        and (each.dataset, each.percent, each.arms) == (dataset, percent, (arm, arm))
    )
    return found


def test_all_180_rows_are_there_of_ten_networks_in_the_catalog() -> None:
    rows = published_table()
    assert len({row.cell for row in rows}) == len(rows) == 180
    assert Counter(row.kind for row in rows) == {"3d": 7 * 18, "2d": 3 * 18}
    assert all(MODELS[row.network].kind == row.kind for row in rows)
    assert {row.arm for row in rows} == set(ARMS)
    # Four arms at 100 % and 10 %; at 1 % two arms, of RSNA-PE alone.
    assert Counter((row.dataset, row.percent) for row in rows) == {
        ("rsna", 100): 40, ("rsna", 10): 40, ("rsna", 1): 20, ("lidc", 100): 40, ("lidc", 10): 40,
    }  # fmt: skip


def test_the_intervals_are_over_the_papers_test_studies() -> None:
    assert {(row.dataset, row.auroc.n) for row in published_table()} == {("rsna", 1092), ("lidc", 152)}


def test_the_one_interval_that_cannot_be_is_kept_as_printed_and_noted() -> None:
    rows = published_table()
    (odd,) = (row for row in rows if row.auroc.ci95[0] > row.auroc.ci95[1])
    assert odd.cell == ("rsna", "", 100.0, "mvit_b", "ct")
    assert odd.auroc.ci95 == (0.572, 0.560)
    assert odd.note == "the paper prints the interval [0.572, 0.560], which cannot be"
    others = [row for row in rows if row is not odd]
    assert all(row.auroc.ci95[0] <= row.auroc.value <= row.auroc.ci95[1] for row in others)


def test_the_fourteen_cells_without_any_spread_are_noted_as_collapsed() -> None:
    flat = [row for row in published_table() if row.collapsed]
    assert len(flat) == 14
    assert {(row.auroc.value, row.auroc.ci95) for row in flat} == {(0.5, (0.5, 0.5))}
    assert all(row.kind == "3d" and "give all studies one answer" in row.note for row in flat)


def test_cells_that_share_all_their_figures_are_noted() -> None:
    shared = {row.cell[2:]: row.note for row in published_table() if row.note.startswith("the same figures")}
    assert set(shared) == {
        (10.0, "penet", "ct"), (10.0, "penet", "video+ct"),
        (10.0, "resnext101_2d", "video"), (10.0, "resnext101_2d", "video+ct"),
        (1.0, "resnet18_2d", "none"), (1.0, "resnext101_2d", "none"),
    }  # fmt: skip
    assert shared[10.0, "penet", "ct"] == "the same figures as PENet with video then CT pretraining at 10 %"


@pytest.mark.parametrize(
    ("dataset", "percent", "none", "video", "gain"),
    [
        ("rsna", 100, 0.573, 0.719, 0.146),
        ("rsna", 10, 0.511, 0.585, 0.074),
        ("lidc", 100, 0.520, 0.644, 0.124),
        ("lidc", 10, 0.503, 0.580, 0.077),
    ],
)
def test_video_pretraining_lifts_the_mean_of_seven_3d_networks_as_the_paper_says(
    dataset: str, percent: float, none: float, video: float, gain: float
) -> None:
    found = of_mean("video_gain", dataset, percent)
    assert len(found.networks) == 7
    assert [round(each.value, 3) for each in (found.worse, found.better, found.gain)] == [none, video, gain]


def test_the_mean_of_rsna_is_that_of_seven_numbers_added_by_hand() -> None:
    none = [0.539, 0.548, 0.563, 0.500, 0.517, 0.784, 0.558]
    video = [0.637, 0.658, 0.670, 0.693, 0.759, 0.902, 0.713]
    found = of_mean("video_gain", "rsna", 100)
    assert found.worse.value == pytest.approx(sum(none) / 7, abs=1e-12)
    assert found.better.value == pytest.approx(sum(video) / 7, abs=1e-12)


def test_the_gain_over_ct_pretraining_comes_out_but_for_the_last_digit() -> None:
    """The paper says +0.182. The means are 5.032 / 7 = 0.7189 and 3.762 / 7 = 0.5374, 0.1814 apart; 0.182 is
    the difference of the means after they are rounded, 0.719 and 0.537."""
    found = of_mean("gain_over_ct", "rsna", 100)
    assert found.better.value == pytest.approx(5.032 / 7, abs=1e-12)
    assert found.worse.value == pytest.approx(3.762 / 7, abs=1e-12)
    assert round(found.gain.value, 3) == 0.181
    assert round(round(found.better.value, 3) - round(found.worse.value, 3), 3) == 0.182


@pytest.mark.parametrize(
    ("dataset", "networks", "better", "worse"),
    [
        ("rsna", ("swin_t", "lrcn"), 0.902, 0.784),
        ("lidc", ("swin_t", "resnext101_2d"), 0.883, 0.832),
    ],
)
def test_with_pretraining_on_all_studies_the_best_3d_network_is_ahead_of_the_best_2d_one(
    dataset: str, networks: tuple[str, str], better: float, worse: float
) -> None:
    found = of_best(dataset, 100)
    assert (found.networks, found.better.value, found.worse.value) == (networks, better, worse)
    assert "on the test side itself, which flatters both" in found.note


def test_on_fewer_studies_the_best_3d_network_is_ahead_only_on_a_tenth_of_rsna() -> None:
    gains = {
        place: round(of_best(*place).gain.value, 3) for place in (("rsna", 10), ("rsna", 1), ("lidc", 10))
    }
    assert gains == {("rsna", 10): 0.023, ("rsna", 1): -0.073, ("lidc", 10): -0.195}


def test_video_then_ct_is_no_better_than_video_alone() -> None:
    found = {
        (dataset, percent): round(of_mean("ct_after_video", dataset, percent).gain.value, 3)
        for dataset in ("rsna", "lidc")
        for percent in (100, 10)
    }
    assert found == {
        ("rsna", 100): -0.112, ("rsna", 10): -0.070, ("lidc", 100): 0.002, ("lidc", 10): -0.012,
    }  # fmt: skip


def test_no_gain_of_the_published_table_has_an_interval() -> None:
    assert all(math.isnan(each.gain.ci95[0]) and math.isnan(each.share) for each in differences())
    assert {each.patients for each in differences()} == {0}


def test_the_text_tells_table_claims_oddities_and_whom_to_cite() -> None:
    text = published_text()
    assert " ".join(text.split()).startswith(f"Published: table 1 of {CITATION}")
    assert "Swin-T                   0.784 [0.739, 0.826]      0.902 [0.869, 0.931]" in text
    assert re.search(r"PENet .*\nmean of the 3D networks  0\.573 \[n/a\] \(3\) +0\.719 \[n/a\] ", text)
    assert "(3) 1 of the 7 results is of a network that gives all studies one answer" in text
    assert "Video pretraining lifts the mean AUROC of seven 3D networks from 0.573 to 0.719: +0.146." in text
    assert "[0.572, 0.560], which cannot be" in text
    assert "nan" not in text
