"""``auto``: which strategy it takes, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vpt_plugin.acquisition.pool import Choice, Pool
from vpt_plugin.acquisition.strategies import AutoSettings, choose, random_order

NewPool = Callable[..., Pool]
NO_CHANCE = AutoSettings(random_share=0)


def pool_with(new_pool: NewPool, present: int, absent: int, **options: Any) -> Pool:
    """40 studies, the first of them labelled so."""
    labelled = present + absent
    states = np.full(40, np.nan)
    states[:labelled] = [1.0] * present + [0.0] * absent
    points = np.random.default_rng(0).normal(size=(40, 3))
    return new_pool(points, states=states, taken=range(labelled), **options)


def pick(
    pool: Pool, n: int = 3, auto: AutoSettings = NO_CHANCE, seed: int = 0, **options: str
) -> list[Choice]:
    return choose("auto", pool, n, np.random.default_rng(seed), auto=auto, **options)


PROBABILITIES = np.linspace(0.02, 0.6, 40)


@pytest.mark.parametrize(
    ("present", "absent", "strategy"),
    [(0, 0, "typical"), (4, 20, "typical"), (5, 4, "typical"), (5, 5, "diverse-uncertain"),
     (9, 12, "diverse-uncertain")],
)  # fmt: skip
def test_the_cold_start_ends_with_five_labels_of_each_state(
    new_pool: NewPool, present: int, absent: int, strategy: str
) -> None:
    choices = pick(pool_with(new_pool, present, absent, probabilities=PROBABILITIES))
    assert {choice.strategy for choice in choices} == {strategy}


def test_what_ends_the_cold_start_is_said(new_pool: NewPool) -> None:
    choices = pick(pool_with(new_pool, 2, 4, probabilities=PROBABILITIES))
    assert choices[0].why.startswith("Typical of ")
    assert choices[0].why.endswith("Still needed: nodule 3 present, 1 absent.")
    choices = pick(pool_with(new_pool, 5, 3), auto=AutoSettings(5, 0))
    assert choices[0].why.endswith("Still needed: nodule 2 absent.")


def test_enough_labels_without_a_trained_network_are_no_end_of_the_cold_start(new_pool: NewPool) -> None:
    choices = pick(pool_with(new_pool, 6, 6))
    assert choices[0].strategy == "typical"
    assert choices[0].why.endswith("No trained network has scored these studies yet.")


def test_every_finding_needs_its_labels_unless_one_is_named(new_pool: NewPool) -> None:
    states = np.full((30, 2), np.nan)
    states[:4, 0] = [1, 1, 0, 0]
    states[:4, 1] = [0, 0, 0, 1]
    points = np.random.default_rng(0).normal(size=(30, 3))
    pool = new_pool(
        points, states=states, taken=range(4), probabilities=np.full((30, 2), 0.3), findings=("a", "b")
    )
    auto = AutoSettings(min_each=2, random_share=0)
    choices = pick(pool, auto=auto)
    assert choices[0].why.endswith("Still needed: b 1 present.")
    assert pick(pool, auto=auto, finding="a")[0].strategy == "diverse-uncertain"


def rare_finding(new_pool: NewPool, labelled: int, *, trained: bool = True) -> Pool:
    """60 studies; of those labelled, half have a, and none has b."""
    states = np.full((60, 2), np.nan)
    states[:labelled] = 0
    states[: labelled // 2, 0] = 1
    points = np.random.default_rng(0).normal(size=(60, 3))
    probabilities = np.full((60, 2), 0.3) if trained else None
    return new_pool(
        points, states=states, taken=range(labelled), findings=("a", "b"), probabilities=probabilities
    )


def test_a_finding_that_nobody_has_does_not_keep_the_cold_start_going_for_good(new_pool: NewPool) -> None:
    """At least 2 of each: 20 times as many labels are 40."""
    auto = AutoSettings(min_each=2, random_share=0)
    choice = pick(rare_finding(new_pool, 39), 1, auto)[0]
    assert choice.strategy == "typical"
    assert choice.why.endswith("Still needed: b 2 present.")
    choice = pick(rare_finding(new_pool, 40), 1, auto)[0]
    assert choice.strategy == "diverse-uncertain"
    assert choice.why.endswith("The cold start ended with 40 labels; still missing: b 2 present.")
    assert pick(rare_finding(new_pool, 50, trained=False), 1, auto)[0].strategy == "typical"


def test_of_the_scored_only_those_to_choose_from_are_told(new_pool: NewPool) -> None:
    """Of 10 studies 6 are closed, as those are that are gone: 1 of the other 4 is scored."""
    points = np.full((10, 3), np.nan)
    points[[0, 1, 9]] = 1.0
    choices = pick(new_pool(points, taken=[0, 1, 2], closed=[3, 4, 5]), 2)
    assert choices[-1].why == "By chance: 1 of 4 studies to choose from are scored so far."


def test_the_share_by_chance_is_what_was_asked_for(new_pool: NewPool) -> None:
    """400 picks at a quarter: 100, with a standard deviation of 8.7."""
    pool = pool_with(new_pool, 5, 5, probabilities=PROBABILITIES)
    auto = AutoSettings(random_share=0.25)
    picks = [choice for seed in range(100) for choice in pick(pool, 4, auto, seed)]
    assert len(picks) == 400
    assert abs(sum(choice.strategy == "random" for choice in picks) - 100) < 35


def test_the_share_by_chance_is_of_the_studies_left_where_fewer_are_left_than_asked_for(
    new_pool: NewPool,
) -> None:
    """30 are free: a tenth of them is 3, in 20 lists 60, with a standard deviation of 7.3."""
    pool = pool_with(new_pool, 5, 5, probabilities=PROBABILITIES)
    lists = [pick(pool, 1000, AutoSettings(random_share=0.1), seed) for seed in range(20)]
    assert {len(each) for each in lists} == {30}
    assert abs(sum(choice.strategy == "random" for each in lists for choice in each) - 60) < 30


def test_picks_by_chance_follow_the_random_order_and_never_meet_the_others(new_pool: NewPool) -> None:
    pool = pool_with(new_pool, 5, 5, probabilities=PROBABILITIES)
    order = [row for row in random_order(pool.studies, 0) if row >= 10]
    for seed in range(20):
        choices = pick(pool, 12, AutoSettings(random_share=0.4), seed)
        by_chance = [choice.row for choice in choices if choice.strategy == "random"]
        assert by_chance == order[: len(by_chance)]
        assert len({choice.row for choice in choices}) == 12
    assert {choice.strategy for choice in pick(pool, 12, AutoSettings(random_share=1))} == {"random"}


def test_where_too_few_are_scored_the_rest_is_by_chance_and_that_is_said(new_pool: NewPool) -> None:
    points = np.random.default_rng(0).normal(size=(40, 3))
    points[3:] = np.nan
    choices = pick(new_pool(points), 5)
    assert [choice.strategy for choice in choices] == ["typical"] * 3 + ["random"] * 2
    assert {choice.row for choice in choices[:3]} == {0, 1, 2}
    assert choices[4].why == "By chance: 3 of 40 studies to choose from are scored so far."
    [choice] = pick(new_pool(np.zeros((7, 0))), 1)
    assert choice.why == "By chance: 0 of 7 studies to choose from are scored so far."
