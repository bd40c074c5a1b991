"""``typical``: one study of each group, its most typical one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vpt_plugin.acquisition import typical
from vpt_plugin.acquisition.pool import Choice, Pool
from vpt_plugin.acquisition.strategies import choose

NewPool = Callable[..., Pool]
GROUP = np.repeat(np.arange(4), (44, 20, 10, 6))


def pick(pool: Pool, n: int, seed: int = 0) -> list[Choice]:
    return choose("typical", pool, n, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_of_8_holds_all_four_groups(new_pool: NewPool, four_groups: np.ndarray, seed: int) -> None:
    choices = pick(new_pool(four_groups), 8, seed)
    assert {int(GROUP[choice.row]) for choice in choices} == {0, 1, 2, 3}


@pytest.mark.parametrize("seed", range(5))
def test_asking_for_one_at_a_time_finds_all_four_groups_too(
    new_pool: NewPool, four_groups: np.ndarray, seed: int
) -> None:
    taken: list[int] = []
    for _ in range(8):
        taken.append(pick(new_pool(four_groups, taken=taken), 1, seed)[0].row)
    assert {int(GROUP[row]) for row in taken} == {0, 1, 2, 3}


def test_groups_that_hold_a_taken_study_wait_for_the_others(new_pool: NewPool) -> None:
    """Eight groups of six far apart, and a study of each of the first seven is taken: the eighth is next."""
    rng = np.random.default_rng(0)
    points = np.repeat(100 * np.eye(8), 6, axis=0) + rng.normal(size=(48, 8))
    pool = new_pool(points, taken=range(0, 42, 6))
    for seed in range(3):
        [choice] = pick(pool, 1, seed)
        assert choice.row // 6 == 7
        assert (choice.cluster_size, choice.cluster_taken) == (6, 0)
        assert choice.why == "Typical of 6 studies that look alike, none of them labelled yet."


def test_where_each_group_holds_a_label_the_least_known_group_is_next(
    new_pool: NewPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many clusters as groups, and two studies of each are taken, but of the third one only."""
    monkeypatch.setattr(typical, "MAX_CLUSTERS", 8)
    rng = np.random.default_rng(0)
    points = np.repeat(100 * np.eye(8), 6, axis=0) + rng.normal(size=(48, 8))
    taken = [row for row in range(48) if row % 6 < 2 and row != 13]
    [choice] = pick(new_pool(points, taken=taken), 1)
    assert choice.row // 6 == 2
    assert choice.why == "Typical of 6 studies that look alike, 1 of them labelled or being read."


def test_the_middle_of_a_group_is_its_most_typical_study(new_pool: NewPool) -> None:
    """Eight lines of five: the others of a line are 1, 1, 2, 2 from its middle, farther from any other."""
    corners = 1000 * np.eye(8).repeat(5, axis=0)
    points = np.column_stack([corners, np.tile(np.arange(5.0), 8)])
    rows = [choice.row for choice in pick(new_pool(points), 8)]
    assert sorted(rows) == list(range(2, 40, 5))


def test_outliers_come_after_the_second_study_of_a_group(new_pool: NewPool) -> None:
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.normal(size=(60, 3)), [[60, 0, 0], [0, -60, 0]]])
    assert all(choice.row < 60 for choice in pick(new_pool(points), 20))
    assert {60, 61} <= {choice.row for choice in pick(new_pool(points), 62)}


def test_two_broken_studies_do_not_hide_the_groups(new_pool: NewPool, four_groups: np.ndarray) -> None:
    broken = four_groups.copy()
    broken[[3, 60]] *= 1e6
    choices = pick(new_pool(broken), 8)
    assert {int(GROUP[choice.row]) for choice in choices} == {0, 1, 2, 3}


def test_alike_studies_are_one_point_and_still_all_can_be_chosen(new_pool: NewPool) -> None:
    points = np.repeat([[0.0, 0.0], [1.0, 0.0]], (30, 5), axis=0)
    rows = [choice.row for choice in pick(new_pool(points), 35)]
    assert sorted(rows) == list(range(35))
    assert sum(row >= 30 for row in rows[:4]) == 2  # turn by turn while both have the same number taken


def test_a_large_group_is_looked_at_in_part_and_all_of_it_can_be_chosen(
    new_pool: NewPool, four_groups: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typical, "_LARGEST", 6)
    rows = [choice.row for choice in pick(new_pool(four_groups, taken=range(5)), 75)]
    assert sorted(rows) == list(range(5, 80))


def test_studies_that_may_not_be_chosen_and_are_not_taken_play_no_part(new_pool: NewPool) -> None:
    """Skipped or of another date: their group is not the largest any more."""
    rng = np.random.default_rng(2)
    points = np.repeat(50 * np.eye(9), (30, *[8] * 8), axis=0) + rng.normal(size=(94, 9))
    assert pick(new_pool(points), 1)[0].row < 30
    assert pick(new_pool(points, closed=range(1, 30)), 1)[0].row >= 30


def test_a_study_that_is_a_group_of_its_own_is_not_called_typical(new_pool: NewPool) -> None:
    """Of 8 studies each is a group: there are at least as many groups."""
    choices = choose("typical", new_pool(3 * np.eye(8)), 1, np.random.default_rng(0))
    assert [choice.why for choice in choices] == ["It looks like no other study."]
