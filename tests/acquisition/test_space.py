"""Where studies lie to each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from vpt_plugin.acquisition.space import DIMENSIONS, evenly, nearest, reduce


@pytest.mark.parametrize(("rows", "features"), [(50, 3), (50, 200), (900, 40)])
def test_two_studies_are_1_apart_on_average(rows: int, features: int) -> None:
    embeddings = np.random.default_rng(0).normal(3, 5, size=(rows, features)).astype(np.float32)
    space = reduce(embeddings, standardise=True)
    assert space.points.shape == (rows, min(features, DIMENSIONS))
    assert pdist(space.points).mean() == pytest.approx(1, abs=0.02)


def test_distances_are_kept_where_there_are_few_features() -> None:
    embeddings = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    found = pdist(reduce(embeddings, standardise=False).points)
    np.testing.assert_allclose(found, pdist(embeddings) / pdist(embeddings).mean(), rtol=1e-4)


def test_a_feature_in_other_units_counts_the_same() -> None:
    embeddings = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    scaled = embeddings * np.array([1000, 1, 1, 0.001], dtype=np.float32) + np.float32(7)
    found = pdist(reduce(scaled, standardise=True).points)
    np.testing.assert_allclose(found, pdist(reduce(embeddings, standardise=True).points), rtol=0.01)


def test_without_standardising_the_lengths_stay_in_proportion() -> None:
    embeddings = np.array([[3, 4], [6, 8], [0, 0], [1, 0]], dtype=np.float32)
    lengths = np.linalg.norm(reduce(embeddings, standardise=False).points, axis=1)
    np.testing.assert_allclose(lengths / lengths[0], [1, 2, 0, 0.2], atol=1e-6)


def test_features_that_never_change_say_nothing() -> None:
    embeddings = np.full((10, 3), 0.1, dtype=np.float32)
    assert (reduce(embeddings, standardise=True).points == 0).all()
    embeddings[:, 1] = np.arange(10)
    assert reduce(embeddings, standardise=True).points.shape == (10, 1)


def test_a_study_without_an_embedding_has_no_place_and_no_neighbour() -> None:
    embeddings = np.array([[0, 0], [np.nan, np.nan], [1, 1], [4, np.inf]], dtype=np.float32)
    space = reduce(embeddings, standardise=True)
    assert space.known.tolist() == [True, False, True, False]
    assert np.isnan(space.points[[1, 3]]).all()
    assert nearest(space, np.array([0, 1]), np.array([1, 2]))[1] is None
    assert nearest(space, np.array([0]), np.array([1, 3])) == [None]
    found = nearest(space, np.array([0]), np.array([1, 2]))[0]
    assert found is not None
    assert found[0] == 2


@pytest.mark.parametrize(("count", "asked"), [(1, 5), (7, 3), (3, 3), (1000, 500)])
def test_evenly_spaced_rows_are_different_ones_from_the_first_to_the_last(count: int, asked: int) -> None:
    rows = evenly(np.arange(10, 10 + count), asked)
    assert len(set(rows.tolist())) == len(rows) == min(count, asked)
    assert rows[0] == 10
    assert rows[-1] == (9 + count if asked > 1 else 10)
