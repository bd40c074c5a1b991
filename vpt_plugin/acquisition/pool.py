"""Pool and Choice: what a strategy sees, and what it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pool:
    """The studies of a task, labelled or not; one row each.

    A study that is not scored yet has nan in its rows of embeddings, probabilities and disagreement; where
    none is, the embeddings have no columns.

    Attributes:
        studies: their ids.
        findings: of the task.
        embeddings: float32 (studies, features): the mean over the study's clips of what the backbone says.
        key_embeddings: float32 (studies, features): of the clip that speaks most for a finding; of the same
            rows. Without a trained head the same as ``embeddings``.
        probabilities: (studies, findings), calibrated; None where no head is trained yet.
        disagreement: (studies, findings), standard deviation of the clips' probabilities; None as above.
        states: (studies, findings): 1 present, 0 absent, nan where it is not known.
        free: (studies,): may be chosen.
        taken: (studies,): labelled, or in the hands of a reader at the moment.
    """

    studies: tuple[str, ...]
    findings: tuple[str, ...]
    embeddings: NDArray[np.float32]
    key_embeddings: NDArray[np.float32]
    probabilities: NDArray[np.float64] | None
    disagreement: NDArray[np.float64] | None
    states: NDArray[np.float64]
    free: NDArray[np.bool_]
    taken: NDArray[np.bool_]


@dataclass(frozen=True)
class Choice:
    """A study that a strategy chose, and why.

    Attributes:
        row: of the pool.
        score: the higher the more useful; comparable within one strategy only.
        strategy: that chose it: for ``auto`` the one it took.
        why: a sentence for a reader.
        cluster: the number of its group of alike studies; None where the strategy makes none.
        cluster_size: studies in that group.
        cluster_taken: how many of those were taken before this choice.
        nearest_labelled: row of the labelled study most like it; None where no study is labelled.
        nearest_distance: between their embeddings, 0 for alike, about 1 for as unlike as two studies of the
            pool are on average.
    """

    row: int
    score: float
    strategy: str
    why: str
    cluster: int | None = None
    cluster_size: int | None = None
    cluster_taken: int | None = None
    nearest_labelled: int | None = None
    nearest_distance: float | None = None
