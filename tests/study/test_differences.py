"""The differences of a table, with numbers by hand; their words; ours beside the published rows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from study_of_answers import Answered, a_cell, study_of

from vpt_plugin.models.card import Estimate
from vpt_plugin.study.differences import (
    Difference,
    best_3d_over_best_2d,
    best_row,
    differences_of,
    gain_over_ct,
    video_gain,
)
from vpt_plugin.study.means import mean_rows, means_beside
from vpt_plugin.study.rows import Kind, TableRow
from vpt_plugin.study.sentences import how_to_read, place_in_words, sentence
from vpt_plugin.study.side_by_side import side_by_side
from vpt_plugin.study.table import table_of
from vpt_plugin.training.metrics.bootstrap import Resampled

NO_INTERVAL = (math.nan, math.nan)


def row(
    network: str,
    arm: str,
    auroc: float,
    *,
    kind: Kind = "3d",
    validation: float = math.nan,
    resamples: tuple[float, ...] = (),
    note: str = "",
) -> TableRow:
    """Of a table of 50 test studies of 40 patients."""
    resampled = Resampled(auroc, np.array(resamples), 50, 40) if resamples else None
    estimate = resampled.estimate() if resampled else Estimate(auroc, NO_INTERVAL, 50)
    return TableRow(
        network, network, kind, arm, "site", 100, estimate, 1, "ours",
        validation=validation, note=note, resampled=resampled,
    )  # fmt: skip


def of_networks(rows: list[TableRow]) -> dict[tuple[str, ...], Difference]:
    return {each.networks: each for each in video_gain(rows)}


def test_the_gain_of_a_mean_is_taken_within_each_resample() -> None:
    found = of_networks(
        [
            row("a", "none", 0.5, resamples=(0.5, 0.6, 0.4)),
            row("a", "video", 0.7, resamples=(0.7, 0.7, 0.7)),
            row("b", "none", 0.6, resamples=(0.6, 0.8, 0.6)),
            row("b", "video", 0.6, resamples=(0.6, 0.6, 0.7)),
        ]
    )
    mean = found["a", "b"]
    # Gains of a: 0.2, 0.1, 0.3; of b: 0.0, -0.2, 0.1; of their mean: 0.1, -0.05, 0.2.
    assert mean.gain.value == pytest.approx(0.1)
    assert mean.gain.ci95 == pytest.approx((-0.05 + 0.05 * 0.15, 0.2 - 0.05 * 0.1))
    assert mean.share == pytest.approx(2 / 3)
    assert found["b",].share == pytest.approx(1 / 3)
    assert (mean.patients, mean.gain.n, mean.is_mean, found["a",].is_mean) == (40, 50, True, False)


def test_a_mean_over_networks_is_taken_within_each_resample() -> None:
    rows = [
        row("a", "none", 0.5, resamples=(0.5, 0.6, 0.4)),
        row("b", "none", 0.6, resamples=(0.6, 0.8, 0.6)),
        row("c", "none", math.nan),
        row("d", "none", 0.9, kind="2d"),
    ]
    (mean,) = mean_rows(rows)
    # Of the resamples: 0.55, 0.7 and 0.5; percentiles lie 0.05 of a step inside the ends.
    assert (mean.title, mean.auroc.value) == ("mean of the 3D networks", pytest.approx(0.55))
    assert mean.auroc.ci95 == pytest.approx((0.5 + 0.05 * 0.05, 0.7 - 0.05 * 0.15))
    assert mean.note == "without c, of which a result is missing"


def test_a_mean_of_one_network_or_of_rows_without_resamples_has_no_row_or_no_interval() -> None:
    assert mean_rows([row("a", "none", 0.5), row("b", "video", 0.6)]) == ()
    (mean,) = mean_rows([row("a", "none", 0.5), row("b", "none", 0.6)])
    assert mean.auroc.value == pytest.approx(0.55)
    assert math.isnan(mean.auroc.ci95[0])


def test_a_published_mean_stands_only_beside_ours_of_the_same_networks() -> None:
    ours = [row(network, "none", 0.5) for network in "ab"]
    published = [replace(row(network, "none", 0.7), source="published") for network in "abc"]
    published[0] = replace(published[0], auroc=Estimate(0.8, NO_INTERVAL, 50))
    (mean,) = means_beside(ours, published)
    assert (mean.auroc.value, mean.source) == (pytest.approx(0.75), "published")
    assert means_beside([*ours, row("tiny", "none", 0.5)], published) == ()


def test_a_gain_is_far_more_certain_than_the_aurocs_where_both_err_together() -> None:
    found = of_networks(
        [
            row("a", "none", 0.5, resamples=(0.4, 0.5, 0.6)),
            row("a", "video", 0.6, resamples=(0.49, 0.6, 0.71)),
        ]
    )["a",]
    low, high = found.gain.ci95
    assert high - low == pytest.approx(0.02 * 0.95)
    assert found.share == 1


def test_2d_and_3d_networks_have_means_of_their_own() -> None:
    rows = [
        row(network, arm, auroc, kind=kind)
        for kind, networks in (("3d", "ab"), ("2d", "cd"))
        for network in networks
        for arm, auroc in (("none", 0.5), ("video", 0.6 if kind == "3d" else 0.55))
    ]  # fmt: skip
    means = {each.kind: each for each in video_gain(rows) if each.is_mean}
    assert (means["3d"].networks, means["2d"].networks) == (("a", "b"), ("c", "d"))
    assert sentence(means["3d"]) == (
        "Video pretraining lifts the mean AUROC of two 3D networks from 0.500 to 0.600: +0.100."
    )
    assert sentence(means["2d"]) == (
        "Image pretraining lifts the mean AUROC of two 2D networks from 0.500 to 0.550: +0.050."
    )


def test_a_network_without_a_result_is_left_out_of_the_mean_and_named() -> None:
    rows = [
        row("a", "none", 0.5), row("a", "video", 0.7), row("b", "none", 0.5), row("b", "video", 0.6),
        row("c", "none", 0.5), row("c", "video", math.nan, note="seed 0 failed: no memory."),
    ]  # fmt: skip
    found = of_networks(rows)
    assert found["a", "b"].gain.value == pytest.approx(0.15)
    assert found["a", "b"].note == "without c, of which a result is missing"
    assert sentence(found["c",]) == (
        "What video pretraining does to the AUROC of c: not known (video/image: seed 0 failed: no memory.)."
    )


def test_one_known_gain_of_two_networks_is_no_mean() -> None:
    rows = [row("a", "none", 0.5), row("a", "video", 0.7), row("b", "none", 0.5), row("b", "video", math.nan)]
    assert set(of_networks(rows)) == {("a",), ("b",)}


def test_an_arm_that_is_not_in_the_table_gives_no_difference() -> None:
    rows = [row("a", "none", 0.5), row("a", "video", 0.7)]
    assert gain_over_ct(rows) == ()
    assert [each.claim for each in differences_of(rows)] == ["video_gain"]


def test_rows_of_different_sources_datasets_or_percents_are_never_compared() -> None:
    ours = row("a", "none", 0.5)
    for changes in ({"source": "published"}, {"dataset": "other"}, {"percent": 10.0}, {"finding": "pe"}):
        other = TableRow(**{**vars(row("a", "video", 0.7)), **changes})
        assert video_gain([ours, other]) == ()


def test_the_best_are_chosen_on_the_validation_side_whatever_the_test_side_says() -> None:
    rows = [
        row("a", "video", 0.9, validation=0.7), row("b", "video", 0.8, validation=0.8),
        row("c", "video", 0.75, kind="2d", validation=0.6),
    ]  # fmt: skip
    (found,) = best_3d_over_best_2d(rows)
    assert (found.networks, found.note) == (("b", "c"), "each is the best on the validation side")
    assert sentence(found) == (
        "The best 3D network with video/image pretraining, b with an AUROC of 0.800, is ahead of the best 2D "
        "one, c with 0.750: +0.050."
    )


def test_where_a_validation_auroc_is_missing_the_table_decides_and_that_is_said() -> None:
    rows = [
        row("a", "video", 0.7, validation=0.7), row("b", "video", 0.6),
        row("c", "video", 0.75, kind="2d", validation=0.6),
    ]  # fmt: skip
    assert best_row(rows[:2]) is rows[0]
    (found,) = best_3d_over_best_2d(rows)
    assert found.note == (
        "each is the best on the test side itself, which flatters both, the best of two 3D networks more "
        "than that of one 2D network"
    )
    assert "is behind the best 2D one" in sentence(found)


def test_without_any_result_no_network_is_the_best() -> None:
    rows = [row("a", "video", math.nan), row("c", "video", 0.7, kind="2d")]
    assert best_row(rows[:1]) is None
    assert best_3d_over_best_2d(rows) == ()


def test_a_gain_whose_interval_holds_zero_may_be_chance_and_the_sentence_says_so() -> None:
    # The gains are -0.04, 0.02, 0.02 and 0.08; the percentiles lie 0.075 of a step inside the ends.
    found = of_networks(
        [
            row("a", "none", 0.5, resamples=(0.5,) * 4),
            row("a", "video", 0.52, resamples=(0.46, 0.52, 0.52, 0.58)),
        ]
    )["a",]
    assert found.gain.ci95 == pytest.approx((-0.04 + 0.075 * 0.06, 0.08 - 0.075 * 0.06))
    assert sentence(found).startswith(
        "Video pretraining lifts the AUROC of a from 0.500 to 0.520: +0.020 [-0.035, +0.07"
    )
    assert sentence(found).endswith(
        "The gain is above 0 in 75 % of the resamples of 40 patients, so it may be chance."
    )
    assert place_in_words(found) == "site, 100 % of the training side"


def test_a_gain_whose_interval_leaves_out_zero_is_told_without_a_verdict() -> None:
    rows = [
        row("a", "none", 0.5, resamples=(0.5,) * 3),
        row("a", "video", 0.52, resamples=(0.505, 0.52, 0.535)),
    ]
    assert sentence(of_networks(rows)["a",]).endswith(
        ": +0.020 [+0.006, +0.034]. The gain is above 0 in 100 % of the resamples of 40 patients."
    )


def test_how_to_read_speaks_of_intervals_only_where_there_are_any() -> None:
    without = video_gain([row("a", "none", 0.5), row("a", "video", 0.7)])
    assert len(how_to_read(without)) == 1
    rows = [row("a", arm, 0.5, resamples=ends) for arm, ends in (("none", (0.4, 0.5)), ("video", (0.5, 0.4)))]
    assert "one in twenty still leaves out 0" in " ".join(how_to_read(video_gain(rows)))


def test_a_loss_is_told_as_one() -> None:
    found = of_networks([row("a", "none", 0.6), row("a", "video", 0.5)])["a",]
    assert sentence(found) == "Video pretraining lowers the AUROC of a from 0.600 to 0.500: -0.100."
    same = of_networks([row("a", "none", 0.6), row("a", "video", 0.6)])["a",]
    assert sentence(same) == "Video pretraining does not change the AUROC of a from 0.600 to 0.600: +0.000."


def test_the_same_answers_have_no_gain_in_any_resample() -> None:
    rng = np.random.default_rng(2)
    states = {"pe": rng.integers(0, 2, 30)}
    said = {"pe": rng.random(30)}
    rows = table_of(study_of(*(Answered(a_cell("swin_t", arm), states, said) for arm in ("none", "video"))))
    (found,) = video_gain(rows)
    assert (found.gain.value, found.share) == (0.0, 0.0)
    assert math.isnan(found.gain.ci95[0])


def test_ours_stand_beside_the_published_rows_of_the_same_cell() -> None:
    ours = [row("a", "none", 0.6, resamples=(0.55, 0.65)), row("a", "video", math.nan)]
    theirs = [
        TableRow("a", "A", "3d", "none", "site", 100, Estimate(0.5, (0.4, 0.56), 9), 1, "published"),
        TableRow("b", "B", "3d", "none", "site", 100, Estimate(0.5, (0.4, 0.6), 9), 1, "published"),
    ]
    (joined,) = side_by_side(ours, theirs)
    assert (joined.ours, joined.published) == (ours[0], theirs[0])
    assert joined.difference == pytest.approx(0.1)
    # Percentiles from 0.5525 to 0.6475 and the printed 0.4 to 0.56.
    assert joined.intervals_meet is True
    assert side_by_side([row("a", "none", 0.6, resamples=(0.57, 0.6))], theirs)[0].intervals_meet is False
    assert side_by_side([row("a", "none", 0.6)], theirs)[0].intervals_meet is None
