"""``uncertain`` and ``diverse-uncertain``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vpt_plugin.acquisition.pool import Choice, Pool
from vpt_plugin.acquisition.strategies import choose

NewPool = Callable[..., Pool]


def pick(name: str, pool: Pool, n: int, **options: str) -> list[Choice]:
    return choose(name, pool, n, np.random.default_rng(0), **options)


def test_the_score_is_the_entropy_in_bits(new_pool: NewPool) -> None:
    """H(1/2) = 1, H(1/4) = 2 - 3/4 log2 3 = 0.8113, and nothing of what is certain."""
    pool = new_pool(np.eye(4), probabilities=[0.25, 0.5, 0.0, 1.0])
    choices = pick("uncertain", pool, 4)
    assert [choice.row for choice in choices] == [1, 0, 2, 3]
    assert [choice.score for choice in choices] == pytest.approx([1, 0.811278, 0, 0])
    assert choices[0].why == "One of the model's least sure answers: nodule 50%."


def test_where_all_probabilities_are_low_the_likeliest_positives_come_first(new_pool: NewPool) -> None:
    pool = new_pool(np.eye(4), probabilities=[0.01, 0.12, 0.03, 0.004])
    assert [choice.row for choice in pick("uncertain", pool, 4)] == [1, 2, 0, 3]


def test_clips_that_disagree_decide_between_equals_only(new_pool: NewPool) -> None:
    """0.2 and 0.8 are equally unsure; the second's clips differ by 0.3, which counts 0.25 * 2 * 0.3."""
    pool = new_pool(np.eye(3), probabilities=[0.2, 0.8, 0.5], disagreement=[np.nan, 0.3, 0.0])
    choices = pick("uncertain", pool, 3)
    assert [choice.row for choice in choices] == [2, 1, 0]
    assert choices[1].score - choices[2].score == pytest.approx(0.15)
    assert choices[1].why == "One of the model's least sure answers: nodule 80%, its clips differ by ±30%."
    assert "differ" not in choices[2].why


def test_the_least_sure_finding_counts_unless_one_is_named(new_pool: NewPool) -> None:
    pool = new_pool(np.eye(2), probabilities=[[0.5, 0.01], [0.1, 0.2]], findings=("nodule", "effusion"))
    first = pick("uncertain", pool, 1)[0]
    assert (first.row, "nodule 50%" in first.why) == (0, True)
    first = pick("uncertain", pool, 1, finding="effusion")[0]
    assert (first.row, "effusion 20%" in first.why) == (1, True)


def test_diverse_studies_are_not_the_same_study_twice(new_pool: NewPool) -> None:
    """Pairs of alike studies, the surest pair last: uncertain takes both of a pair, diverse one of each."""
    points = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], 2, axis=0)
    others = [[3.0, 3.0]] * 54
    probabilities = np.concatenate([[0.5, 0.49, 0.47, 0.46, 0.44, 0.43], np.full(54, 0.001)])
    pool = new_pool([*points, *others], probabilities=probabilities)
    assert [choice.row for choice in pick("uncertain", pool, 3)] == [0, 1, 2]
    rows = [choice.row for choice in pick("diverse-uncertain", pool, 3)]
    assert rows[0] == 0
    assert sorted(row // 2 for row in rows) == [0, 1, 2]


def test_diverse_studies_keep_away_from_what_is_being_read(new_pool: NewPool) -> None:
    """Of the two least sure of 20 the surer one, since the other looks like a study that is taken."""
    points = np.array([[0.0, 0.0], [0.1, 0.0], [5.0, 5.0], *[[2.0, 1.0]] * 18])
    pool = new_pool(points, probabilities=[0.5, 0.5, 0.45, *[0.01] * 18], taken=[0])
    assert pick("uncertain", pool, 1)[0].row == 1
    [choice] = pick("diverse-uncertain", pool, 1)
    assert choice.row == 2
    assert choice.why == (
        "One of the model's least sure answers: nodule 45%. Of 2 such studies, one unlike those taken."
    )


def test_diverse_studies_are_of_the_tenth_that_is_least_sure(new_pool: NewPool) -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.permutation(np.linspace(0.001, 0.4, 300))
    pool = new_pool(rng.normal(size=(300, 4)), probabilities=probabilities)
    rows = [choice.row for choice in pick("diverse-uncertain", pool, 8)]
    assert probabilities[rows].min() >= np.sort(probabilities)[-30]


def test_the_only_candidate_is_not_called_one_of_several(new_pool: NewPool) -> None:
    """Of 8 studies a tenth is less than one: the most uncertain is the only one to choose from."""
    pool = new_pool(np.eye(8), probabilities=np.linspace(0.1, 0.45, 8))
    [choice] = pick("diverse-uncertain", pool, 1)
    assert choice.why == "One of the model's least sure answers: nodule 45%."
