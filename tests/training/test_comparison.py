from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import brier_score_loss, roc_auc_score

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.card import Estimate
from vpt_plugin.training.comparison import COMPARABLE, RULES, Comparison, compare, comparison_rule

Floats = NDArray[np.float64]


def names(studies: int) -> list[str]:
    return [f"patient-{number}" for number in range(studies)]


def answered(
    studies: int, *, served: float, candidate: float, seed: int = 0
) -> tuple[Floats, Floats, Floats]:
    """States, and probabilities of two versions whose present studies lie so much higher in log-odds."""
    rng = np.random.default_rng(seed)
    states = (np.arange(studies) % 2).astype(np.float64)[:, None]
    shared = rng.normal(0, 1, (studies, 1))
    first, second = (
        expit(gain * states + shared + rng.normal(0, 0.5, (studies, 1))) for gain in (served, candidate)
    )
    return states, first, second


def test_the_gain_is_that_of_a_plain_paired_loop() -> None:
    states, served, candidate = answered(40, served=1, candidate=1.5)
    patients = np.repeat(np.arange(20), 2)
    found = compare(states, served, candidate, [f"p{each}" for each in patients], resamples=150, seed=3)
    gains = []
    for drawn in np.random.default_rng(3).integers(0, 20, size=(150, 20)):
        rows = np.concatenate([np.flatnonzero(patients == each) for each in drawn])
        before, after = (roc_auc_score(states[rows, 0], each[rows, 0]) for each in (served, candidate))
        gains.append(after - before)
    assert found.served.value == pytest.approx(roc_auc_score(states, served))
    assert found.candidate.value == pytest.approx(roc_auc_score(states, candidate))
    assert found.gain.value == pytest.approx(found.candidate.value - found.served.value)
    assert found.gain.ci95 == pytest.approx(tuple(np.percentile(gains, (2.5, 97.5))))
    assert found.share == np.mean([gain > -0.01 for gain in gains])
    assert found.gain.n == 40


def test_findings_count_alike_and_what_is_not_known_is_left_out() -> None:
    first, second = answered(60, served=1, candidate=2, seed=1), answered(60, served=2, candidate=2, seed=2)
    states, served, candidate = (np.concatenate(pair, axis=1) for pair in zip(first, second, strict=True))
    states[:20, 1] = np.nan
    found = compare(states, served, candidate, names(60))
    expected = (roc_auc_score(states[:, 0], served[:, 0]) + roc_auc_score(states[20:, 1], served[20:, 1])) / 2
    assert found.served.value == pytest.approx(expected)
    assert found.gain.n == 60
    assert "AUROC (mean of 2 findings)" in found.sentence()


def test_the_pairing_makes_the_gain_more_certain_than_either_figure() -> None:
    found = compare(*answered(200, served=1, candidate=1.4), names(200))
    width = {name: np.diff(getattr(found, name).ci95)[0] for name in ("served", "candidate", "gain")}
    # Of two sets of studies that have nothing in common, the squares would add up.
    assert width["gain"] < 0.7 * np.hypot(width["served"], width["candidate"])


def test_a_clear_gain_is_served_by_every_rule() -> None:
    answers = answered(200, served=0.5, candidate=2)
    for rule in RULES:
        found = compare(*answers, names(200), rule=rule)
        assert found.better
        assert found.share > 0.99
    assert "That is enough to be served" in found.sentence()


def test_where_few_studies_are_enough_nothing_is_said_of_their_number() -> None:
    found = compare(*answered(40, served=0, candidate=4), names(40))
    low, high = found.gain.ci95
    assert low > 0
    assert high - low > 0.1
    assert "say little" not in found.sentence()


def test_a_clear_loss_is_served_by_no_rule() -> None:
    answers = answered(200, served=2, candidate=0.5)
    for rule in RULES:
        found = compare(*answers, names(200), rule=rule)
        assert not found.better
        assert found.gain.ci95[1] < 0
        assert "the served version stays" in found.sentence().lower()


def test_the_same_answers_are_not_better_but_not_worse_either() -> None:
    states, served, _ = answered(30, served=1, candidate=1)
    assert not compare(states, served, served, names(30)).better
    assert not compare(states, served, served, names(30), rule="significant").better
    found = compare(states, served, served, names(30), rule="not_worse")
    assert found.better
    assert found.gain.to_json() == {"value": 0.0, "ci95": [None, None], "n": 30}
    assert "a gain of +0.000 [n/a, n/a]." in found.sentence()


def test_a_new_version_without_an_error_beats_one_with_one_though_it_cannot_be_significant() -> None:
    # Of 6 present and 6 absent studies the served version has one pair the wrong way around: 35 of 36.
    states = np.repeat([[1.0], [0.0]], 6, axis=0)
    candidate = np.linspace(0.9, 0.1, 12)[:, None]
    served = candidate.copy()
    served[[5, 6]] = served[[6, 5]]
    found = compare(states, served, candidate, names(12))
    assert (found.candidate.value, found.served.value) == (1.0, pytest.approx(35 / 36))
    assert found.better
    assert found.share == 1.0  # in no resample is it behind, but in many it is level
    assert not compare(states, served, candidate, names(12), rule="significant").better


