from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.ct.suitability.verdict import Check, Suitability
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.inference.conformal import (
    check_error_rate,
    decide,
    least_studies,
    p_values,
    with_decisions,
)
from vpt_plugin.inference.prediction import ClipProbability, FindingPrediction, Prediction
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.conformal_record import ConformalRecord, ConformalScores

# 9 studies that have it, at 0.1, 0.2 ... 0.9, and 19 that do not, at 0.05, 0.10 ... 0.95.
NINE = ConformalScores.of([0.1 * n for n in range(1, 10)], [0.05 * n for n in range(1, 20)])
# Told apart: those that have it from 0.6 on, those that do not up to 0.4.
APART = ConformalScores.of([0.6 + 0.04 * n for n in range(10)], [0.4 - 0.02 * n for n in range(20)])


def test_a_state_is_ruled_out_where_its_studies_hardly_ever_got_that() -> None:
    found = decide(APART, 0.9, 0.1)
    # Of 10 with it 8 got at most 0.9, and the study itself is one more: 9 of 11. Of 20 without it none.
    assert (found.p_present, found.p_absent) == (9 / 11, 1 / 21)
    assert found.decision == "present"
    assert found.why == (
        "None of 20 validation studies without it got so high a probability, which rules out at an error "
        "rate of 10 % that it is absent."
    )
    assert decide(APART, 0.1, 0.1).decision == "absent"


def test_where_neither_state_is_ruled_out_it_is_unsure() -> None:
    found = decide(NINE, 0.5, 0.1)
    assert (found.p_present, found.p_absent) == (6 / 10, 11 / 20)
    assert found.decision == "unsure"
    assert "5 of 9 validation studies with it" in found.why
    assert "10 of 19 validation studies without it" in found.why


def test_what_is_like_neither_state_is_unsure() -> None:
    found = decide(APART, 0.5, 0.1)
    assert (found.p_present, found.p_absent) == (1 / 11, 1 / 21)
    assert found.decision == "unsure"
    assert found.why.startswith("It is like neither at an error rate of 10 %: none of 10")


def test_a_p_value_equal_to_the_error_rate_rules_out() -> None:
    nine = ConformalScores.of([0.5 + 0.01 * n for n in range(9)], [])
    assert decide(nine, 0.1, 0.1).p_present == 0.1
    assert decide(nine, 0.1, 0.1).decision == "absent"
    assert decide(nine, 0.1, 0.09).decision == "unsure"


def test_too_few_studies_of_a_state_never_rule_it_out_and_the_answer_says_so() -> None:
    eight = ConformalScores.of([0.9] * 8, [0.1] * 30)
    found = decide(eight, 0.01, 0.1)
    assert found.decision == "unsure"
    assert found.why == (
        "There are too few validation studies, 8 with it: an error rate of 10 % takes 9 of a state before it "
        "can be ruled out."
    )
    # What there is enough of still decides.
    assert decide(eight, 0.95, 0.1).decision == "present"
    assert decide(ConformalScores.of([], []), 0.5, 0.1).decision == "unsure"


def test_so_many_studies_an_error_rate_takes() -> None:
    assert [least_studies(rate) for rate in (0.5, 0.2, 0.1, 0.05, 0.01)] == [1, 4, 9, 19, 99]


@given(st.integers(2, 1000).map(lambda studies: 1 / studies) | st.floats(0.001, 0.5))
def test_one_study_fewer_than_it_takes_is_too_few(rate: float) -> None:
    least = least_studies(rate)
    assert 1 / (1 + least) <= rate < 1 / least


def test_equal_probabilities_count_against_ruling_out() -> None:
    tied = ConformalScores.of([0.3] * 9, [0.3] * 9)
    assert (decide(tied, 0.3, 0.1).p_present, decide(tied, 0.3, 0.1).p_absent) == (1.0, 1.0)


@given(
    scores=st.lists(st.integers(0, 6), min_size=1, max_size=40),
    rate=st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.25, 0.5]),
)
def test_among_exchangeable_studies_no_more_than_the_error_rate_are_ruled_out_wrongly(
    scores: list[int], rate: float
) -> None:
    """Each of n + 1 studies in turn is the new one, as exchangeable ones may be; few values, many ties."""
    values = np.array(scores) / 6
    wrong_present = wrong_absent = 0
    for number, value in enumerate(values):
        others = np.sort(np.delete(values, number))
        p_present, p_absent = p_values(others, others, [value])
        wrong_present += int(p_present[0] <= rate)
        wrong_absent += int(p_absent[0] <= rate)
    assert max(wrong_present, wrong_absent) <= rate * len(values) + 1e-9


@given(
    present=st.lists(st.floats(0, 1), min_size=1, max_size=30),
    absent=st.lists(st.floats(0, 1), min_size=1, max_size=30),
    probability=st.floats(0, 1),
)
def test_a_lower_error_rate_never_decides_what_a_higher_one_left_open_for_both(
    present: list[float], absent: list[float], probability: float
) -> None:
    scores = ConformalScores.of(present, absent)
    loose, strict = (decide(scores, probability, rate) for rate in (0.2, 0.05))
    open_to_both = min(loose.p_present, loose.p_absent) > 0.2
    assert not open_to_both or strict.decision == "unsure"


@pytest.mark.parametrize(
    "rate",
    [0.0, -0.1, 0.51, 1.0, 0.000999, 1.19e-33, 1e-320, float("nan"), float("inf"), 10**400, -(10**400)],
)
def test_an_error_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ConfigurationError, match=r"of at least 0\.001 and at most 0\.5, such as"):
        check_error_rate(rate)


