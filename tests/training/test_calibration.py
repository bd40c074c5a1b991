from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from vpt_plugin.ct.aggregation import study_probability
from vpt_plugin.tasks import AGGREGATIONS
from vpt_plugin.training.calibration import fit_temperature, reliability
from vpt_plugin.training.metrics import auroc, calibration_error, log_loss

Floats = NDArray[np.float64]


def too_sure(
    studies: int, *, temperature: float, clips: int = 1, seed: int = 0
) -> tuple[Floats, Floats, Floats]:
    """States, logits and study numbers; honest study logits, times the temperature, on the highest clip."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2, (studies, 1))
    states = (rng.random((studies, 1)) < expit(honest)).astype(np.float64)
    below = rng.random((studies, clips, 1)) * 3
    below[:, 0] = 0
    logits = (honest[:, None] - below) * temperature
    return states, logits.reshape(-1, 1), np.repeat(np.arange(studies), clips)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("clips", [1, 5])
def test_the_temperature_that_the_logits_were_multiplied_by_is_found(temperature: float, clips: int) -> None:
    states, logits, studies = too_sure(4000, temperature=temperature, clips=clips)
    found = fit_temperature(states, logits, studies)
    assert found.calibrated
    assert found.temperature == pytest.approx(temperature, rel=0.1)


def test_no_temperature_near_it_has_a_lower_loss_and_the_one_named_is_the_loss() -> None:
    states, logits, _ = too_sure(200, temperature=2)
    found = fit_temperature(states, logits)

    def loss(temperature: float) -> float:
        return log_loss(states[:, 0], expit(logits[:, 0] / temperature))

    assert found.log_loss_before == pytest.approx(loss(1))
    assert found.log_loss_after == pytest.approx(loss(found.temperature))
    assert all(loss(found.temperature) <= loss(other) for other in np.geomspace(0.02, 50, 300))
    assert f"a temperature of {found.temperature:.2f} makes them less sure" in found.explanation
    assert f"from {loss(1):.3f} to {loss(found.temperature):.3f}" in found.explanation


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_it_is_fitted_on_what_the_studys_clips_make_of_it(aggregation: str) -> None:
    states, logits, studies = too_sure(80, temperature=2, clips=4)

    def loss(temperature: float) -> float:
        clips = expit(logits / temperature).reshape(80, 4)
        probabilities = [float(study_probability(each[:, None], aggregation)[0]) for each in clips]
        return log_loss(states[:, 0], probabilities)

    found = fit_temperature(states, logits, studies, aggregation=aggregation)
    assert found.log_loss_after == pytest.approx(loss(found.temperature))
    assert all(found.log_loss_after <= loss(other) + 1e-9 for other in np.geomspace(0.1, 20, 100))


def test_clips_may_come_in_any_order() -> None:
    states, logits, studies = too_sure(60, temperature=2, clips=3)
    order = np.random.default_rng(0).permutation(len(logits))
    shuffled = fit_temperature(states, logits[order], studies[order])
    assert shuffled.temperature == pytest.approx(fit_temperature(states, logits, studies).temperature)


def test_what_is_not_known_of_a_finding_is_left_out() -> None:
    states, logits, _ = too_sure(100, temperature=2)
    both = np.concatenate([states, np.full_like(states, np.nan)], axis=1)
    found = fit_temperature(both, np.concatenate([logits, logits * 100], axis=1))
    assert found.temperature == pytest.approx(fit_temperature(states, logits).temperature)


@given(st.integers(0, 1000), st.floats(0.5, 10))
@settings(max_examples=25)
def test_under_max_no_temperature_changes_the_order_of_the_studies(seed: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    clips = rng.normal(0, 2, (20, 6, 1))
    before, after = (
        [float(study_probability(expit(study / by), "max")[0]) for study in clips]
        for by in (1.0, temperature)
    )
    labels = np.arange(20) % 2
    assert auroc(labels, before) == auroc(labels, after)


def test_studies_that_are_all_on_their_right_side_do_not_say_how_sure_is_too_sure() -> None:
    states = np.repeat([[0.0], [1.0]], 12, axis=0)
    logits = np.where(states == 1, 3.0, -2.0)
    found = fit_temperature(states, logits)
    assert (found.temperature, found.calibrated) == (1.0, False)
    assert "right side of 0.5" in found.explanation
    assert found.log_loss_before == found.log_loss_after > 0


def test_logits_that_say_nothing_are_left_as_they_are() -> None:
    # Higher for absent ones: the best temperature is endless, and every probability 0.5.
    states = np.repeat([[0.0], [1.0]], 12, axis=0)
    found = fit_temperature(states, np.where(states == 1, -2.0, 3.0))
    assert (found.temperature, found.calibrated) == (1.0, False)
    assert "no temperature between 0.02 and 50" in found.explanation


@pytest.mark.parametrize(
    ("present", "absent", "counts"), [(9, 30, "9 and 30"), (30, 0, "30 and 0"), (0, 0, "0 and 0")]
)
def test_too_few_of_a_state_calibrate_nothing(present: int, absent: int, counts: str) -> None:
    states = np.concatenate([np.ones((present, 1)), np.zeros((absent, 1))])
    found = fit_temperature(states, np.linspace(-2, 2, len(states))[:, None])
    assert (found.temperature, found.calibrated) == (1.0, False)
    assert "10 validation studies with the finding and 10 without" in found.explanation
    assert counts in found.explanation
    assert math.isnan(found.log_loss_before) == (present + absent == 0)


def test_ten_of_each_state_are_enough() -> None:
    # Nine of ten are on their right side, by 4: honest log-odds would be ln 9, and the temperature 4 / ln 9.
    states = np.repeat([[0.0], [1.0]], 10, axis=0)
    logits = np.where(states == 1, 4.0, -4.0)
    logits[[0, -1]] *= -1
    assert fit_temperature(states, logits).temperature == pytest.approx(4 / math.log(9), rel=1e-6)
    assert not fit_temperature(states[1:], logits[1:]).calibrated


def test_huge_logits_do_not_overflow() -> None:
    states, logits, _ = too_sure(60, temperature=1)
    found = fit_temperature(states, logits * 1e4)
    assert not found.calibrated  # it would take a temperature of about 10,000
    assert math.isfinite(found.log_loss_before)


@pytest.mark.parametrize(
    ("states", "logits", "studies", "message"),
    [
        ([[1.0], [0.0]], [[1.0], [2.0]], [0, 0], "of all of the 2 studies"),
        ([[1.0], [0.0]], [[1.0], [2.0]], [0, 2], "of all of the 2 studies"),
        ([[1.0], [0.0]], [[1.0, 2.0]], [0], r"\(clips, findings\)"),
        ([1.0, 0.0], [1.0, 2.0], None, r"\(studies, findings\)"),
        ([[1.0], [0.0]], [[1.0], [math.inf]], None, "not a finite number"),
    ],
)
def test_clips_that_do_not_fit_their_studies_are_refused(
    states: list[object], logits: list[object], studies: list[int] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit_temperature(states, logits, studies)


def test_the_curve_says_what_was_said_and_what_came_true() -> None:
    low, high = reliability([0, 1, 1, 1], [0.1, 0.3, 0.6, 0.8], bins=2)
    assert (low.probability, low.share, low.studies) == (pytest.approx(0.2), 0.5, 2)
    assert (high.probability, high.share, high.studies) == (pytest.approx(0.7), 1.0, 2)


def test_the_interval_of_a_share_is_wilsons() -> None:
    # 10 of 10: z^2 / (10 + z^2) is missing at the lower end, and nothing at the upper one.
    (only,) = reliability([1] * 10, [0.9] * 10)
    z_squared = 1.959964**2
    assert only.ci95 == pytest.approx((10 / (10 + z_squared), 1.0))
    # 5 of 10: centred on a half.
    (half,) = reliability([0, 1] * 5, [0.5] * 10)
    assert half.ci95 == pytest.approx((0.2366, 0.7634), abs=1e-4)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=1, max_size=60),
    st.integers(1, 8),
)
def test_the_calibration_error_is_the_mean_distance_of_the_curve_from_the_diagonal(
    studies: list[tuple[bool, int]], bins: int
) -> None:
    labels, twentieths = zip(*studies, strict=True)
    probabilities = np.array(twentieths) / 20
    curve = reliability(labels, probabilities, bins=bins)
    distance = np.mean([abs(each.share - each.probability) for each in curve])
    assert calibration_error(labels, probabilities, bins=bins) == pytest.approx(distance, abs=1e-9)
    assert sum(each.studies for each in curve) == pytest.approx(len(labels))
    assert all(
        0 <= each.ci95[0] <= each.share + 1e-9 and each.share - 1e-9 <= each.ci95[1] <= 1 for each in curve
    )


def test_without_studies_there_is_no_curve() -> None:
    assert reliability([], []) == ()
