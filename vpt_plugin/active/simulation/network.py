"""NetworkLearner: the whole network is finetuned after every round, by the trainer of ``vpt finetune``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vpt_plugin.active.simulation.features import FrozenFeatures, Untrained
from vpt_plugin.active.simulation.learners import Answers, Floats, clip_answers
from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.training.answers import clip_features
from vpt_plugin.training.distributed import Team
from vpt_plugin.training.keeping import KeptRound
from vpt_plugin.training.rounds import Rounds


@dataclass(frozen=True)
class NetworkLearner:
    """Trains from the same start each time, for all epochs of its configuration, on all studies it is given.

    No study is set apart to choose the epoch by: of a dozen labels there is none to spare. So the number of
    steps has to be one that suits few labels.

    Attributes:
        studies: all of them.
        rounds: train; the seed of its configuration is replaced by that of each training.
        start: features of the network before its first step.
    """

    studies: Sequence[LabelledStudy]
    rounds: Rounds
    start: FrozenFeatures

    def untrained(self) -> Untrained:
        """The features of the network that every training starts from."""
        return Untrained(self.start)

    def trained(self, rows: Sequence[int], seed: int) -> _Network:
        """The network after its last step.

        Raises:
            TrainingError, CancelledError: as of ``Rounds.final``.
        """
        config = replace(self.rounds.config, seed=seed)
        rounds = replace(self.rounds, config=config)
        learned = [self.studies[row] for row in rows]
        classifier, _ = rounds.final(learned, KeptRound(Team()), epochs=config.epochs, folds=0)
        return _Network(self, classifier)


@dataclass(frozen=True)
class _Network:
    learner: NetworkLearner
    classifier: Classifier

    def answers(self, rows: Sequence[int]) -> Answers:
        rounds = self.learner.rounds
        features, numbers = clip_features(
            self.classifier, [self.learner.studies[row] for row in rows], rounds.shape,
            offset=rounds.task.offset, placement=rounds.placement, cancelled=rounds.observer.cancelled,
        )  # fmt: skip
        return clip_answers(features, _logits(self.classifier, features), numbers, rounds.task.aggregation)


def _logits(classifier: Classifier, features: Floats) -> Floats:
    """(clips, findings): what the head makes of the features."""
    weights = classifier.head.weight.detach().cpu().double().numpy()
    bias = classifier.head.bias.detach().cpu().double().numpy()
    return np.asarray(features @ weights.T + bias)
