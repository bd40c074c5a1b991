"""``random``: an order that knows nothing of the studies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.acquisition.pool import Pool
from vpt_plugin.acquisition.strategies import choose, random_order


@given(ids=st.lists(st.text(max_size=8), unique=True, max_size=30), seed=st.integers(0, 5), data=st.data())
def test_the_order_is_kept_when_studies_join_or_leave(ids: list[str], seed: int, data: st.DataObject) -> None:
    some = data.draw(st.lists(st.sampled_from(ids), unique=True)) if ids else []
    whole = [ids[row] for row in random_order(ids, seed)]
    assert sorted(whole) == sorted(ids)
    assert [some[row] for row in random_order(some, seed)] == [study for study in whole if study in some]


def test_the_order_is_written_down_for_a_server_may_be_restarted_by_another_version() -> None:
    assert random_order(["a", "b", "c", "d", "e"], 0).tolist() == [4, 0, 2, 1, 3]
    assert random_order(["a", "b", "c", "d", "e"], 1).tolist() != [4, 0, 2, 1, 3]


def test_the_first_quarter_of_the_order_holds_a_quarter_of_the_rare_studies() -> None:
    """Of 4000 with 400 rare ones: 100, with a standard deviation of 8.2, of which 4 are 33."""
    studies = [f"{'rare' if row % 10 == 0 else 'common'}-{row}" for row in range(4000)]
    for seed in range(5):
        first = random_order(studies, seed)[:1000]
        rare = sum(studies[row].startswith("rare") for row in first)
        assert abs(rare - 100) < 33


def test_choices_by_chance_are_the_first_free_ones_of_the_order(new_pool: Callable[..., Pool]) -> None:
    pool = new_pool(np.zeros((9, 0)), taken=[0, 4], closed=[7])
    order = [row for row in random_order(pool.studies, 3) if row not in (0, 4, 7)]
    choices = choose("random", pool, 4, np.random.default_rng(0), seed=3)
    assert [choice.row for choice in choices] == order[:4]
    scores = [choice.score for choice in choices]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= scores[-1] <= scores[0] <= 1
