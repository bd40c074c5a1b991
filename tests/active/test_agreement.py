"""How readers agree: kappa and its interval against what is known of them, and which readings count."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from vpt_plugin.active.agreement import (
    Agreement,
    ReaderAgreement,
    kappa_estimate,
    kappas,
    read_agreement,
    reader_agreement,
)
from vpt_plugin.labels import STATES, FindingLabel, StudyLabel
from vpt_plugin.models.card import Estimate
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.leases import LeaseBook, Order
from vpt_plugin.store.readings import double_read

# 20 studies both call present, 15 both absent; 5 and 10 on which they differ. Agreement 0.7, by chance 0.5.
TEXTBOOK = np.array([[20, 5, 0], [10, 15, 0], [0, 0, 0]])


def label(annotator: str, **states: str) -> StudyLabel:
    return StudyLabel("nodule", {name: FindingLabel(state) for name, state in states.items()}, annotator)


def answers(table: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """What the two readers said, study by study."""
    cells = [(row, column) for row, column in np.ndindex(table.shape) for _ in range(table[row, column])]
    return [row for row, _ in cells], [column for _, column in cells]


def standard_error(table: NDArray[np.int64]) -> float:
    """Of kappa, for large samples: Fleiss, Cohen & Everitt, Psychological Bulletin 1969."""
    shares, kappa = table / table.sum(), float(kappas(table[None])[0])
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    by_chance = float(rows @ columns)
    sums = columns[:, None] + rows[None, :]
    diagonal = float((np.diag(shares) * (1 - (rows + columns) * (1 - kappa)) ** 2).sum())
    off = float(((shares - np.diag(np.diag(shares))) * sums**2).sum()) * (1 - kappa) ** 2
    variance = diagonal + off - (kappa - by_chance * (1 - kappa)) ** 2
    return math.sqrt(variance / (table.sum() * (1 - by_chance) ** 2))


def test_the_kappa_of_the_textbook_is_two_fifths() -> None:
    assert kappa_estimate(TEXTBOOK).value == pytest.approx((0.7 - 0.5) / (1 - 0.5))


@pytest.mark.parametrize("seed", range(8))
def test_kappa_is_that_of_scikit_learn(seed: int) -> None:
    table = np.random.default_rng(seed).integers(0, 12, (3, 3))
    assert kappa_estimate(table).value == pytest.approx(cohen_kappa_score(*answers(table)))


def test_readers_who_always_agree_have_kappa_1_and_no_interval() -> None:
    """No resample differs; that does not make ten studies certain."""
    found = kappa_estimate(np.diag([4, 6, 0]))
    assert (found.value, found.n) == (1.0, 10)
    assert np.isnan(found.ci95).all()


@pytest.mark.parametrize("table", [np.zeros((3, 3), int), np.diag([0, 9, 0])])
def test_without_studies_and_where_all_is_one_state_kappa_is_undefined(table: NDArray[np.int64]) -> None:
    found = kappa_estimate(table)
    assert np.isnan([found.value, *found.ci95]).all()


def test_the_interval_is_that_of_the_large_sample_formula() -> None:
    table = 20 * TEXTBOOK
    low, high = kappa_estimate(table).ci95
    spread = 1.96 * standard_error(table)
    assert (low, high) == pytest.approx((0.4 - spread, 0.4 + spread), abs=0.006)


def test_the_interval_holds_the_truth_nineteen_times_in_twenty() -> None:
    """Fifty studies each, of readers whose kappa is 0.4."""
    rng, shares = np.random.default_rng(1), (TEXTBOOK / TEXTBOOK.sum()).ravel()
    drawn = rng.multinomial(50, shares, size=400).reshape(-1, 3, 3)
    found = [kappa_estimate(table, resamples=500).ci95 for table in drawn]
    covered = np.mean([low <= 0.4 <= high for low, high in found])
    assert 0.92 <= covered <= 0.98


def test_where_a_finding_is_rare_the_agreement_on_it_tells_what_kappa_and_the_share_hide() -> None:
    """Of 100 studies both call 1 present and 93 absent, and differ in 6: 94 % agreement."""
    table = ((1, 3, 0), (3, 93, 0), (0, 0, 0))
    found = Agreement("lung_nodule", ("anna", "bert"), table, kappa_estimate(table))
    assert found.observed == 0.94
    assert found.kappa.value == pytest.approx((0.94 - 0.9232) / (1 - 0.9232))
    assert found.on("present") == 2 / 8
    assert found.on("absent") == 186 / 192
    assert math.isnan(found.on("indeterminate"))


def test_the_first_two_readers_of_a_study_and_every_pair_of_readers_are_compared(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    for study, said in {
        "a": [("anna", "present"), ("bert", "present"), ("clara", "absent")],
        "b": [("bert", "absent"), ("anna", "present")],
        "c": [("anna", "absent")],
        "d": [("", "absent"), ("anna", "present")],
    }.items():
        for annotator, state in said:
            labels.save(study, label(annotator, lung_nodule=state))
    found = reader_agreement("nodule", ("lung_nodule",), double_read(labels, "nodule"))
    assert found.studies == 2
    (overall,) = found.overall
    assert overall.table == ((1, 0, 0), (1, 0, 0), (0, 0, 0))
    assert {each.readers: each.table for each in found.pairs} == {
        ("anna", "bert"): ((1, 1, 0), (0, 0, 0), (0, 0, 0)),
        ("anna", "clara"): ((0, 1, 0), (0, 0, 0), (0, 0, 0)),
        ("bert", "clara"): ((0, 1, 0), (0, 0, 0), (0, 0, 0)),
    }


def test_each_finding_has_its_own_agreement_and_only_of_studies_on_which_both_spoke(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", label("anna", lung_nodule="present", effusion="absent"))
    labels.save("a", label("bert", lung_nodule="indeterminate"))
    found = reader_agreement("nodule", ("lung_nodule", "effusion"), double_read(labels, "nodule"))
    nodule, effusion = found.overall
    assert nodule.table[STATES.index("present")][STATES.index("indeterminate")] == 1
    assert effusion.studies == 0


def test_only_second_readings_that_were_ordered_are_sure_to_be_independent(tmp_path: Path) -> None:
    """Bert was offered a as a second reading; b he corrected, and may have seen what Anna said."""
    labels, leases = LabelFolder(tmp_path), LeaseBook(tmp_path / "worklist")
    leases.offer([Order("a", "nodule", "double-read", reading="second")], "bert")
    for study in ("a", "b"):
        for annotator in ("anna", "bert"):
            labels.save(study, label(annotator, lung_nodule="present"))

    def found(*, only_ordered: bool) -> ReaderAgreement:
        return read_agreement("nodule", ("lung_nodule",), labels, leases.history(), only_ordered=only_ordered)

    assert [
        (each.studies, each.ordered) for each in (found(only_ordered=False), found(only_ordered=True))
    ] == [
        (2, 1),
        (1, 1),
    ]


def test_in_json_what_is_undefined_is_null() -> None:
    found = Agreement("lung_nodule", ("", ""), ((0,) * 3,) * 3, Estimate(math.nan, (math.nan, math.nan), 0))
    assert found.to_json() == {
        "finding": "lung_nodule",
        "readers": None,
        "studies": 0,
        "kappa": {"value": None, "ci95": [None, None], "n": 0},
        "observed": None,
        "agreement_on": {"present": None, "absent": None, "indeterminate": None},
        "states": ["present", "absent", "indeterminate"],
        "table": [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
    }
