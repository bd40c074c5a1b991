"""Where studies lie to each other: embeddings, reduced to few dimensions, with a unit of length."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 32
# Directions are found on so many rows: of 10,000 studies with 2048 features that takes 0.1 s instead of 2.
_SAMPLE = 500
# Farther out, in standard deviations, nothing lies: a few broken studies would else be all that is seen.
_FARTHEST = 5.0
_CHUNK = 1000
# The mean distance is that of all pairs of so many rows.
_MEASURED = 300


@dataclass(frozen=True)
class Space:
    """Points of studies.

    Attributes:
        points: float32 (studies, dimensions); two studies of a pool are 1 apart on average. nan in the rows
            of studies without an embedding.
        known: (studies,): has an embedding.
    """

    points: NDArray[np.float32]
    known: NDArray[np.bool_]


@dataclass(frozen=True)
class Geometry:
    """The spaces of a pool, worked out when they are first asked for; whoever picks often keeps it.

    Attributes:
        embeddings, key_embeddings: of the pool.
    """

    embeddings: NDArray[np.float32]
    key_embeddings: NDArray[np.float32]

    @cached_property
    def whole(self) -> Space:
        """By the embeddings of whole studies, each feature as important as the others."""
        return reduce(self.embeddings, standardise=True)

    @cached_property
    def key(self) -> Space:
        """By the embeddings of the clips that speak most for a finding, with their lengths as they are."""
        return reduce(self.key_embeddings, standardise=False)


def reduce(embeddings: NDArray[np.float32], *, standardise: bool) -> Space:
    """The first principal components (at most 32) of embeddings, scaled to a mean distance of 1.

    The same embeddings give the same points: nothing is drawn. Directions are found on at most 500 rows,
    evenly spaced.

    Args:
        embeddings: (studies, features); a row with a value that is not finite has no embedding.
        standardise: subtract each feature's mean and divide by its standard deviation before, so that none
            counts for more because its numbers are larger, and cut off at 5 of them. Without it the zero
            stays where it is, and with it the lengths of the embeddings.
    """
    rows, features = embeddings.shape
    known = np.isfinite(embeddings).all(axis=1) if features else np.zeros(rows, dtype=bool)
    inside = np.flatnonzero(known)
    if not len(inside):
        return Space(np.full((rows, 1), np.nan, dtype=np.float32), known)
    picked = evenly(inside, _SAMPLE)
    sample = embeddings[picked].astype(np.float64)
    scaling = _Scaling.of(sample) if standardise else _Scaling.none(features)
    axes = _principal_axes(scaling.apply(sample)).astype(np.float32)
    points = np.full((rows, axes.shape[1]), np.nan, dtype=np.float32)
    # In parts: the embeddings may be 80 MB, and their copy as much again.
    for start in range(0, len(inside), _CHUNK):
        part = inside[start : start + _CHUNK]
        points[part] = scaling.apply(embeddings[part]).astype(np.float32) @ axes
    points /= np.float32(_mean_distance(points[evenly(inside, _MEASURED)]))
    return Space(points, known)


def nearest(
    space: Space, rows: NDArray[np.int64], among: NDArray[np.int64]
) -> list[tuple[int, float] | None]:
    """For each row the one of ``among`` that lies nearest, and how far; None where there is none."""
    from scipy.spatial.distance import cdist

    among = among[space.known[among]]
    if not len(among):
        return [None] * len(rows)
    distances = cdist(space.points[rows], space.points[among])
    found = distances.argmin(axis=1)
    return [
        (int(among[at]), float(line[at])) if space.known[row] else None
        for row, at, line in zip(rows, found, distances, strict=True)
    ]


@dataclass(frozen=True)
class _Scaling:
    """What each feature is reduced by and divided by, and how far out it may lie then."""

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    farthest: float

    @classmethod
    def none(cls, features: int) -> _Scaling:
        return cls(np.zeros(features, np.float32), np.ones(features, np.float32), np.inf)

    @classmethod
    def of(cls, sample: NDArray[np.float64]) -> _Scaling:
        """With the lowest and highest twentieth of each feature drawn in, or broken studies would set it."""
        inner = np.clip(sample, *np.percentile(sample, (5, 95), axis=0))
        mean, spread = inner.mean(axis=0), inner.std(axis=0)
        # A feature that few studies have: only its ends say something.
        spread = np.where(spread > 1e-6 * np.abs(mean), spread, sample.std(axis=0))
        # The same everywhere, but for rounding: it says nothing.
        spread[spread <= 1e-6 * np.abs(mean)] = np.inf
        return cls(mean.astype(np.float32), spread.astype(np.float32), _FARTHEST)

    def apply(self, values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        return np.clip((values - self.mean) / self.spread, -self.farthest, self.farthest)


def _principal_axes(sample: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(features, at most 32): by the inner products of the rows or the features, the fewer."""
    sample = sample.astype(np.float64)
    rows, features = sample.shape
    if features <= rows:
        values, vectors = np.linalg.eigh(sample.T @ sample)
        return _largest(values, vectors)[1]
    values, vectors = _largest(*np.linalg.eigh(sample @ sample.T))
    axes: NDArray[np.float64] = sample.T @ vectors / np.sqrt(values)
    return axes


def _largest(
    values: NDArray[np.float64], vectors: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The largest eigenvalues and their vectors; one at least, and none that is rounding only."""
    values, vectors = values[::-1][:DIMENSIONS], vectors[:, ::-1][:, :DIMENSIONS]
    kept = max(1, int((values > 1e-9 * max(values[0], 0.0)).sum()))
    return np.maximum(values[:kept], np.finfo(np.float64).tiny), vectors[:, :kept]


def _mean_distance(points: NDArray[np.float32]) -> float:
    """Of all pairs of rows; 1 where all rows are the same, or there is but one."""
    from scipy.spatial.distance import pdist

    apart = pdist(points)
    return (float(apart.mean()) if len(apart) else 0.0) or 1.0


def evenly(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most ``count`` of the rows, evenly spaced, the first and the last among them."""
    spaced: NDArray[np.int64] = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64)]
    return spaced
