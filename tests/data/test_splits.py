from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.data.splits import SPLITS, SplitShares, split_of


def test_the_shares_are_those_of_the_paper() -> None:
    sides = Counter(split_of(f"patient-{number}") for number in range(10_000))
    assert sides["train"] == pytest.approx(7_000, abs=150)
    assert sides["validation"] == pytest.approx(1_500, abs=150)
    assert sides["test"] == pytest.approx(1_500, abs=150)


def test_every_state_is_divided_in_the_same_shares() -> None:
    # The hash knows nothing of the state: here one patient in ten has the finding.
    sides = Counter(split_of(f"patient-{number}") for number in range(0, 10_000, 10))
    assert sides["train"] == pytest.approx(700, abs=50)
    assert sides["validation"] == pytest.approx(150, abs=40)


def test_a_patients_side_is_the_same_today_and_in_ten_years() -> None:
    # A change of these would put patients that were tested on into the training.
    sides = [split_of(name) for name in ("LIDC-IDRI-0001", "LIDC-IDRI-0002", "LIDC-IDRI-0010")]
    assert sides == ["test", "test", "train"]


@given(st.text())
def test_any_name_has_exactly_one_side_and_keeps_it(patient: str) -> None:
    assert split_of(patient) in SPLITS
    assert split_of(patient) == split_of(patient)


@given(st.text(), st.floats(0, 0.5))
def test_a_larger_training_share_moves_no_patient_out_of_training(patient: str, more: float) -> None:
    small = SplitShares(train=0.4, validation=0.3, test=0.3)
    large = SplitShares(train=0.4 + more, validation=0.6 - more, test=0.0)
    if split_of(patient, shares=small) == "train":
        assert split_of(patient, shares=large) == "train"


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.2, -0.2, 0.0)])
def test_shares_that_are_no_shares_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        SplitShares(*shares)
