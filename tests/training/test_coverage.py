from __future__ import annotations

import json

import numpy as np
import pytest

from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.conformal_record import ConformalScores, MeasuredCoverage, StateCoverage
from vpt_plugin.training.coverage import (
    conformal_record,
    coverage_on,
    coverage_over_splits,
    one_per_patient,
    state_coverage,
)
from vpt_plugin.training.validation_record import SeenStudy, ValidatedStudy


def drawn(seed: int, *, studies: int = 60, overlap: float = 1.0) -> ConformalScores:
    """Studies of a network that tells the states apart more or less."""
    rng = np.random.default_rng(seed)
    return ConformalScores.of(rng.beta(4, 4 * overlap, studies), rng.beta(4 * overlap, 4, studies))


def of_states(measured: MeasuredCoverage) -> tuple[StateCoverage, StateCoverage]:
    assert measured.present is not None
    assert measured.absent is not None
    return measured.present, measured.absent


def test_what_exchangeable_studies_give_can_be_counted_by_hand() -> None:
    # Of 9 that decide and one more, the lowest of ten is ruled out at 10 %: nine in ten are left in.
    found = state_coverage(1.0, 9, 1, 0.1, sets=1)
    assert found.expected == 0.9
    assert found.one_split == (0.0, 1.0)
    # Of 19 two of twenty are, and 8 studies never rule anything out.
    assert state_coverage(1.0, 19, 1, 0.1, sets=1).expected == 0.9
    assert state_coverage(1.0, 28, 1, 0.1, sets=1).expected == 27 / 29
    assert state_coverage(1.0, 8, 1, 0.1, sets=1).ci95 == (1.0, 1.0)


def test_the_spread_over_sets_is_that_of_the_beta_binomial_distribution() -> None:
    # One study is tested: 1 with a chance of 0.9, so the deviation is 0.3, over 200 sets 0.3 / sqrt(200).
    found = state_coverage(0.9, 9, 1, 0.1, sets=200)
    assert found.ci95 == pytest.approx((0.9 - 1.96 * 0.3 / 200**0.5, 0.9 + 1.96 * 0.3 / 200**0.5))


@pytest.mark.parametrize("overlap", [0.3, 1.0])
def test_over_200_random_splits_the_coverage_is_within_its_interval(overlap: float) -> None:
    """Of 24 sets of splits one or two lie outside of their 95 % interval by chance; here at most three."""
    within, apart = 0, []
    for seed in range(12):
        measured = coverage_over_splits(drawn(seed, overlap=overlap), [0.1], splits=200, seed=seed)[0]
        for found in of_states(measured):
            assert found.calibrating == 48
            assert found.expected == 45 / 49
            within += found.ci95[0] <= found.coverage <= found.ci95[1]
            apart.append(found.coverage - found.expected)
    assert within >= 21
    assert abs(float(np.mean(apart))) < 0.004


def test_a_network_that_knows_nothing_is_unsure_and_keeps_the_promise() -> None:
    useless, good = (coverage_over_splits(drawn(5, overlap=each), [0.1])[0] for each in (1.0, 0.2))
    assert useless.unsure is not None
    assert good.unsure is not None
    assert useless.unsure > 0.7
    assert good.unsure < 0.2
    assert all(each.holds for found in (useless, good) for each in of_states(found))


def test_equal_probabilities_only_raise_the_coverage() -> None:
    exact = drawn(3)
    rough = ConformalScores.of(np.round(exact.present, 1), np.round(exact.absent, 1))
    for found in of_states(coverage_over_splits(rough, [0.1])[0]):
        assert found.coverage > found.ci95[1]
        assert found.holds


def test_studies_that_are_not_like_the_validation_studies_break_the_promise_and_it_shows() -> None:
    own, others = drawn(0), drawn(1)
    kept = of_states(coverage_on(own, others, [0.1])[0])
    assert all(each.ci95[0] <= each.coverage <= each.ci95[1] for each in kept)
    # Of another scanner all probabilities are lower by 0.3: those that have it are called absent.
    shifted = ConformalScores.of(np.array(others.present) - 0.3, np.array(others.absent) - 0.3)
    present, absent = of_states(coverage_on(own, shifted, [0.1])[0])
    assert not present.holds
    assert absent.holds


def test_too_few_studies_of_a_state_are_not_measured() -> None:
    found = coverage_over_splits(ConformalScores.of([0.9], [0.1, 0.2, 0.3]), [0.1])[0]
    assert found.present is None
    assert coverage_over_splits(ConformalScores.of([], []), [0.1])[0].unsure is None


def test_one_study_per_patient_counts_chosen_by_nothing_that_it_says() -> None:
    assert one_per_patient(["ann", "ben", "ann"], ["c", "b", "a"], [0.9, 0.5, 0.1]) == [0.1, 0.5]


def validated(patient: str, scan: str, state: float, probability: float) -> ValidatedStudy:
    seen = SeenStudy(scan, (patient,), scan)
    return ValidatedStudy(seen, {"lung_nodule": state}, {"lung_nodule": probability})


def test_a_card_keeps_numbers_by_state_and_no_study() -> None:
    record = conformal_record(
        ("lung_nodule",),
        [
            validated("ann", "scan-b", 1.0, 0.9),
            validated("ann", "scan-a", 1.0, 0.7),  # her second study with it does not count
            validated("ann", "scan-c", 0.0, 0.3),  # one without it does
            validated("ben", "scan-d", 0.0, 0.2),
            validated("cem", "scan-e", float("nan"), 0.5),
        ],
        folds=True,
    )
    assert record.scores == {"lung_nodule": ConformalScores((0.7,), (0.2, 0.3))}
    card = ModelCard("nodule", "tiny", ("lung_nodule",), "none", 8, conformal=record)
    text = json.dumps(card.to_json())
    assert ModelCard.from_json(text) == card
    assert not any(name in text for name in ("ann", "ben", "cem", "scan-"))