def test_what_may_be_chance_is_not_served_and_the_sentence_says_how_little_few_studies_tell() -> None:
    # Each version errs about other studies: the served one about 2 of 36 pairs, the new one about 1.
    states = np.repeat([[1.0], [0.0]], 6, axis=0)
    served = np.array([[0.9, 0.85, 0.8, 0.75, 0.7, 0.25, 0.3, 0.28, 0.2, 0.15, 0.1, 0.05]]).T
    candidate = np.array([[0.55, 0.85, 0.8, 0.75, 0.7, 0.9, 0.3, 0.28, 0.2, 0.15, 0.1, 0.6]]).T
    found = compare(states, served, candidate, names(12))
    assert found.gain.value == pytest.approx(1 / 36)
    assert not found.better
    assert 0.5 < found.share < 0.9
    assert "That may be chance: it stays less than 0.01 behind in" in found.sentence()
    assert "The served version stays. 12 studies say little: a gain below about 0." in found.sentence()


def test_a_lower_brier_score_is_a_gain() -> None:
    states, served, candidate = answered(100, served=0.5, candidate=2.5)
    found = compare(states, served, candidate, names(100), figure="brier")
    assert found.served.value == pytest.approx(brier_score_loss(states, served))
    assert found.gain.value == pytest.approx(found.served.value - found.candidate.value)
    assert found.better


@pytest.mark.parametrize("figure", COMPARABLE)
def test_exchanging_the_versions_turns_the_gain_around(figure: str) -> None:
    states, served, candidate = answered(50, served=1, candidate=2)
    forth = compare(states, served, candidate, names(50), figure=figure).gain
    back = compare(states, candidate, served, names(50), figure=figure).gain
    assert back.value == pytest.approx(-forth.value)
    assert back.ci95 == pytest.approx((-forth.ci95[1], -forth.ci95[0]))


def test_resamples_without_a_state_are_counted() -> None:
    found = compare([[1.0], [0.0]], [[0.2], [0.8]], [[0.8], [0.2]], names(2), resamples=100)
    assert 30 < found.undefined < 70
    assert found.share == 1.0


@pytest.mark.parametrize(
    ("states", "patients"), [([[1.0], [1.0]], ["ann", "bob"]), ([[1.0], [0.0]], ["ann", "ann"])]
)
def test_without_a_state_or_with_one_patient_nothing_is_compared(
    states: list[list[float]], patients: list[str]
) -> None:
    found = compare(states, [[0.2], [0.8]], [[0.8], [0.2]], patients, rule="not_worse")
    assert not found.better
    assert math.isnan(found.share)
    assert "cannot be compared, so the served version stays" in found.sentence()
    assert found.to_json()["share"] is None


def test_a_finding_that_is_known_of_one_patient_only_compares_nothing() -> None:
    first = answered(20, served=1, candidate=2)
    states, served, candidate = (np.concatenate([each, each], axis=1) for each in first)
    states[2:, 1] = np.nan
    found = compare(states, served, candidate, ["ann", "ann", *names(18)])
    assert math.isnan(found.share)
    assert not found.better


def test_the_sentence_names_both_figures_the_gain_and_the_rule() -> None:
    found = Comparison(
        rule=comparison_rule("better"),
        figure="auroc",
        findings=1,
        served=Estimate(0.874, (0.8, 0.93), 60),
        candidate=Estimate(0.912, (0.85, 0.96), 60),
        gain=Estimate(0.038, (-0.011, 0.084), 60),
        share=0.9349,
        undefined=0,
        resamples=1000,
        better=True,
    )
    assert found.sentence() == (
        "On the same 60 validation studies the new version has AUROC 0.912 [0.850, 0.960], the served one "
        "0.874 [0.800, 0.930]: a gain of +0.038 [-0.011, +0.084]. That is enough to be served: it stays less "
        "than 0.01 behind in 93 % of 1000 resamples, and the rule 'better' asks for 90 %."
    )
    written = json.loads(json.dumps(found.to_json()))
    assert written["served"] == {"value": 0.874, "ci95": [0.8, 0.93], "n": 60}
    assert (written["rule"], written["better"], written["share"]) == ("better", True, 0.9349)
    assert written["sentence"] == found.sentence()


def test_unknown_rules_and_figures_are_refused_with_the_choices() -> None:
    with pytest.raises(ConfigurationError, match=r"choose from better .*significant .*not_worse"):
        compare([[1.0]], [[0.5]], [[0.5]], ["ann"], rule="best")
    with pytest.raises(ConfigurationError, match="choose from auroc, auprc"):
        compare([[1.0]], [[0.5]], [[0.5]], ["ann"], figure="sensitivity")


def test_versions_that_answered_other_studies_are_refused() -> None:
    with pytest.raises(ValueError, match="must be of one shape"):
        compare([[1.0], [0.0]], [[0.5]], [[0.5], [0.5]], names(2))
    with pytest.raises(ValueError, match="must be of one shape"):
        compare([[1.0], [0.0]], [[0.5], [0.5]], [[0.5], [0.5]], names(3))
