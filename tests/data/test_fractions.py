"""Fractions of the training side: nested, of whole patients, with every state in its share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.data.fractions import take_fraction, take_fractions
from vpt_plugin.errors import ConfigurationError

Studies = Mapping[str, tuple[str, tuple[str, ...]]]


@st.composite
def sides(draw: st.DrawFn) -> Studies:
    """Up to 60 studies of up to 30 patients, with up to three findings of any state, or none."""
    states = st.sampled_from(("present", "absent", "indeterminate", ""))
    studies = {}
    for number in range(draw(st.integers(1, 60))):
        own = [f"{finding}={state}" for finding in "abc" if (state := draw(states))]
        studies[f"study-{number}"] = (f"patient-{draw(st.integers(0, 29))}", tuple(own))
    return studies


percents = st.sampled_from((0.1, 1, 2.5, 10, 33.3, 50, 99, 100)) | st.floats(0.01, 100)


def patients_of(studies: Studies, taken: tuple[str, ...]) -> set[str]:
    return {studies[study][0] for study in taken}


def strata_of(studies: Studies, taken: tuple[str, ...]) -> set[str]:
    return {stratum for study in taken for stratum in studies[study][1]}


@given(sides(), percents, percents)
def test_a_smaller_fraction_is_part_of_a_larger_one(studies: Studies, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert set(take_fraction(studies, small)) <= set(take_fraction(studies, large))


@given(sides(), st.lists(percents, max_size=4), st.integers(0, 3))
def test_several_fractions_at_once_are_those_taken_one_by_one(
    studies: Studies, several: list[float], seed: int
) -> None:
    assert take_fractions(studies, several, seed) == {
        percent: take_fraction(studies, percent, seed) for percent in several
    }


@given(sides(), percents)
def test_a_patient_is_in_it_with_all_studies_or_with_none(studies: Studies, percent: float) -> None:
    taken = take_fraction(studies, percent)
    assert set(taken) == {study for study in studies if studies[study][0] in patients_of(studies, taken)}


@given(sides(), percents, st.integers(0, 3))
def test_every_state_that_is_there_is_in_every_fraction(studies: Studies, percent: float, seed: int) -> None:
    taken = take_fraction(studies, percent, seed)
    assert strata_of(studies, taken) == strata_of(studies, tuple(studies))


@given(sides(), percents, st.randoms(use_true_random=False))
def test_the_order_of_the_studies_does_not_matter(studies: Studies, percent: float, random: Random) -> None:
    names = list(studies)
    random.shuffle(names)
    shuffled = {name: (studies[name][0], studies[name][1][::-1]) for name in names}
    assert take_fraction(shuffled, percent) == take_fraction(studies, percent)


@given(sides(), st.integers(0, 3))
def test_a_hundred_percent_is_everything(studies: Studies, seed: int) -> None:
    assert take_fraction(studies, 100, seed) == tuple(sorted(studies))


def rsna_like() -> Studies:
    """5,095 patients of one study, 30 % with an embolism, of whom 1 in 40 has a rare form; 2 % not judged."""
    studies = {}
    for number in range(5095):
        states = ["pe=present"] if number % 10 < 3 else ["pe=absent"]
        if number % 50 == 49:
            states = ["pe=indeterminate"]
        if "pe=present" in states:
            states.append("rare=present" if number % 400 == 0 else "rare=absent")
        studies[f"{number:04d}"] = (f"patient-{number}", tuple(states))
    return studies


@pytest.mark.parametrize(("percent", "patients"), [(1, 51), (10, 510), (100, 5095)])
def test_states_keep_their_share_to_within_a_patient_or_two(percent: float, patients: int) -> None:
    studies = rsna_like()
    taken = take_fraction(studies, percent)
    assert len(taken) == patients
    whole = Counter(stratum for _, strata in studies.values() for stratum in strata)
    found = Counter(stratum for study in taken for stratum in studies[study][1])
    for stratum, count in whole.items():
        assert abs(found[stratum] - count * percent / 100) < 1.5, stratum


def test_thousands_of_patients_take_less_than_two_seconds() -> None:
    start = time.perf_counter()
    take_fraction(rsna_like(), 10)
    assert time.perf_counter() - start < 2


def test_another_seed_takes_other_patients_in_the_same_shares() -> None:
    studies = rsna_like()
    one, other = take_fraction(studies, 10), take_fraction(studies, 10, seed=1)
    assert len(one) == len(other)
    # A tenth of a tenth by chance: 51 of 510.
    assert len(set(one) & set(other)) < 120


def test_half_a_patient_is_rounded_up_and_never_less_than_one_is_taken() -> None:
    fifteen = {f"s{number:02d}": (f"p{number}", ("a=present",)) for number in range(15)}
    assert len(take_fraction(fifteen, 10)) == 2
    assert len(take_fraction(fifteen, 0.1)) == 1


def test_studies_without_any_label_take_part() -> None:
    studies = {f"s{number}": (f"p{number}", ("a=present",) if number < 10 else ()) for number in range(20)}
    taken = take_fraction(studies, 50)
    assert [bool(studies[study][1]) for study in taken].count(True) == 5


def test_no_studies_make_no_fraction() -> None:
    assert take_fraction({}, 10) == ()


@pytest.mark.parametrize("percent", [0, -1, 100.1, float("nan")])
def test_what_is_no_share_is_refused(percent: float) -> None:
    with pytest.raises(ConfigurationError, match="above 0 and up to 100 %"):
        take_fraction({"s": ("p", ())}, percent)
