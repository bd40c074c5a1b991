"""When a training is due: numbers one can check by hand, and how often chance alone would call for one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy.stats import binom

from vpt_plugin.active.retrain import (
    AnsweredFinding,
    RetrainEvidence,
    RetrainRule,
    chance_of_at_least,
    contradiction,
    expected_errors,
    overconfidence,
    retrain_due,
)
from vpt_plugin.errors import ConfigurationError

ENOUGH = {"lung_nodule": {"present": 9, "absent": 30}}
RULE = RetrainRule()


def answered(
    probabilities: ArrayLike,
    states: ArrayLike,
    validation: tuple[Sequence[float], Sequence[float]] = ((), ()),
    finding: str = "lung_nodule",
) -> AnsweredFinding:
    said, known, *honest = (np.asarray(each, float) for each in (probabilities, states, *validation))
    return AnsweredFinding(finding, 0.5, said, known, *honest)


def evidence(
    new_labels: int, *answers: AnsweredFinding, version: int = 3, tried_with: int = 0
) -> RetrainEvidence:
    return RetrainEvidence("nodule_tiny", version, new_labels, ENOUGH, answers, tried_with)


@pytest.mark.parametrize(("new_labels", "due"), [(0, False), (19, False), (20, True), (21, True)])
def test_a_training_is_due_every_twenty_labels(new_labels: int, due: bool) -> None:
    advice = retrain_due(RULE, evidence(new_labels))
    assert (advice.due, advice.new_labels) == (due, new_labels)


def test_the_advice_says_why_either_way() -> None:
    assert retrain_due(RULE, evidence(7)).why == (
        "7 new labels so far; the next training of nodule_tiny is due after 20."
    )
    assert retrain_due(RULE, evidence(23)).why == (
        "There are 23 labels that version 3 of nodule_tiny does not know; a training is due every 20."
    )


def test_the_first_training_waits_for_both_states() -> None:
    few = replace(evidence(40, version=0), labels={"lung_nodule": {"present": 4, "absent": 36}})
    advice = retrain_due(RULE, few)
    assert not advice.due
    assert advice.why == (
        "nodule_tiny was never trained: it takes at least 5 labels with lung nodule present, and 4 of them "
        "are there."
    )
    advice = retrain_due(RULE, evidence(39, version=0))
    assert (advice.due, advice.why) == (True, "There are 39 labels, and nodule_tiny was never trained.")


def test_a_training_that_came_to_nothing_is_not_tried_again_before_as_many_labels_more() -> None:
    wrong = answered([0.9] * 15, [0] * 15)
    advice = retrain_due(RULE, evidence(39, wrong, tried_with=20))
    assert not advice.due
    assert advice.why == "The last training came to no version; the next one is due after 1 more label."
    assert retrain_due(RULE, evidence(40, wrong, tried_with=20)).due


def test_a_version_doubts_an_answer_by_what_its_probability_leaves() -> None:
    assert expected_errors([0.9, 0.6, 0.4, 0.1], 0.5) == pytest.approx([0.1, 0.4, 0.4, 0.1])
    assert expected_errors([0.3, 0.1], 0.2) == pytest.approx([0.7, 0.1])


@pytest.mark.parametrize("count", [0, 1, 7, 30])
def test_with_equal_doubts_the_chance_is_that_of_the_binomial_test(count: int) -> None:
    assert chance_of_at_least(count, np.full(30, 0.2)) == pytest.approx(binom.sf(count - 1, 30, 0.2))


def test_with_unequal_doubts_it_is_what_one_multiplies_by_hand() -> None:
    assert chance_of_at_least(1, [0.1, 0.2]) == pytest.approx(1 - 0.9 * 0.8)
    assert chance_of_at_least(2, [0.1, 0.2]) == pytest.approx(0.1 * 0.2)
    assert chance_of_at_least(3, [0.1, 0.2]) == 0.0


def test_readers_who_contradict_sure_answers_make_a_training_due() -> None:
    """Ten answers of 0.9, of which one should be wrong; four are: 1 time in 78 is not enough, five is."""
    four, five = (answered([0.9] * 10, [0] * wrong + [1] * (10 - wrong)) for wrong in (4, 5))
    assert not retrain_due(RULE, evidence(10, four)).due
    advice = retrain_due(RULE, evidence(10, five))
    assert advice.due
    assert advice.why == (
        "Of the last 10 new labels on lung nodule, 5 contradict version 3 of nodule_tiny, which expected "
        "1.0: that is chance alone 1 time in 612."
    )
    found = advice.contradictions["lung_nodule"]
    assert (found.compared, found.contradicted) == (10, 5)
    assert (found.expected, found.chance) == pytest.approx((1.0, binom.sf(4, 10, 0.1)))


def test_unsure_answers_may_be_wrong_half_of_the_time() -> None:
    """What ``uncertain`` proposes: no sign that the version has become any worse."""
    unsure = answered([0.52, 0.48] * 15, [0, 1] * 8 + [1, 0] * 7)
    found = contradiction(unsure, 50)
    assert (found.contradicted, found.expected) == (16, pytest.approx(14.4))
    assert not retrain_due(RULE, evidence(15, unsure)).due


def test_a_version_that_was_too_sure_on_its_validation_is_expected_to_be_so_again() -> None:
    """Twenty times it said 0.9 where one in five had it: it is wrong eightfold, less the one study added."""
    validation = ([0.9] * 20, [1.0] * 4 + [0.0] * 16)
    assert overconfidence(answered([], [], validation)) == pytest.approx((16 + 1) / (2 + 1))
    found = contradiction(answered([0.9] * 10, [0] * 5 + [1] * 5, validation), 50)
    assert found.expected == pytest.approx(10 * 0.1 * 17 / 3)


def test_a_lucky_validation_does_not_make_the_rule_stricter() -> None:
    assert overconfidence(answered([], [], ([0.8] * 10, [1.0] * 10))) == 1.0
    assert overconfidence(answered([], [])) == 1.0


def test_only_the_newest_labels_are_compared_and_never_fewer_than_ten() -> None:
    found = contradiction(answered([0.9] * 60, [0] * 10 + [1] * 50), 50)
    assert (found.compared, found.contradicted) == (50, 0)
    assert retrain_due(RULE, evidence(9, answered([0.9] * 9, [0] * 9))).contradictions == {}


def test_several_findings_share_the_chance_of_a_false_alarm() -> None:
    """Five of ten is 1 time in 612: enough for two findings together, not for seven."""
    five = [answered([0.9] * 10, [0] * 5 + [1] * 5, finding=f"finding{at}") for at in range(7)]
    assert retrain_due(RULE, evidence(10, *five[:2])).due
    assert not retrain_due(RULE, evidence(10, *five)).due


def test_where_a_training_is_due_seldom_anyway_more_looks_share_the_chance_of_a_false_alarm() -> None:
    """Ten windows pass before 500 labels: 1 time in 612 is often, then."""
    five = answered([0.9] * 10, [0] * 5 + [1] * 5)
    assert retrain_due(RetrainRule(every=50), evidence(10, five)).due
    assert not retrain_due(RetrainRule(every=500), evidence(10, five)).due


def test_a_version_that_is_as_good_as_it_says_is_seldom_called_worse_however_studies_are_chosen() -> None:
    """Of its least sure studies, asked after every label from the tenth on to the nineteenth."""
    rng, alarms, runs = np.random.default_rng(0), 0, 400
    for _ in range(runs):
        said = rng.beta(0.6, 2.0, size=200)
        said = said[np.argsort(np.abs(said - 0.5))][:19]
        states = (rng.random(19) < said).astype(float)
        alarms += any(
            retrain_due(RULE, evidence(n, answered(said[:n], states[:n]))).due for n in range(10, 20)
        )
    assert alarms / runs <= 0.03


def test_a_version_that_has_come_to_guess_is_noticed_before_twenty_labels() -> None:
    """It says 0.1 or 0.9 and is right half of the time."""
    rng, noticed, runs = np.random.default_rng(0), 0, 200
    for _ in range(runs):
        said, states = rng.choice([0.1, 0.9], 19), rng.integers(0, 2, 19).astype(float)
        noticed += any(
            retrain_due(RULE, evidence(n, answered(said[:n], states[:n]))).due for n in range(10, 20)
        )
    assert noticed / runs >= 0.9


@pytest.mark.parametrize("wrong", [{"every": 0}, {"window": 0}, {"rarer_than": 1.0}, {"min_each": -1}])
def test_a_rule_that_makes_no_sense_is_refused_with_its_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RetrainRule(**wrong)  # type: ignore[arg-type]


def test_the_advice_is_json() -> None:
    advice = retrain_due(RULE, evidence(12, answered([0.9] * 12, [1] * 12), version=0))
    assert json.loads(json.dumps(advice.to_json())) == {
        "due": False,
        "why": advice.why,
        "new_labels": 12,
        "every": 20,
        "version": None,
        "contradictions": {
            "lung_nodule": {
                "finding": "lung_nodule",
                "compared": 12,
                "contradicted": 0,
                "expected": pytest.approx(1.2),
                "chance": 1.0,
            }
        },
    }
