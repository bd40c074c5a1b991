"""From clips to the study, and to the slice to look at."""

from __future__ import annotations

import numpy as np
import pytest

from vpt_plugin.ct.aggregation import key_slice, slice_evidence, study_probabilities, study_probability
from vpt_plugin.tasks import AGGREGATIONS

CLIPS = np.array([[0.1, 0.9], [0.7, 0.2], [0.4, 0.4], [0.6, 0.3]])


@pytest.mark.parametrize(
    ("rule", "expected"), [("max", [0.7, 0.9]), ("mean", [0.45, 0.45]), ("top3_mean", [1.7 / 3, 1.6 / 3])]
)
def test_the_study_is_the_maximum_the_mean_or_the_mean_of_the_three_highest(rule, expected):
    assert study_probability(CLIPS, rule) == pytest.approx(expected)


def test_every_rule_that_a_task_may_name_is_known_and_takes_a_single_clip():
    for rule in AGGREGATIONS:
        assert study_probability(CLIPS[:1], rule).tolist() == [0.1, 0.9]


def test_the_clips_of_several_studies_may_come_in_any_order():
    found = study_probabilities(CLIPS, np.array([1, 0, 1, 0]), "max")
    assert found.tolist() == [[0.7, 0.3], [0.4, 0.9]]


def test_evidence_of_a_slice_is_the_mean_of_the_clips_that_see_it():
    evidence = slice_evidence(np.array([0.2, 0.8]), [0, 2], length=4, slices=6)
    assert evidence == pytest.approx([0.2, 0.2, 0.5, 0.5, 0.8, 0.8])


def test_evidence_of_a_study_shorter_than_its_clip_has_the_studys_length():
    assert slice_evidence(np.array([0.3]), [0], length=32, slices=3) == pytest.approx([0.3] * 3)


def test_the_key_slice_is_the_middle_of_the_first_run_of_highest_evidence():
    assert key_slice(np.array([0.1, 0.9, 0.9, 0.9, 0.2])) == 2
    assert key_slice(np.array([0.9, 0.1, 0.9, 0.9])) == 0
    assert key_slice(np.array([0.5, 0.5, 0.5, 0.5])) == 2
