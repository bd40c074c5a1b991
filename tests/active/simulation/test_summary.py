"""Strategies compared, in numbers that one can check by hand."""

from __future__ import annotations

import json
from math import inf, isnan

import numpy as np
import pytest

from vpt_plugin.active.simulation.figure import learning_curves
from vpt_plugin.active.simulation.records import csv_text, summary_json
from vpt_plugin.active.simulation.replay import ReplayRound
from vpt_plugin.active.simulation.summary import area, interval_over_seeds, labels_to, summarise


def curve(*aurocs: float, batch: int = 8) -> list[ReplayRound]:
    return [
        ReplayRound(batch * number, {"lung_nodule": number}, auroc, auroc != 0.5, {"random": batch * number})
        for number, auroc in enumerate(aurocs)
    ]


def test_the_area_is_the_mean_auroc_over_the_labels() -> None:
    # From 0.5 to 0.9 over 8 labels: 0.7; then 0.9 for 8 more.
    assert area(curve(0.5, 0.9, 0.9)) == pytest.approx(0.8)
    assert isnan(area(curve(0.5)))


def test_a_target_is_reached_where_the_curve_stays_and_not_where_it_touches_it() -> None:
    assert labels_to(0.9, curve(0.5, 0.95, 0.85, 0.9, 0.92)) == 24
    assert labels_to(0.9, curve(0.5, 0.8, 0.95, 0.85)) == inf
    assert labels_to(0.9, curve(0.5, 0.8, 0.9)) == 16
    assert labels_to(0.5, curve(0.5, 0.8)) == 0


def test_half_of_the_seeds_make_the_labels_to_a_target_and_those_that_fall_back_count_as_not_there() -> None:
    touches = curve(0.5, 0.95, 0.8)
    early, late = curve(0.5, 0.95, 0.9), curve(0.5, 0.8, 1.0)

    def needed(*each: list[ReplayRound]) -> tuple[float, int, int]:
        (found,) = summarise({("random", seed): own for seed, own in enumerate(each)}, target=0.9)
        return found.needed.median, found.needed.reached, found.needed.seeds

    assert needed(early, late, touches) == (16, 2, 3)
    assert needed(early, early, touches, touches) == (8, 2, 4)
    median, *rest = needed(early, touches, touches)
    assert (isnan(median), rest) == (True, [1, 3])


def test_the_mean_curve_has_its_own_labels_to_the_target() -> None:
    # The mean is 0.5, 0.9, 0.85, 0.95: there to stay with 24 labels, although one seed ends below the target.
    replays = {("random", 0): curve(0.5, 1.0, 0.9, 1.0), ("random", 1): curve(0.5, 0.8, 0.8, 0.9)}
    (found,) = summarise(replays, target=0.94)
    assert found.needed.of_mean == 24
    assert (found.needed.median, found.needed.reached) == (24, 1)
    (found,) = summarise(replays, target=0.96)
    assert isnan(found.needed.of_mean)


def test_the_interval_over_seeds_is_students() -> None:
    # Of 1, 2 and 3 the deviation is 1, and t of two degrees of freedom 4.303: 4.303 / sqrt(3) = 2.484.
    found = interval_over_seeds(np.array([0.1, 0.2, 0.3]))
    assert (found.value, *found.ci95) == pytest.approx((0.2, -0.0484, 0.4484), abs=1e-4)


def test_two_seeds_make_no_interval_and_none_holds_what_cannot_be() -> None:
    for values in ([0.4], [0.4, 0.6]):
        few = interval_over_seeds(np.array(values))
        assert few.value == pytest.approx(np.mean(values))
        assert isnan(few.ci95[0])
        assert isnan(few.ci95[1])
    assert interval_over_seeds(np.array([0.1, 0.5, 0.9]), low=0.0).ci95 == (0, 1)
    assert interval_over_seeds(np.array([-0.9, 0.0, 0.9])).ci95 == (-1, 1)


def test_a_strategy_is_compared_with_random_seed_by_seed() -> None:
    replays = {
        ("auto", 0): curve(0.5, 0.9), ("random", 0): curve(0.5, 0.7),
        ("auto", 1): curve(0.5, 0.7), ("random", 1): curve(0.5, 0.5),
        ("auto", 2): curve(0.5, 1.0),
    }  # fmt: skip
    auto, random = summarise(replays, target=0.8)
    # Seed 2 has no random to compare with, so it counts nowhere. Both differences are 0.1.
    assert auto.area.value == pytest.approx((0.7 + 0.6) / 2)
    assert auto.difference.value == pytest.approx(0.1)
    assert auto.difference.n == 2
    assert isnan(random.difference.value)
    assert (auto.needed.reached, auto.needed.seeds) == (1, 2)
    assert auto.needed.median == 8
    assert auto.present == {"lung_nodule": 1.0}


def test_csv_and_json_hold_every_round_and_no_nan() -> None:
    replays = {("random", 4): curve(0.5, 0.75)}
    assert csv_text(replays, target=0.7).splitlines() == [
        "strategy,seed,round,labels,present_lung_nodule,auroc,kept_target,trained,chosen_by",
        "random,4,0,0,0,0.500000,no,no,",
        "random,4,1,8,1,0.750000,yes,yes,random:8",
    ]
    found = json.loads(summary_json(summarise(replays, target=0.9), {"task": "nodule"}))
    assert (found["schema"], found["task"]) == ("vptct.simulation/1", "nodule")
    assert found["strategies"][0]["area"] == {"value": 0.625, "ci95": [None, None], "n": 1}
    assert found["strategies"][0]["labels_to_target"] == {
        "median": None, "reached_and_kept": 0, "seeds": 1, "of_the_mean_curve": None,
    }  # fmt: skip


def test_a_row_of_the_csv_says_who_chose_the_labels_of_its_round() -> None:
    chosen = ({}, {"typical": 4}, {"typical": 7, "random": 1}, {"typical": 7, "random": 5})
    rounds = [
        ReplayRound(4 * number, {"lung_nodule": number}, 0.7, True, dict(by))
        for number, by in enumerate(chosen)
    ]
    rows = csv_text({("auto", 0): rounds}, target=0.9).splitlines()[1:]
    assert [row.rsplit(",", 1)[1] for row in rows] == ["", "typical:4", "random:1 typical:3", "random:4"]


@pytest.mark.parametrize("strategies", [("random",), ("auto",), ("auto", "random", "typical", "badge")])
def test_curves_are_drawn_of_any_choice_of_strategies(strategies: tuple[str, ...]) -> None:
    replays = {(name, seed): curve(0.5, 0.6 + 0.1 * seed, 0.8) for name in strategies for seed in (0, 1, 2)}
    image = learning_curves(summarise(replays, target=0.9), target=0.9, title="three seeds")
    assert image.startswith(b"\x89PNG")
    assert image == learning_curves(summarise(replays, target=0.9), target=0.9, title="three seeds")


def test_a_mean_curve_that_has_reached_the_target_to_stay_is_marked() -> None:
    replays = {("random", 0): curve(0.5, 0.9)}
    reached, missed = (summarise(replays, target=target) for target in (0.9, 0.95))
    assert learning_curves(reached, target=0.9, title="") != learning_curves(missed, target=0.9, title="")
