from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve

from vpt_plugin.training.metrics import (
    FIGURES,
    auroc,
    average_precision,
    brier_score,
    calibration_error,
    figure_value,
    log_loss,
    negative_predictive_value,
    positive_predictive_value,
    sensitivity,
    specificity,
)

# Hundredths, so that ties are many and 1 - p is still exact enough to turn around.
probability = st.integers(0, 100).map(lambda hundredths: hundredths / 100)
scored_studies = st.lists(st.tuples(st.booleans(), probability), min_size=1, max_size=40)
both_states = scored_studies.filter(lambda studies: len({present for present, _ in studies}) == 2)
Studies = list[tuple[bool, float]]


def taken_apart(studies: Studies) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    labels, scores = zip(*studies, strict=True)
    return np.array(labels), np.array(scores)


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    # Present 0.35 and 0.8, absent 0.1 and 0.4: of 4 pairs only (0.35, 0.4) is wrong.
    assert auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75
    assert auroc([0, 1], [0.5, 0.5]) == 0.5
    assert auroc([1, 0], [0.1, 0.9]) == 0.0


def test_average_precision_weighs_the_precision_by_the_step_in_sensitivity() -> None:
    # From the top: present (precision 1/1), absent, present (precision 2/3): half a step each.
    assert average_precision([1, 0, 1], [0.9, 0.5, 0.2]) == pytest.approx((1 + 2 / 3) / 2)


def test_shares_at_a_threshold_count_a_probability_on_it_as_present() -> None:
    labels, probabilities = [1, 1, 1, 0, 0], [0.9, 0.5, 0.1, 0.5, 0.2]
    assert sensitivity(labels, probabilities, 0.5) == pytest.approx(2 / 3)
    assert specificity(labels, probabilities, 0.5) == 1 / 2
    assert positive_predictive_value(labels, probabilities, 0.5) == pytest.approx(2 / 3)
    assert negative_predictive_value(labels, probabilities, 0.5) == 1 / 2


def test_the_brier_score_is_the_mean_squared_difference() -> None:
    assert brier_score([1, 0], [0.8, 0.4]) == pytest.approx((0.04 + 0.16) / 2)


def test_the_calibration_error_compares_shares_with_probabilities_bin_by_bin() -> None:
    labels, probabilities = [0, 0, 1, 1], [0.1, 0.3, 0.6, 0.8]
    # Two bins of two: 0 present against 0.2 on average, then 1 against 0.7.
    assert calibration_error(labels, probabilities, bins=2) == pytest.approx((0.2 + 0.3) / 2)
    # One bin: half are present, and 0.45 was said.
    assert calibration_error(labels, probabilities, bins=1) == pytest.approx(0.05)
    # [0, 0.25], (0.25, 0.5], (0.5, 0.75] and (0.75, 1] hold one each.
    by_width = calibration_error(labels, probabilities, bins=4, binning="equal_width")
    assert by_width == pytest.approx((0.1 + 0.3 + 0.4 + 0.2) / 4)


def test_few_studies_get_few_bins() -> None:
    # 19 studies fill one bin of 10; in 15 bins chance alone would look like miscalibration.
    labels, probabilities = np.arange(19) % 2, np.linspace(0.05, 0.95, 19)
    # 9 of 19 are present, and 0.5 was said on average.
    assert calibration_error(labels, probabilities) == pytest.approx(0.5 - 9 / 19)
    assert calibration_error(labels, probabilities, bins=15) > 0.25


@given(both_states, probability)
def test_figures_are_those_of_scikit_learn(studies: Studies, threshold: float) -> None:
    labels, scores = taken_apart(studies)
    called = scores >= threshold
    expected = {
        "auroc": sklearn.metrics.roc_auc_score(labels, scores),
        "auprc": sklearn.metrics.average_precision_score(labels, scores),
        "sensitivity": sklearn.metrics.recall_score(labels, called),
        "specificity": sklearn.metrics.recall_score(~labels, ~called),
        "ppv": sklearn.metrics.precision_score(labels, called, zero_division=np.nan),
        "npv": sklearn.metrics.precision_score(~labels, ~called, zero_division=np.nan),
        "brier": sklearn.metrics.brier_score_loss(labels, scores),
        "log_loss": sklearn.metrics.log_loss(labels, np.clip(scores, 1e-7, 1 - 1e-7)),
    }
    found = {name: figure_value(name, labels, scores, threshold=threshold) for name in expected}
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert set(FIGURES) == {*expected, "calibration_error"}


