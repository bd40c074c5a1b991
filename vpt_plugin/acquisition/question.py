"""What a strategy is asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.acquisition.pool import Pool
from vpt_plugin.acquisition.space import Geometry, Space
from vpt_plugin.errors import ConfigurationError


@dataclass(frozen=True)
class AutoSettings:
    """When ``auto`` does what.

    Attributes:
        min_each: so many labels of each state of each finding end the cold start.
        random_share: of its picks are by chance, from 0 to 1.

    Raises:
        ConfigurationError: a number out of its range.
    """

    min_each: int = 5
    random_share: float = 0.1

    def __post_init__(self) -> None:
        if self.min_each < 0:
            raise ConfigurationError(f"min_each is {self.min_each}; it must be 0 or more.")
        if not 0 <= self.random_share <= 1:
            raise ConfigurationError(f"random_share is {self.random_share}; it must be from 0 to 1.")


@dataclass(frozen=True)
class Question:
    """Which ``n`` of a pool next?

    Attributes:
        pool: what is known of the studies.
        n: how many, 1 or more.
        rng: all that a strategy draws comes from it.
        seed: of the random order.
        columns: of the findings that count.
        auto: settings of ``auto``.
        geometry: of the pool's embeddings.
    """

    pool: Pool
    n: int
    rng: np.random.Generator
    seed: int
    columns: tuple[int, ...]
    auto: AutoSettings
    geometry: Geometry

    @property
    def space(self) -> Space:
        """Where the studies lie to each other."""
        return self.geometry.whole

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Rows of which the state of a finding that counts is known."""
        known = np.isfinite(self.pool.states[:, list(self.columns)]).any(axis=1)
        return np.flatnonzero(known)

    @property
    def has_embeddings(self) -> bool:
        """Whether a study that may be chosen has an embedding."""
        return bool(self.space.known[self.pool.free].any())

    @cached_property
    def answered(self) -> NDArray[np.bool_]:
        """(studies,): has an embedding, and a probability of every finding that counts."""
        if self.pool.probabilities is None:
            return np.zeros(len(self.pool.studies), dtype=bool)
        given = np.isfinite(self.pool.probabilities[:, list(self.columns)]).all(axis=1)
        both: NDArray[np.bool_] = given & self.space.known
        return both

    @property
    def has_probabilities(self) -> bool:
        """Whether a study that may be chosen has a probability of every finding that counts."""
        return bool(self.answered[self.pool.free].any())

    def random_state(self) -> np.random.RandomState:
        """For scikit-activeml and scikit-learn, which take no Generator."""
        return np.random.RandomState(int(self.rng.integers(2**31 - 1)))
