"""The table of an experiment: means over seeds and findings, one bootstrap for all rows, notes and files."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from numpy.typing import NDArray
from study_of_answers import Answered, a_cell, study_of

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.study.differences import differences_of
from vpt_plugin.study.side_by_side import side_by_side
from vpt_plugin.study.table import TableRow, published_table, table_of
from vpt_plugin.study.table_files import write_differences, write_side_by_side, write_table
from vpt_plugin.study.text import differences_text, table_text

# Four studies, two with the finding; these answers put 4, 3 and 2 of the 4 pairs in the right order.
PE = {"pe": [1, 1, 0, 0]}
ALL_RIGHT, THREE_RIGHT, HALF_RIGHT = [0.9, 0.8, 0.2, 0.1], [0.9, 0.3, 0.4, 0.1], [0.9, 0.1, 0.2, 0.3]


def swin(said: list[float], seed: int = 0, *, arm: str = "none", collapsed: bool = False) -> Answered:
    return Answered(a_cell("swin_t", arm, seed=seed), PE, {"pe": said}, collapsed=collapsed)


def only(rows: tuple[TableRow, ...]) -> TableRow:
    (row,) = rows
    return row


def test_a_row_is_the_mean_over_seeds() -> None:
    row = only(table_of(study_of(swin(ALL_RIGHT), swin(HALF_RIGHT, seed=1))))
    assert (row.auroc.value, row.of_seeds, row.seeds, row.auroc.n) == (0.75, (1.0, 0.5), 2, 4)
    assert (row.network, row.title, row.kind, row.source) == ("swin_t", "Video Swin-T", "3d", "ours")


def test_a_row_is_the_mean_over_findings_and_each_finding_can_have_its_own() -> None:
    states = {"pe": [1, 1, 0, 0], "nodule": [0, 1, 0, 1]}
    said = {"pe": ALL_RIGHT, "nodule": [0.1, 0.9, 0.2, 0.15]}
    study = study_of(Answered(a_cell("swin_t", "none"), states, said))
    assert [row.auroc.value for row in table_of(study)] == [(1 + 0.75) / 2]
    rows = table_of(study, each_finding=True)
    assert [(row.finding, row.auroc.value) for row in rows] == [("", 0.875), ("pe", 1.0), ("nodule", 0.75)]


def test_a_study_whose_state_is_unknown_counts_for_the_other_findings_alone() -> None:
    states = {"pe": [1, 1, 0, math.nan], "nodule": [0, 1, 0, 1]}
    said = {"pe": [0.9, 0.8, 0.2, 0.1], "nodule": [0.1, 0.9, 0.2, 0.15]}
    rows = table_of(study_of(Answered(a_cell("swin_t", "none"), states, said)), each_finding=True)
    assert [row.auroc.n for row in rows] == [4, 3, 4]


def test_rows_come_by_percent_then_3d_before_2d_then_arm() -> None:
    cells = [
        a_cell("lrcn", "none"), a_cell("swin_t", "video", percent=10), a_cell("swin_t", "video"),
        a_cell("swin_t", "none"),
    ]  # fmt: skip
    rows = table_of(study_of(*(Answered(each, PE, {"pe": ALL_RIGHT}) for each in cells)))
    assert [(row.percent, row.network, row.arm) for row in rows] == [
        (100, "swin_t", "none"), (100, "swin_t", "video"), (100, "lrcn", "none"), (10, "swin_t", "video"),
    ]  # fmt: skip


def test_searches_and_pretrainings_have_no_row() -> None:
    search, pretrain = (a_cell("swin_t", "none", stage=stage) for stage in ("search", "pretrain"))
    assert table_of(study_of(not_done=[search, pretrain])) == ()


def test_a_failed_seed_is_noted_and_the_others_count() -> None:
    lost = a_cell("swin_t", "none", seed=1)
    row = only(table_of(study_of(swin(THREE_RIGHT), failures=[(lost, "the disk is full.")])))
    assert (row.auroc.value, row.seeds, row.failed) == (0.75, 1, 1)
    assert row.note == "seed 1 failed: the disk is full"


def test_what_never_came_to_an_end_stays_in_the_table() -> None:
    failed, later = a_cell("swin_t", "none"), a_cell("swin_t", "video")
    rows = table_of(study_of(failures=[(failed, "no memory.")], not_done=[later]))
    assert [row.note for row in rows] == ["seed 0 failed: no memory", "not done yet"]
    assert all(math.isnan(row.auroc.value) and row.seeds == 0 for row in rows)
    assert "n/a (1)" in table_text(rows)
    assert differences_text(differences_of(rows)) == "There are no two results yet that could be compared."


def test_a_collapsed_network_counts_and_is_noted() -> None:
    row = only(table_of(study_of(swin([0.5] * 4, collapsed=True))))
    assert (row.auroc.value, row.collapsed) == (0.5, 1)
    assert math.isnan(row.auroc.ci95[0])
    assert row.note == "the network gives all studies one answer; no interval: the resamples show no spread"


def test_without_a_state_there_is_no_auroc_and_the_row_says_why() -> None:
    row = only(table_of(study_of(Answered(a_cell("swin_t", "none"), {"pe": [0, 0]}, {"pe": [0.1, 0.2]}))))
    assert math.isnan(row.auroc.value)
    assert row.note == "no test study with pe, so no AUROC"


def many(arm: str, names: list[str], states: list[int] | None = None, *, seed: int = 0) -> Answered:
    found = states or [number % 2 for number in range(len(names))]
    said = np.random.default_rng(0).random(len(names))
    return Answered(a_cell("swin_t", arm, seed=seed), {"pe": found}, {"pe": said}, studies=names)


def test_a_study_that_one_cell_did_not_answer_counts_for_none_and_every_row_says_so() -> None:
    names = [f"s{number:02}" for number in range(20)]
    rows = table_of(study_of(many("none", names), many("video", names), many("ct", names[:19])))
    assert [row.auroc.n for row in rows] == [19, 19, 19]
    assert {row.note for row in rows} == {"on the 19 of 20 studies of the test side that all cells answered"}


def test_a_cell_that_lacks_many_studies_is_set_aside_and_takes_none_from_the_others() -> None:
    names = [f"s{number:02}" for number in range(20)]
    rows = table_of(study_of(many("none", names[:5]), many("video", names), many("ct", names)))
    assert [row.auroc.n for row in rows] == [0, 20, 20]
    assert rows[0].note == "seed 0 does not count: it answered 5 of the 20 test studies"
    assert rows[1].note == ""


def test_the_order_of_a_cells_studies_does_not_matter() -> None:
    names = [f"s{number:02}" for number in range(20)]
    there = many("none", names)
    turned = Answered(
        a_cell("swin_t", "video"),
        {"pe": np.asarray(there.states["pe"])[::-1]}, {"pe": np.asarray(there.said["pe"])[::-1]},
        studies=names[::-1],
    )  # fmt: skip
    one, other = table_of(study_of(there, turned))
    assert one.auroc == other.auroc


def test_cells_that_differ_in_the_truth_are_refused() -> None:
    names = ["s0", "s1", "s2", "s3"]
    study = study_of(many("none", names, [0, 1, 0, 1]), many("video", names, [0, 1, 1, 1]))
    with pytest.raises(ConfigurationError, match=r"site-swin_t-video-100-s0 do not agree .* true of s2"):
        table_of(study)


def test_an_interval_is_drawn_from_patients_not_studies() -> None:
    rng = np.random.default_rng(3)
    states = rng.integers(0, 2, 30)
    said = states + rng.normal(0, 1.5, 30)
    names = [f"p{number:02}" for number in range(30)]
    once = only(table_of(study_of(Answered(a_cell("swin_t", "none"), {"pe": states}, {"pe": said}))))
    twice = Answered(
        a_cell("swin_t", "none"), {"pe": np.tile(states, 2)}, {"pe": np.tile(said, 2)},
        patients=names * 2,
    )  # fmt: skip
    doubled = only(table_of(study_of(twice)))
    assert doubled.auroc.ci95 == pytest.approx(once.auroc.ci95, abs=1e-12)
    assert doubled.resampled is not None
    assert (doubled.auroc.n, doubled.resampled.patients) == (60, 30)


def pairs_in_order(states: NDArray[np.float64], said: NDArray[np.float64]) -> float:
    """The AUROC as it is defined: of all pairs of a present and an absent study, those in the right order."""
    right, pairs = 0.0, 0
    for one, high in zip(states, said, strict=True):
        for other, low in zip(states, said, strict=True):
            if one == 1 and other == 0:
                right += 1 if high > low else 0.5 if high == low else 0
                pairs += 1
    return right / pairs if pairs else math.nan


def test_intervals_and_paired_differences_are_those_of_plain_loops() -> None:
    rng = np.random.default_rng(5)
    patients = [f"p{number // 2}" for number in range(24)]
    states = np.array([rng.integers(0, 2, 24), rng.integers(0, 2, 24)], dtype=float)
    states[1, 4] = math.nan
    networks, arms, seeds = ("swin_t", "penet"), ("none", "video"), (0, 1)
    done, said = [], {}
    for network in networks:
        for arm in arms:
            for seed in seeds:
                # In tenths, so that some are tied.
                said[network, arm, seed] = np.round(rng.random((2, 24)) * 0.6 + 0.3 * (states == 1), 1)
                findings = dict(zip(("a", "b"), said[network, arm, seed], strict=True))
                truth = dict(zip(("a", "b"), states, strict=True))
                done.append(Answered(a_cell(network, arm, seed=seed), truth, findings, patients=patients))
    rows = table_of(study_of(*done), resamples=40, seed=11)

    plain: dict[tuple[str, str], list[float]] = {}
    draws = np.random.default_rng(11).integers(0, 12, size=(40, 12))
    for drawn in (np.arange(12), *draws):
        studies = np.array([2 * patient + which for patient in drawn for which in (0, 1)])
        for network in networks:
            for arm in arms:
                aurocs = []
                for seed in seeds:
                    for finding in (0, 1):
                        known = studies[~np.isnan(states[finding, studies])]
                        answers = said[network, arm, seed][finding]
                        aurocs.append(pairs_in_order(states[finding, known], answers[known]))
                plain.setdefault((network, arm), []).append(sum(aurocs) / 4)

    for row in rows:
        value, *resamples = plain[row.network, row.arm]
        assert row.auroc.value == pytest.approx(value, abs=1e-12)
        assert row.auroc.ci95 == pytest.approx(tuple(np.percentile(resamples, (2.5, 97.5))), abs=1e-12)
    gains = {each.networks: each for each in differences_of(rows) if each.claim == "video_gain"}
    for compared in (("swin_t",), ("penet",), networks):
        value, *resamples = np.mean(
            [np.subtract(plain[network, "video"], plain[network, "none"]) for network in compared], axis=0
        )
        found = gains[compared]
        assert found.gain.value == pytest.approx(value, abs=1e-12)
        assert found.gain.ci95 == pytest.approx(tuple(np.percentile(resamples, (2.5, 97.5))), abs=1e-12)
        assert found.share == np.mean(np.array(resamples) > 1e-12)


def test_intervals_of_aurocs_and_of_gains_hold_what_is_true_about_95_times_in_100() -> None:
    """Normal scores 1 and 1.5 apart have AUROCs of 0.760 and 0.856; half of their spread is in common."""
    rng = np.random.default_rng(1)
    true_none, true_video = (0.5 * (1 + math.erf(apart / 2)) for apart in (1.0, 1.5))
    held_auroc = held_gain = 0
    for repeat in range(150):
        states = rng.permutation(np.arange(100) % 2)
        hard = rng.normal(0, math.sqrt(0.5), 100)
        cells = [
            Answered(a_cell("swin_t", arm), {"pe": states},
                     {"pe": apart * states + hard + rng.normal(0, math.sqrt(0.5), 100)})
            for arm, apart in (("none", 1.0), ("video", 1.5))
        ]  # fmt: skip
        rows = table_of(study_of(*cells), resamples=300, seed=repeat)
        (gain,) = (each.gain for each in differences_of(rows) if each.claim == "video_gain")
        low, high = rows[0].auroc.ci95
        held_auroc += low <= true_none <= high
        held_gain += gain.ci95[0] <= true_video - true_none <= gain.ci95[1]
        # As if the arms had been tested on other patients each.
        unpaired = math.hypot(*(row.auroc.ci95[1] - row.auroc.ci95[0] for row in rows))
        assert gain.ci95[1] - gain.ci95[0] < unpaired
    # Three standard deviations of a share of 150 to either side of 0.94: percentiles hold a little less.
    assert 0.88 <= held_auroc / 150 <= 0.99
    assert 0.88 <= held_gain / 150 <= 0.99


def test_the_files_hold_every_row_and_difference_and_leave_empty_what_is_undefined(tmp_path: Path) -> None:
    lost = a_cell("swin_t", "ct")
    rows = table_of(
        study_of(swin(THREE_RIGHT), swin(ALL_RIGHT, seed=1), swin(ALL_RIGHT, arm="video"),
                 failures=[(lost, 'a "word", and a comma')])
    )  # fmt: skip
    write_table(tmp_path / "table1.csv", rows)
    write_differences(tmp_path / "differences.csv", differences_of(rows))
    with (tmp_path / "table1.csv").open(newline="", encoding="utf-8") as file:
        none, video, ct = csv.DictReader(file)
    assert (none["auroc"], none["auroc_of_seeds"], none["test_studies"]) == ("0.875", "0.75 1", "4")
    assert (video["auroc"], video["auroc_ci95_low"], video["test_patients"]) == ("1", "", "4")
    assert (ct["auroc"], ct["note"]) == ("", 'seed 0 failed: a "word", and a comma')
    with (tmp_path / "differences.csv").open(newline="", encoding="utf-8") as file:
        by_claim = {line["claim"]: line for line in csv.DictReader(file)}
    assert (by_claim["video_gain"]["gain"], by_claim["ct_gain"]["gain"]) == ("0.125", "")
    assert by_claim["video_gain"]["sentence"].startswith(
        "Video pretraining lifts the AUROC of Video Swin-T from 0.875 to 1.000: +0.125"
    )


def test_our_rows_are_written_beside_the_published_ones_and_no_file_stays_without_any(tmp_path: Path) -> None:
    states = {"pe": [0, 1] * 10}
    ours = Answered(a_cell("swin_t", "video", dataset="rsna"), states, {"pe": [0.1, 0.9] * 9 + [0.9, 0.1]})
    path = tmp_path / "beside_published.csv"
    write_side_by_side(path, side_by_side(table_of(study_of(ours)), published_table()))
    with path.open(newline="", encoding="utf-8") as file:
        (line,) = csv.DictReader(file)
    # 81 of 100 pairs are in the right order, and 18 are tied.
    assert (line["auroc"], line["published_auroc"], line["ours_less_published"]) == ("0.9", "0.902", "-0.002")
    assert (line["published_auroc_ci95_low"], line["intervals_overlap"]) == ("0.869", "yes")
    write_side_by_side(path, ())
    assert not path.exists()


def test_tables_written_by_two_processes_at_once_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, write = study_of(swin(THREE_RIGHT)), pyarrow.parquet.write_table

    def interrupted(*given: Any) -> None:
        """The other process writes all its tables before the first gives its own their name."""
        write(*given)
        monkeypatch.setattr(pyarrow.parquet, "write_table", write)
        study.write_tables(tmp_path)

    monkeypatch.setattr(pyarrow.parquet, "write_table", interrupted)
    study.write_tables(tmp_path)
    assert len(pyarrow.parquet.read_table(tmp_path / "results.parquet")) == 1
    assert len(pyarrow.parquet.read_table(tmp_path / "answers.parquet")) == 4
    names = {"results.csv", "results.parquet", "answers.parquet"}
    assert {file.name for file in tmp_path.iterdir()} == names


def test_the_text_numbers_notes_once() -> None:
    rows = table_of(study_of(swin([0.5] * 4, collapsed=True), swin([0.5] * 4, arm="video", collapsed=True)))
    text = table_text(rows)
    assert text.count("(1)") == 3
    assert text.count("the network gives all studies one answer") == 1
    assert "(2)" not in text
    (line, *_) = differences_text(differences_of(rows)).splitlines()[1:]
    assert (
        line
        == "  - Video pretraining does not change the AUROC of Video Swin-T from 0.500 to 0.500: +0.000. (1)"
    )
