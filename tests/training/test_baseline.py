from __future__ import annotations

import math

import pytest

from vpt_plugin.training.baseline import best_single_statistic


def test_the_best_statistic_is_found_whichever_way_it_points() -> None:
    facts = [
        {"mean_hu": -800.0, "p95_hu": 40.0},
        {"mean_hu": -790.0, "p95_hu": 30.0},
        {"mean_hu": -795.0, "p95_hu": 20.0},
        {"mean_hu": -785.0, "p95_hu": 10.0},
    ]
    # mean_hu: 3 of 4 pairs in the right order; p95_hu is lower wherever it is present: AUROC 0, counted as 1.
    assert best_single_statistic(facts, [0, 0, 1, 1]) == ("p95_hu", 1.0)
    assert best_single_statistic([{"mean_hu": fact["mean_hu"]} for fact in facts], [0, 0, 1, 1]) == (
        "mean_hu",
        0.75,
    )


def test_without_both_states_there_is_no_best_statistic() -> None:
    name, value = best_single_statistic([{"mean_hu": 1.0}, {"mean_hu": 2.0}], [1, 1])
    assert name == ""
    assert math.isnan(value)


def test_no_study_is_an_error_and_not_a_figure() -> None:
    with pytest.raises(ValueError, match="no study"):
        best_single_statistic([], [])
