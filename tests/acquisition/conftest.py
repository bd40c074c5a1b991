"""Pools to choose from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vpt_plugin.acquisition.pool import Pool


def make_pool(
    embeddings: object,
    *,
    probabilities: object = None,
    disagreement: object = None,
    states: object = None,
    taken: object = (),
    closed: object = (),
    key_embeddings: object = None,
    findings: tuple[str, ...] = ("nodule",),
) -> Pool:
    """Free are all that are neither taken nor closed, given by row; a vector is one finding's column."""
    points = np.asarray(embeddings, dtype=np.float32)
    count = len(points)

    def column(values: object) -> np.ndarray:
        array = np.asarray(values, dtype=np.float64)
        return array[:, None] if array.ndim == 1 else array

    is_taken = np.zeros(count, dtype=bool)
    is_taken[list(taken)] = True
    free = ~is_taken
    free[list(closed)] = False
    return Pool(
        tuple(f"s{row:05}" for row in range(count)),
        findings,
        points,
        points if key_embeddings is None else np.asarray(key_embeddings, dtype=np.float32),
        None if probabilities is None else column(probabilities),
        None if disagreement is None else column(disagreement),
        np.full((count, len(findings)), np.nan) if states is None else column(states),
        free,
        is_taken,
    )


@pytest.fixture(scope="session")
def new_pool() -> Callable[..., Pool]:
    return make_pool


@pytest.fixture(scope="session")
def four_groups() -> np.ndarray:
    """80 studies in 4 groups of 44, 20, 10 and 6, of 12 features, far from each other."""
    rng = np.random.default_rng(7)
    centres = 8 * rng.normal(size=(4, 12))
    group = np.repeat(np.arange(4), (44, 20, 10, 6))
    return centres[group] + rng.normal(size=(80, 12))
