from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import roc_curve

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.tasks import THRESHOLD_RULES
from vpt_plugin.training.metrics import (
    choose_threshold,
    sensitivity,
    sensitivity_threshold,
    specificity,
    threshold_rule,
    youden_threshold,
)

probability = st.integers(0, 100).map(lambda hundredths: hundredths / 100)
both_states = st.lists(st.tuples(st.booleans(), probability), min_size=2, max_size=40).filter(
    lambda studies: len({present for present, _ in studies}) == 2
)
Studies = list[tuple[bool, float]]


def taken_apart(studies: Studies) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    labels, scores = zip(*studies, strict=True)
    return np.array(labels), np.array(scores)


def youden_index(labels: ArrayLike, probabilities: ArrayLike, threshold: float) -> float:
    return sensitivity(labels, probabilities, threshold) + specificity(labels, probabilities, threshold) - 1


def test_between_separated_states_it_is_the_middle_of_their_median_log_odds() -> None:
    # Medians of -2 and +4 in log-odds: 1, which lies in the middle half (0 to 2) of the gap from -1 to 3. The
    # two that are far off, at -4 and 9, move nothing.
    log_odds = [-4, -2, -1, 3, 4, 9]
    assert logit(youden_threshold([0, 0, 0, 1, 1, 1], expit(log_odds))) == pytest.approx(1)


def test_it_keeps_away_from_the_studies_at_the_ends_of_the_gap() -> None:
    # Medians of -8 and 4 make -2; but the gap is -1 to 3, and its middle half begins at 0.
    log_odds = [-9, -8, -1, 3, 4, 5]
    assert logit(youden_threshold([0, 0, 0, 1, 1, 1], expit(log_odds))) == pytest.approx(0)


def test_of_two_gaps_as_good_the_one_in_the_thick_of_the_studies_is_taken() -> None:
    # From 3 on: 1 of 2 found, none wrong. From -1 on: both found, 1 of 2 wrong. Both gain 0.5. The medians
    # are -1.5 and 1, their middle -0.25: nearest to it is the upper gap (0 to 3) from 0.75 on.
    assert logit(youden_threshold([0, 0, 1, 1], expit([-3, 0, -1, 3]))) == pytest.approx(0.75)


def test_a_threshold_never_lies_above_the_studies_it_calls_present() -> None:
    assert youden_threshold([1, 0], [0.5, 0.5]) == 0.5
    neighbour = float(np.nextafter(0.3, 1))
    assert youden_threshold([0, 1], [0.3, neighbour]) == neighbour
    assert youden_threshold([0, 1], [1 - 1e-16, 1.0]) == 1.0


@given(both_states)
def test_no_other_threshold_has_a_higher_index(studies: Studies) -> None:
    labels, probabilities = taken_apart(studies)
    false_positives, true_positives, _ = roc_curve(labels, probabilities, drop_intermediate=False)
    found = youden_index(labels, probabilities, youden_threshold(labels, probabilities))
    # Beginning with calling none present, which is no threshold, but never better than calling all.
    assert found == pytest.approx((true_positives - false_positives).max(), abs=1e-9)


@given(both_states, st.floats(0.5, 5), st.sampled_from(sorted(THRESHOLD_RULES)))
def test_a_temperature_moves_the_threshold_with_the_probabilities(
    studies: Studies, temperature: float, rule: str
) -> None:
    labels, probabilities = taken_apart(studies)
    log_odds = logit(probabilities.clip(0.001, 0.999))
    threshold = choose_threshold(rule, labels, expit(log_odds))
    after = choose_threshold(rule, labels, expit(log_odds / temperature))
    assert logit(after) == pytest.approx(logit(threshold) / temperature, abs=1e-6)


