"""``badge``: the gradients that labels would cause."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vpt_plugin.acquisition import badge
from vpt_plugin.acquisition.pool import Pool
from vpt_plugin.acquisition.question import AutoSettings, Question
from vpt_plugin.acquisition.space import Geometry
from vpt_plugin.acquisition.strategies import choose

NewPool = Callable[..., Pool]


def test_the_longest_gradient_is_the_first_pick(new_pool: NewPool) -> None:
    """min(p, 1 - p) times the embedding's length: 0.2 * 1, 0.1 * 3, 0.5 * 0.5; the second is longest."""
    keys = [[1.0, 0.0], [0.0, 3.0], [0.5, 0.0]]
    pool = new_pool(np.eye(3), key_embeddings=keys, probabilities=[0.2, 0.9, 0.5])
    for seed in range(5):
        choices = choose("badge", pool, 3, np.random.default_rng(seed))
        assert choices[0].row == 1
        by_row = sorted(choices, key=lambda choice: choice.row)
        assert by_row[1].score / by_row[0].score == pytest.approx(1.5)
        assert by_row[2].score / by_row[0].score == pytest.approx(1.25)


def test_a_second_study_of_the_same_direction_is_not_drawn(new_pool: NewPool) -> None:
    """Two alike studies and one across: when one of the alike is taken the other adds nothing."""
    keys = [[2.0, 0.0], [2.0, 0.0], [0.0, 1.0]]
    pool = new_pool(np.eye(3), key_embeddings=keys, probabilities=[0.5, 0.5, 0.5])
    for seed in range(10):
        choices = choose("badge", pool, 2, np.random.default_rng(seed))
        assert {choice.row for choice in choices} in ({0, 2}, {1, 2})


def test_with_several_findings_the_gradients_lie_side_by_side(new_pool: NewPool) -> None:
    """Against the gradient of the summed cross-entropies, written out for each finding."""
    rng = np.random.default_rng(0)
    probabilities = rng.random((6, 3))
    keys = rng.normal(size=(6, 4)).astype(np.float32)
    pool = new_pool(keys, probabilities=probabilities, findings=("a", "b", "c"))
    geometry = Geometry(pool.embeddings, pool.key_embeddings)
    question = Question(pool, 1, rng, 0, (0, 1, 2), AutoSettings(), geometry)
    points = geometry.key.points
    errors, directions = badge._gradients(question, np.arange(6), points)
    assert (errors <= 0.5).all()
    expected = np.stack(
        [
            np.concatenate([(p - (p >= 0.5)) * point for p in line])
            for line, point in zip(probabilities, points, strict=True)
        ]
    )
    np.testing.assert_allclose(directions * errors[:, None] * np.sqrt(3), expected, atol=1e-7)


def test_certain_studies_can_be_chosen_when_there_are_no_others(new_pool: NewPool) -> None:
    pool = new_pool(np.eye(3), probabilities=[0.0, 1.0, 1.0])
    assert len(choose("badge", pool, 3, np.random.default_rng(0))) == 3
