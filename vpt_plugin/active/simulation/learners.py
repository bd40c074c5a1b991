"""What a learner is to a simulation: it learns from some studies and answers for others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from vpt_plugin.ct.aggregation import study_probabilities
from vpt_plugin.data.clip_dataset import LabelledStudy

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What is said of some studies, a row for each: what a scoring would keep of them.

    Attributes:
        embeddings: (studies, features), mean over the clips.
        key_embeddings: (studies, features), of the clip that speaks most for a finding.
        probabilities: (studies, findings); None where no head is trained.
        disagreement: (studies, findings), standard deviation over the clips; None as above.
    """

    embeddings: Floats
    key_embeddings: Floats
    probabilities: Floats | None
    disagreement: Floats | None


class Learned(Protocol):
    """A network, trained or not."""

    def answers(self, rows: Sequence[int]) -> Answers:
        """What it says of the studies of these rows."""


class Learner(Protocol):
    """Makes networks. Studies are named by their row in ``studies``."""

    @property
    def studies(self) -> Sequence[LabelledStudy]:
        """All studies, of both sides of every seed."""

    def untrained(self) -> Learned:
        """What there is before the first label: features, and no probabilities."""

    def trained(self, rows: Sequence[int], seed: int) -> Learned:
        """What it learns from these studies; every finding is shown by some of them and not by others."""


def clip_answers(features: Floats, logits: Floats, numbers: NDArray[np.int64], aggregation: str) -> Answers:
    """From clips to studies, as a scoring does it.

    Args:
        features: (clips, features).
        logits: (clips, findings).
        numbers: (clips,), of the study that each clip is of, from 0 and without a gap.
        aggregation: the task's.
    """
    probabilities = expit(logits)
    means = study_means(probabilities, numbers)
    spread = np.maximum(study_means(probabilities**2, numbers) - means**2, 0)
    # By its logit, since many sure clips round to the same probability; the last of each study in this order.
    order = np.lexsort((logits.max(axis=1), numbers))
    return Answers(
        study_means(features, numbers),
        features[order[np.cumsum(np.bincount(numbers)) - 1]],
        study_probabilities(probabilities, numbers, aggregation),
        np.sqrt(spread),
    )


def study_means(values: Floats, numbers: NDArray[np.int64]) -> Floats:
    """(studies, columns): the mean over the clips of each study."""
    clips = np.bincount(numbers)
    sums = np.zeros((len(clips), values.shape[1]))
    np.add.at(sums, numbers, values)
    return np.asarray(sums / clips[:, None])