@given(scored_studies, st.integers(1, 15))
def test_the_error_over_bins_of_equal_width_is_that_of_scikit_learns_curve(
    studies: Studies, bins: int
) -> None:
    labels, probabilities = taken_apart(studies)
    shares, means = calibration_curve(labels, probabilities, n_bins=bins)
    filled = np.bincount(np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probabilities), minlength=bins)
    expected = (np.abs(shares - means) * filled[filled > 0]).sum() / len(labels)
    found = calibration_error(labels, probabilities, bins=bins, binning="equal_width")
    assert found == pytest.approx(expected, abs=1e-9)


@given(scored_studies, st.integers(1, 15))
def test_the_error_over_bins_of_equal_mass_is_that_of_a_plain_reference(studies: Studies, bins: int) -> None:
    labels, probabilities = taken_apart(studies)
    truth = np.array([labels[probabilities == each].mean() for each in probabilities])
    order = np.argsort(probabilities)
    # As many copies of every study as there are bins: then bins of equal mass are whole numbers of copies.
    gaps = np.repeat((truth - probabilities)[order], bins).reshape(bins, len(labels))
    expected = np.abs(gaps.mean(axis=1)).mean()
    assert calibration_error(labels, probabilities, bins=bins) == pytest.approx(expected, abs=1e-9)


@given(both_states)
def test_turning_scores_or_labels_around_turns_the_auroc_around(studies: Studies) -> None:
    labels, scores = taken_apart(studies)
    assert auroc(labels, scores) + auroc(labels, -scores) == pytest.approx(1)
    assert auroc(labels, scores) + auroc(~labels, scores) == pytest.approx(1)


@given(both_states)
def test_only_the_order_of_the_scores_matters_to_auroc_and_auprc(studies: Studies) -> None:
    labels, scores = taken_apart(studies)
    for figure in (auroc, average_precision):
        assert figure(labels, np.exp(scores) * 7 - 3) == pytest.approx(figure(labels, scores))


@given(scored_studies, st.randoms(use_true_random=False))
def test_the_order_of_the_studies_matters_to_no_figure(studies: Studies, random: object) -> None:
    before = taken_apart(studies)
    random.shuffle(studies)  # type: ignore[attr-defined]
    after = taken_apart(studies)
    for name in FIGURES:
        assert figure_value(name, *after, threshold=0.5, bins=4) == pytest.approx(
            figure_value(name, *before, threshold=0.5, bins=4), abs=1e-12, nan_ok=True
        )


@given(both_states, probability)
def test_calling_absent_what_was_present_swaps_sensitivity_and_specificity(
    studies: Studies, threshold: float
) -> None:
    labels, scores = taken_apart(studies)
    # Turned around, a probability on the threshold would be called absent: none may be on it.
    threshold += 0.005
    flipped = 1 - scores
    assert sensitivity(~labels, flipped, 1 - threshold) == specificity(labels, scores, threshold)
    assert positive_predictive_value(~labels, flipped, 1 - threshold) == pytest.approx(
        negative_predictive_value(labels, scores, threshold), nan_ok=True
    )
    for figure in (brier_score, log_loss):
        assert figure(~labels, flipped) == pytest.approx(figure(labels, scores))


@pytest.mark.parametrize(
    ("labels", "undefined"),
    [
        ([], set(FIGURES)),
        ([1, 1], {"auroc", "auprc", "specificity", "npv"}),
        ([0, 0], {"auroc", "auprc", "sensitivity", "npv"}),
    ],
)
def test_what_is_undefined_is_nan_and_never_0(labels: list[int], undefined: set[str]) -> None:
    scores = [0.5] * len(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = {name: figure_value(name, labels, scores, threshold=0.5) for name in FIGURES}
    assert {name for name, value in found.items() if math.isnan(value)} == undefined


def test_without_a_threshold_nothing_is_called() -> None:
    found = {name: figure_value(name, [0, 1], [0.2, 0.8]) for name in FIGURES}
    assert {name for name, value in found.items() if math.isnan(value)} == {
        "sensitivity", "specificity", "ppv", "npv",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.5], "one length"),
        ([0, 1], [0.5, math.nan], "not a finite number"),
        ([0, math.nan], [0.5, 0.5], "neither 0 nor 1"),
    ],
)
def test_scores_and_labels_that_are_none_are_refused(
    labels: list[float], scores: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        auroc(labels, scores)


@pytest.mark.parametrize("figure", [brier_score, log_loss, calibration_error])
def test_a_logit_is_not_taken_for_a_probability(figure: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="not between 0 and 1"):
        figure([0, 1], [-1.5, 0.5])


def test_an_unknown_binning_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="equal_mass, equal_width"):
        calibration_error([0, 1], [0.2, 0.8], binning="equal")
