"""HeadLearner: the head alone is trained, on features that stay as they are. A training takes milliseconds.

It stands for a finetuning where the features are good already: what a label adds, and in which order, can be
measured over many seeds. What a label does to the features it cannot show; the learner ``network`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.active.simulation.features import FrozenFeatures, Untrained
from vpt_plugin.active.simulation.learners import Answers, Floats, clip_answers
from vpt_plugin.data.clip_dataset import LabelledStudy

# Of scaled features. The same for all strategies, seeds and numbers of labels, so that none is favoured.
_INVERSE_PENALTY = 0.1
_WITNESS_ROUNDS = 5


@dataclass(frozen=True)
class HeadLearner:
    """Logistic regression on the clips of the labelled studies.

    Clips with and without the finding count the same in all, as in a finetuning, where they take turns. Of a
    study whose slices are not marked its surest clip stands for it, chosen anew until it stays the same.

    Attributes:
        studies: all of them.
        features: of all of them.
        aggregation: the task's.

    Source: Andrews et al., Support Vector Machines for Multiple-Instance Learning, NIPS 2002 (MI-SVM), with a
    logistic loss.
    """

    studies: Sequence[LabelledStudy]
    features: FrozenFeatures
    aggregation: str

    def untrained(self) -> Untrained:
        """The features alone."""
        return Untrained(self.features)

    def trained(self, rows: Sequence[int], seed: int) -> _Head:
        """The head that these studies make; there is nothing random in it."""
        features, numbers = self.features.of(rows)
        states = np.concatenate([self.features.clip_states[row] for row in rows])
        shown = np.stack([self.studies[row].states for row in rows])[numbers] == 1
        scaling = Scaling.of(features)
        columns = [
            _fit(scaling(features), states[:, column], shown[:, column], numbers)
            for column in range(states.shape[1])
        ]
        weights, biases = zip(*columns, strict=True)
        return _Head(self, scaling, np.stack(weights, axis=1), np.array(biases))


@dataclass(frozen=True)
class _Head:
    learner: HeadLearner
    scaling: Scaling
    weights: Floats
    biases: Floats

    def answers(self, rows: Sequence[int]) -> Answers:
        features, numbers = self.learner.features.of(rows)
        logits = self.scaling(features) @ self.weights + self.biases
        return clip_answers(features, logits, numbers, self.learner.aggregation)


@dataclass(frozen=True)
class Scaling:
    """Features with a mean of 0 and a spread of 1 over the clips that are learned from.

    Attributes:
        mean, spread: (features,).
    """

    mean: Floats
    spread: Floats

    @classmethod
    def of(cls, features: Floats) -> Scaling:
        """Of these clips (clips, features); what is the same in all of them is left as it is."""
        spread = features.std(axis=0)
        return cls(features.mean(axis=0), np.where(spread > 1e-9, spread, 1.0))

    def __call__(self, features: Floats) -> Floats:
        """Clips (clips, features), scaled in the same way."""
        return np.asarray((features - self.mean) / self.spread)


def _fit(
    features: Floats, states: Floats, shown: NDArray[np.bool_], numbers: NDArray[np.int64]
) -> tuple[Floats, float]:
    """Weights (features,) and bias of one finding.

    Args:
        features: (clips, features), scaled.
        states: (clips,), nan where it is not known.
        shown: (clips,), whether the study of each shows the finding.
        numbers: (clips,), the study that each is of.
    """
    unmarked = np.isnan(states) & shown
    # To begin with, all clips of an unmarked study stand for it.
    chosen = unmarked
    for _ in range(_WITNESS_ROUNDS):
        labels = np.where(chosen, 1.0, states)
        weights, bias = _regression(features[~np.isnan(labels)], labels[~np.isnan(labels)])
        witnesses = _surest(features @ weights + bias, unmarked, numbers)
        if (witnesses == chosen).all():
            break
        chosen = witnesses
    return weights, bias


def _surest(logits: Floats, unmarked: NDArray[np.bool_], numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(clips,): the clip of highest logit of each unmarked study."""
    chosen = np.zeros(len(logits), dtype=bool)
    for number in np.unique(numbers[unmarked]):
        clips = np.flatnonzero(unmarked & (numbers == number))
        chosen[clips[np.argmax(logits[clips])]] = True
    return chosen


def _regression(features: Floats, labels: Floats) -> tuple[Floats, float]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=_INVERSE_PENALTY, class_weight="balanced", max_iter=2000)
    model.fit(features, labels)
    return model.coef_[0], float(model.intercept_[0])