def half_way(labels: ArrayLike, probabilities: NDArray[np.float64]) -> float:
    """The lowest of the best thresholds, half way between two probabilities: the usual choice."""
    false_positives, true_positives, at = roc_curve(labels, probabilities, drop_intermediate=False)
    gain = true_positives - false_positives
    called = at[np.flatnonzero(np.isclose(gain, gain.max()))[-1]]
    below = probabilities[probabilities < called]
    return float((called + below.max()) / 2 if len(below) else called)


@pytest.mark.parametrize("shift", [-1.0, 2.5])
def test_on_few_studies_it_loses_less_on_new_ones_than_half_way_does(shift: float) -> None:
    # Normal log-odds 2.5 apart; shifted upwards as a maximum over many clips shifts them.
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 2 == 0
    lost = {youden_threshold: 0.0, half_way: 0.0}
    for _ in range(300):
        log_odds = rng.normal(2.5 * labels + shift, 1.2)
        for rule in lost:
            cut = logit(rule(labels, expit(log_odds))) - shift
            lost[rule] += (2 * norm.cdf(1.25 / 1.2) - 1) - (
                norm.cdf((2.5 - cut) / 1.2) - norm.cdf(-cut / 1.2)
            )
    assert lost[youden_threshold] < 0.75 * lost[half_way]


def test_a_target_sensitivity_is_reached_at_the_least_loss_of_specificity() -> None:
    labels = [1, 1, 1, 1, 0, 0, 0]
    log_odds = [4, 3, 1, -3, 2, 0, -4]
    # Three of four, from 1 on; the next below is at 0, and the middle is taken.
    assert logit(sensitivity_threshold(labels, expit(log_odds), 0.75)) == pytest.approx(0.5)
    # A little more needs all four: from -3 on, the next below is at -4.
    assert logit(sensitivity_threshold(labels, expit(log_odds), 0.76)) == pytest.approx(-3.5)


@pytest.mark.parametrize(("target", "present", "found"), [(0.95, 20, 19), (0.28, 25, 7), (1, 20, 20)])
def test_nineteen_of_twenty_reach_95_percent(target: float, present: int, found: int) -> None:
    # 0.28 * 25 is 7.000000000000001 to a computer, and still 7 studies.
    probabilities = np.linspace(0.05, 0.95, present)
    threshold = sensitivity_threshold([1] * present, probabilities, target)
    assert sensitivity([1] * present, probabilities, threshold) == found / present


@given(both_states, st.integers(1, 100))
def test_it_calls_what_the_highest_threshold_that_reaches_the_target_calls(
    studies: Studies, percent: int
) -> None:
    labels, probabilities = taken_apart(studies)
    threshold = sensitivity_threshold(labels, probabilities, percent / 100)
    reaching = [
        each for each in probabilities if sensitivity(labels, probabilities, each) >= percent / 100 - 1e-9
    ]
    assert ((probabilities >= threshold) == (probabilities >= max(reaching))).all()


@pytest.mark.parametrize("labels", [[], [1, 1], [0, 0]])
def test_without_a_state_that_it_needs_a_threshold_is_undefined(labels: list[int]) -> None:
    assert math.isnan(choose_threshold("youden", labels, [0.5] * len(labels)))
    found = choose_threshold("sensitivity:0.9", labels, [0.5] * len(labels))
    assert math.isnan(found) == (sum(labels) == 0)


def test_every_rule_in_the_table_can_be_chosen() -> None:
    for name in THRESHOLD_RULES:
        assert 0 < choose_threshold(name, [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) < 1


@pytest.mark.parametrize(
    "name", ["yuden", "", "sensitivity", "sensitivity:95", "sensitivity:nan", "youden:1"]
)
def test_an_unknown_rule_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"choose from youden .*sensitivity:0\.95"):
        threshold_rule(name)


def test_logits_and_targets_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="not between 0 and 1"):
        youden_threshold([0, 1], [-2.0, 3.0])
    with pytest.raises(ValueError, match="above 0 and is at most 1"):
        sensitivity_threshold([0, 1], [0.2, 0.8], 0)
