from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from vpt_plugin.training.metrics import auroc, bootstrap_auroc, log_loss, youden_threshold

scored_studies = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=40)


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    # Present 0.35 and 0.8, absent 0.1 and 0.4: of 4 pairs only (0.35, 0.4) is wrong.
    assert auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75
    assert auroc([0, 1], [0.5, 0.5]) == 0.5
    assert auroc([1, 0], [0.1, 0.9]) == 0.0


@pytest.mark.parametrize("labels", [[], [1, 1], [0, 0]])
def test_without_both_states_everything_is_undefined_and_nothing_is_0(labels: list[int]) -> None:
    scores = [0.5] * len(labels)
    estimate = bootstrap_auroc(labels, scores)
    assert math.isnan(auroc(labels, scores))
    assert math.isnan(youden_threshold(labels, scores))
    assert math.isnan(estimate.value)
    assert all(math.isnan(end) for end in estimate.ci95)
    assert estimate.n == len(labels)


@given(scored_studies)
def test_figures_are_those_of_scikit_learn(studies: list[tuple[bool, float]]) -> None:
    labels, scores = zip(*studies, strict=True)
    if 0 < sum(labels) < len(labels):
        assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    expected = sklearn_log_loss(labels, clipped, labels=[False, True])
    assert log_loss(labels, scores) == pytest.approx(expected, abs=1e-9)


@given(scored_studies)
def test_turning_the_scores_around_turns_the_auroc_around(studies: list[tuple[bool, float]]) -> None:
    labels, scores = zip(*studies, strict=True)
    if 0 < sum(labels) < len(labels):
        assert auroc(labels, scores) + auroc(labels, [-s for s in scores]) == pytest.approx(1)


def test_the_interval_is_that_of_a_plain_bootstrap() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 30)
    scores = labels * 0.4 + rng.random(30)
    figures = []
    drawing = np.random.default_rng(7)
    for chosen in drawing.integers(0, 30, size=(200, 30)):
        if len(set(labels[chosen])) == 2:
            figures.append(roc_auc_score(labels[chosen], scores[chosen]))
    estimate = bootstrap_auroc(labels, scores, resamples=200, seed=7)
    assert estimate.ci95 == pytest.approx((np.percentile(figures, 2.5), np.percentile(figures, 97.5)))
    assert estimate.ci95[0] < estimate.value < estimate.ci95[1]


def test_the_interval_of_two_studies_stands_though_half_of_the_resamples_are_undefined() -> None:
    estimate = bootstrap_auroc([0, 1], [0.2, 0.8])
    assert (estimate.value, estimate.ci95, estimate.n) == (1.0, (1.0, 1.0), 2)


def test_more_studies_make_the_interval_narrower() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    scores = labels + rng.normal(0, 1, 400)
    widths = []
    for n in (40, 400):
        low, high = bootstrap_auroc(labels[:n], scores[:n], resamples=200).ci95
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_the_threshold_lies_half_way_between_the_last_present_and_the_first_absent() -> None:
    assert youden_threshold([0, 0, 1, 1], [0.1, 0.3, 0.5, 0.9]) == pytest.approx(0.4)
    # Calling 0.6 and 0.7 present finds 2 of 3 and is wrong for none; calling 0.2 present too finds no more.
    assert youden_threshold([1, 0, 0, 0, 1, 1], [0.05, 0.1, 0.2, 0.3, 0.6, 0.7]) == pytest.approx(0.45)


def test_of_two_thresholds_as_good_the_more_sensitive_is_taken() -> None:
    # From 0.8 on: 1 of 2 found, none wrong. From 0.35 on: both found, 1 of 2 wrong. Both gain 0.5.
    assert youden_threshold([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == pytest.approx((0.1 + 0.35) / 2)


def test_a_threshold_never_lies_above_the_studies_it_calls_present() -> None:
    assert youden_threshold([1, 0], [0.5, 0.5]) == 0.5


@pytest.mark.parametrize(("labels", "scores"), [([0, 1], [0.5]), ([0, 1], [0.5, math.nan])])
def test_scores_that_are_none_are_refused(labels: list[int], scores: list[float]) -> None:
    with pytest.raises(ValueError, match=r"one length|not a finite number"):
        auroc(labels, scores)
