from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from vpt_plugin.training.metrics import (
    FIGURES,
    PatientBootstrap,
    bootstrap_auroc,
    figure_value,
    figures,
    resampled_figures,
)
from vpt_plugin.training.metrics.definitions import default_bins


def drawn_studies(n: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels and probabilities in hundredths, so that some are tied."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    return labels, np.round(1 / (1 + np.exp(-rng.normal(2 * labels - 1, 2))), 2)


@pytest.mark.parametrize("studies_per_patient", [1, 3])
def test_every_figure_of_every_resample_is_that_of_a_plain_loop(studies_per_patient: int) -> None:
    labels, probabilities = drawn_studies(45, seed=1)
    patients = [f"patient-{number // studies_per_patient}" for number in range(45)]
    found = resampled_figures(labels, probabilities, patients, threshold=0.4, resamples=60, seed=7)
    count = 45 // studies_per_patient
    draws = np.random.default_rng(7).integers(0, count, size=(60, count))
    studies_of = np.arange(45).reshape(count, studies_per_patient)
    for name, figure in found.items():
        plain = []
        for patient_numbers in draws:
            rows = studies_of[patient_numbers].ravel()
            plain.append(
                figure_value(name, labels[rows], probabilities[rows], threshold=0.4, bins=default_bins(45))
            )
        assert figure.resamples == pytest.approx(plain, abs=1e-9, nan_ok=True)
        assert figure.value == figure_value(name, labels, probabilities, threshold=0.4)
        assert figure.estimate().ci95 == pytest.approx(tuple(np.nanpercentile(plain, (2.5, 97.5))))
        assert figure.estimate().n == 45


def test_the_interval_of_the_auroc_is_that_of_scikit_learn_in_a_loop() -> None:
    labels, scores = drawn_studies(30, seed=1)
    plain = [
        roc_auc_score(labels[rows], scores[rows])
        for rows in np.random.default_rng(7).integers(0, 30, size=(200, 30))
        if len(set(labels[rows])) == 2
    ]
    estimate = bootstrap_auroc(labels, scores, resamples=200, seed=7)
    assert estimate.ci95 == pytest.approx((np.percentile(plain, 2.5), np.percentile(plain, 97.5)))
    assert estimate.ci95[0] < estimate.value < estimate.ci95[1]


def test_blocks_of_resamples_are_all_of_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, probabilities = drawn_studies(50, seed=3)
    whole = resampled_figures(labels, probabilities, resamples=23)
    monkeypatch.setattr("vpt_plugin.training.metrics.bootstrap._BLOCK", 50 * 4)
    in_blocks = resampled_figures(labels, probabilities, resamples=23)
    for name in FIGURES:
        assert in_blocks[name].resamples == pytest.approx(whole[name].resamples, abs=1e-12, nan_ok=True)


def test_patients_are_drawn_whole() -> None:
    bootstrap = PatientBootstrap(["ann", "bob", "ann", "cid"], resamples=50)
    weights = np.concatenate(list(bootstrap.blocks()))
    assert bootstrap.patients == 3
    assert (weights[:, 0] == weights[:, 2]).all()
    # Three patients are drawn each time, and ann's second study comes with her first.
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_two_studies_of_every_patient_say_no_more_than_one() -> None:
    labels, probabilities = drawn_studies(60, seed=2)
    names = [str(number) for number in range(60)]
    alone = figures(labels, probabilities, names, threshold=0.5, bins=5)
    doubled = figures(np.repeat(labels, 2), np.repeat(probabilities, 2), np.repeat(names, 2).tolist(),
                      threshold=0.5, bins=5)  # fmt: skip
    as_if_independent = figures(np.repeat(labels, 2), np.repeat(probabilities, 2), threshold=0.5, bins=5)
    for name, estimate in alone.items():
        assert doubled[name].ci95 == pytest.approx(estimate.ci95, abs=1e-9)
        if name != "calibration_error":  # its resamples lie above the set's own
            low, high = as_if_independent[name].ci95
            assert high - low < estimate.ci95[1] - estimate.ci95[0]


def test_resamples_without_a_state_are_counted_and_left_out() -> None:
    # Of two studies drawn from two, both are the same one in half of the resamples.
    found = resampled_figures([0, 1], [0.2, 0.8], threshold=0.5)
    assert 400 < found["auroc"].undefined < 600
    assert found["brier"].undefined == 0


@pytest.mark.parametrize(
    ("labels", "scores", "auroc", "specificity"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], 1.0, 1.0),
        ([0, 0, 1, 1], [0.8, 0.9, 0.1, 0.2], 0.0, 0.0),
        ([0, 0, 1, 1] * 10, [0.3] * 40, 0.5, 1.0),
    ],
)
def test_a_figure_that_is_the_same_in_all_resamples_has_no_interval(
    labels: list[int], scores: list[float], auroc: float, specificity: float
) -> None:
    found = figures(labels, scores, threshold=0.5)
    assert (found["auroc"].value, found["specificity"].value) == (auroc, specificity)
    for name in ("auroc", "specificity"):
        assert found[name].to_json() == {"value": found[name].value, "ci95": [None, None], "n": len(labels)}


@pytest.mark.parametrize("labels", [[], [1, 1], [0, 0]])
def test_an_undefined_figure_has_no_interval(labels: list[int]) -> None:
    found = figures(labels, [0.5] * len(labels), threshold=0.5)
    assert math.isnan(found["auroc"].value)
    assert all(math.isnan(end) for end in found["auroc"].ci95)
    assert found["auroc"].n == len(labels)
    assert set(found) == set(FIGURES)


def test_one_patient_says_nothing_of_others() -> None:
    estimate = bootstrap_auroc([0, 1, 1], [0.2, 0.8, 0.1], ["ann"] * 3)
    assert estimate.value == 0.5
    assert all(math.isnan(end) for end in estimate.ci95)


def test_studies_whose_state_is_not_known_are_left_out_but_their_patients_are_drawn() -> None:
    labels, probabilities = drawn_studies(40, seed=5)
    with_unknown = np.where(np.arange(40) < 10, np.nan, labels)
    bootstrap = PatientBootstrap([str(number) for number in range(40)], resamples=30)
    found = bootstrap.figures(("brier",), with_unknown, probabilities, rows=~np.isnan(with_unknown))["brier"]
    plain = []
    for rows in bootstrap.draws():
        known = rows[rows >= 10]
        plain.append(np.mean((probabilities[known] - labels[known]) ** 2))
    assert found.resamples == pytest.approx(plain)
    assert (found.n, found.patients) == (30, 30)


def test_more_studies_make_the_interval_narrower() -> None:
    labels, scores = drawn_studies(400, seed=0)
    widths = []
    for n in (40, 400):
        low, high = bootstrap_auroc(labels[:n], scores[:n], resamples=200).ci95
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    # Present ones lie one standard deviation higher: the AUROC of such a pair is 0.760.
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        labels = np.arange(80) % 2
        low, high = bootstrap_auroc(labels, rng.normal(labels, 1), resamples=200, seed=seed).ci95
        held += low <= 0.7602 <= high
    assert 0.90 < held / 200 < 0.99


def test_a_patient_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="give the study's"):
        figures([0, 1], [0.2, 0.8], ["ann", ""])
    with pytest.raises(ValueError, match="one name is needed for each"):
        figures([0, 1], [0.2, 0.8], ["ann"])
    with pytest.raises(ValueError, match="at least 1 resample"):
        figures([0, 1], [0.2, 0.8], resamples=0)