@pytest.mark.parametrize("rate", [0.001, 0.5])
def test_the_ends_of_what_an_error_rate_may_be_are_error_rates(rate: float) -> None:
    assert check_error_rate(rate) == rate


def prediction(card: ModelCard, probability: float) -> Prediction:
    clip = ClipProbability(0, 7, (0.0, 14.0), probability)
    finding = FindingPrediction("lung_nodule", probability, 0.5, 7.0, (clip,))
    return Prediction(card, (finding,), (), {"total": 1.0})


CARD = ModelCard(
    "nodule",
    "tiny",
    ("lung_nodule",),
    "none",
    8,
    conformal=ConformalRecord({"lung_nodule": APART}, False, {}),
)


def test_an_answer_is_decided_anew_at_another_error_rate() -> None:
    answer = prediction(CARD, 0.62)
    # Of 10 with it one got at most 0.62: 2 of 11 are 0.18.
    decided = [with_decisions(answer, rate).findings[0].conformal for rate in (0.1, 0.2)]
    assert [each.decision for each in decided if each] == ["present", "unsure"]
    assert with_decisions(answer).to_json()["vptct"]["findings"][0]["conformal"] == {
        "decision": "present",
        "error_rate": 0.1,
        "p_present": 2 / 11,
        "p_absent": 1 / 21,
        "why": "None of 20 validation studies without it got so high a probability, which rules out at an "
        "error rate of 10 % that it is absent.",
    }


def test_a_version_from_before_decides_nothing() -> None:
    answer = with_decisions(prediction(replace(CARD, conformal=None), 0.62))
    assert answer.findings[0].conformal is None
    assert answer.to_json()["vptct"]["findings"][0]["conformal"] is None


def test_nothing_is_decided_about_an_unfit_study() -> None:
    unfit = Suitability((Check("lungs", "unfit", "no lungs were found in this study"),))
    answer = with_decisions(replace(prediction(CARD, 0.95), suitability=unfit))
    decided = answer.findings[0].conformal
    assert decided is not None
    assert decided.decision == "unsure"
    assert decided.why == "The study is unfit for an answer: no lungs were found in this study."
    # What the threshold says stays.
    assert answer.findings[0].decision == "present"


def test_where_the_networks_of_the_folds_answered_a_decision_says_that_its_rate_holds_only_nearly() -> None:
    assert CARD.conformal is not None
    folds = replace(CARD, conformal=replace(CARD.conformal, folds=True))
    present, unsure = (
        with_decisions(prediction(folds, probability)).findings[0].conformal for probability in (0.95, 0.5)
    )
    assert present is not None
    assert unsure is not None
    assert present.decision == "present"
    assert present.why.endswith(
        "that it is absent. The rate holds only nearly, and more may be wrong: other networks than this one, "
        "those of the folds, answered the validation studies."
    )
    # Unsure is no error, and the published network's own validation studies need no such sentence.
    assert unsure.decision == "unsure"
    assert "nearly" not in unsure.why
    own = with_decisions(prediction(CARD, 0.95)).findings[0].conformal
    assert own is not None
    assert "nearly" not in own.why


def test_a_decision_of_an_imported_version_says_whose_studies_it_rests_on() -> None:
    assert CARD.conformal is not None
    card = replace(CARD, conformal=replace(CARD.conformal, imported=True))
    assert ModelCard.from_json(json.dumps(card.to_json())).conformal == card.conformal
    decided = with_decisions(prediction(card, 0.95)).findings[0].conformal
    assert decided is not None
    assert decided.decision == "present"
    assert decided.why.endswith(
        "that it is absent. This version was imported: the validation studies are those of where it was "
        "trained, and more may be wrong where studies differ from those."
    )


def test_nothing_is_decided_where_other_clips_were_looked_at_than_of_the_validation_studies() -> None:
    answer = with_decisions(replace(prediction(CARD, 0.95), task_clips=False))
    decided = answer.findings[0].conformal
    assert decided is not None
    assert decided.decision == "unsure"
    assert decided.why.startswith("It was read coarse to fine: other clips were looked at")
    # Nor at another rate, when a kept answer is decided anew.
    anew = with_decisions(answer, 0.4).findings[0].conformal
    assert anew is not None
    assert anew.decision == "unsure"
    assert answer.findings[0].decision == "present"


def test_where_the_threshold_says_something_else_the_decision_says_so() -> None:
    def decided(probability: float, threshold: float) -> str:
        answer = prediction(CARD, probability)
        finding = replace(answer.findings[0], threshold=threshold)
        found = with_decisions(replace(answer, findings=(finding,))).findings[0].conformal
        assert found is not None
        return f"{found.decision}: {found.why}"

    below = decided(0.7, 0.8)
    assert below.startswith("present: None of 20")
    assert below.endswith("that it is absent. The threshold alone says absent: 0.700 is below 0.800.")
    above = decided(0.2, 0.15)
    assert above.startswith("absent: None of 10")
    assert above.endswith("The threshold alone says present: 0.200 is at or above 0.150.")
    assert "threshold" not in decided(0.7, 0.7)
    assert "threshold" not in decided(0.7, float("nan"))
    # Where it is unsure nothing contradicts the threshold.
    assert "threshold" not in decided(0.5, 0.8)


def test_a_doubtful_study_keeps_its_decision() -> None:
    doubtful = Suitability((Check("kernel", "doubtful", "its kernel is none of those known"),))
    decided = with_decisions(replace(prediction(CARD, 0.95), suitability=doubtful)).findings[0].conformal
    assert decided is not None
    assert decided.decision == "present"
