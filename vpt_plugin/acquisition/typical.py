"""``typical``: diverse and typical studies, for the cold start; it needs no trained head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.acquisition.pool import Choice
from vpt_plugin.acquisition.question import Question
from vpt_plugin.acquisition.space import evenly

# Clusters: one for each study that is taken and each that is asked for, within these limits.
MIN_CLUSTERS = 8
MAX_CLUSTERS = 100
# Smaller ones are outliers, as in the paper; they come last. In a pool of few dozens whole kinds of studies
# are that small: there it takes less than a quarter of the mean size, or to be alone.
SMALL_CLUSTER = 5
_SMALL_SHARE, _NOT_ALONE = 0.25, 2
# Points that differ by less, in units of their mean distance, are one point to k-means.
_ALIKE = 1e-4
# Of a larger cluster so many free studies, evenly spaced, stand for all: neighbours are looked for among all.
_LARGEST = 1000


def typical(question: Question) -> list[Choice]:
    """The most typical study of each of the largest groups of alike studies that hold no label yet.

    TypiClust (Hacohen, Dekel and Weinshall, "Active Learning on a Budget", ICML 2022): k-means on the
    embeddings, then from the clusters with the fewest labels, the largest first, the study whose neighbours
    lie nearest. What is in the hands of a reader counts as labelled. The score is the inverse of the mean
    distance to the neighbours.

    The clusters are made here and those to choose from handed to scikit-activeml: by itself it makes as many
    as there are labels, fails where each holds one, and does not say which they are.
    """
    clusters = _clusters(question)
    free, taken = clusters.free.copy(), clusters.taken.copy()
    random = question.random_state()
    choices: list[Choice] = []
    while len(choices) < question.n and free.any():
        opened = clusters.opened(free, taken)[: question.n - len(choices)]
        for position, typicality in _most_typical(clusters, free, opened, random):
            number = int(clusters.numbers[position])
            choices.append(clusters.choice(position, typicality, int(taken[number])))
            free[position] = False
            taken[number] += 1
    return choices


@dataclass(frozen=True)
class _Clusters:
    """Of the studies that are free or taken, one row each.

    Attributes:
        rows: of the pool.
        points: (rows, dimensions).
        free: (rows,): may be chosen.
        numbers: (rows,): the cluster of each.
        sizes: (clusters,): all their studies.
        taken: (clusters,): how many of them are taken.
    """

    rows: NDArray[np.int64]
    points: NDArray[np.float64]
    free: NDArray[np.bool_]
    numbers: NDArray[np.int64]
    sizes: NDArray[np.int64]
    taken: NDArray[np.int64]

    def opened(self, free: NDArray[np.bool_], taken: NDArray[np.int64]) -> NDArray[np.int64]:
        """Clusters to choose from: those with the fewest taken, the one with the most studies first."""
        able = np.flatnonzero(np.bincount(self.numbers[free], minlength=len(self.sizes)))
        small = min(SMALL_CLUSTER, max(_NOT_ALONE, _SMALL_SHARE * self.sizes.mean()))
        large = able[self.sizes[able] >= small]
        able = large if len(large) else able
        able = able[taken[able] == taken[able].min()]
        ordered: NDArray[np.int64] = able[np.argsort(-self.sizes[able], kind="stable")]
        return ordered

    def choice(self, position: int, typicality: float, taken: int) -> Choice:
        number = int(self.numbers[position])
        size = int(self.sizes[number])
        covered = f"{taken} of them labelled or being read" if taken else "none of them labelled yet"
        why = f"Typical of {size} studies that look alike, {covered}."
        if size == 1:
            why = "It looks like no other study."
        return Choice(int(self.rows[position]), typicality, "typical", why, number, size, taken)


def _clusters(question: Question) -> _Clusters:
    """By k-means on the points that differ: more clusters than points would leave some empty."""
    from sklearn.cluster import KMeans

    pool, space = question.pool, question.space
    rows = np.flatnonzero((pool.free | pool.taken) & space.known)
    # In float64: k-means works out distances from squares, in which float32 cannot tell near points apart.
    points = space.points[rows].astype(np.float64)
    _, first, back, counts = np.unique(
        np.round(points / _ALIKE), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    wanted = int(pool.taken[rows].sum()) + question.n
    number = min(max(wanted, MIN_CLUSTERS), MAX_CLUSTERS, len(first))
    found = KMeans(number, n_init=1, random_state=question.random_state()).fit_predict(
        points[first], sample_weight=counts
    )
    numbers = found[back.reshape(-1)].astype(np.int64)
    sizes = np.bincount(numbers, minlength=number)
    taken = np.bincount(numbers[pool.taken[rows]], minlength=number)
    return _Clusters(rows, points, pool.free[rows], numbers, sizes, taken)


def _most_typical(
    clusters: _Clusters,
    free: NDArray[np.bool_],
    opened: NDArray[np.int64],
    random: np.random.RandomState,
) -> list[tuple[int, float]]:
    """Of each of the opened clusters the free row with the nearest neighbours, and its typicality."""
    from skactiveml.pool import TypiClust

    inside = np.concatenate([_members(clusters, free, number) for number in opened])
    renumbered = np.searchsorted(np.sort(opened), clusters.numbers[inside])
    strategy = TypiClust(random_state=random, cluster_algo=_Made, cluster_algo_dict={"numbers": renumbered})
    picked, typicality = strategy.query(
        clusters.points[inside],
        np.full(len(inside), np.nan),
        candidates=np.flatnonzero(free[inside]),
        batch_size=len(opened),
        return_utilities=True,
    )
    return [(int(inside[at]), float(line[at])) for at, line in zip(picked, typicality, strict=True)]


def _members(clusters: _Clusters, free: NDArray[np.bool_], number: int) -> NDArray[np.int64]:
    rows = np.flatnonzero(clusters.numbers == number)
    return rows if len(rows) <= _LARGEST else evenly(rows[free[rows]], _LARGEST)


@dataclass(frozen=True)
class _Made:
    """What scikit-activeml takes for a clustering algorithm: clusters that were made before."""

    n_clusters: int
    numbers: NDArray[np.int64]

    def fit_predict(self, points: NDArray[np.float64]) -> NDArray[np.int64]:
        assert len(points) == len(self.numbers)
        return self.numbers
