"""Training rounds: each begins with a fresh classifier and ends with it in its best state.

One round where a validation side is kept apart. With folds, one round per fold: every study is validated
once, by a network that never saw it (Stone, JRSS B 1974); then a last training on all studies makes the
network that is published, for as many epochs as the folds found best in the median.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor

from vpt_plugin.data.augmentation import Jitter, make_augmentation
from vpt_plugin.data.bags import TrainingBags
from vpt_plugin.data.clip_dataset import ClipShape, CoveringClips, LabelledStudy
from vpt_plugin.errors import TrainingError
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.distributed import Team
from vpt_plugin.training.keeping import Keeping, KeptRound
from vpt_plugin.training.loop import Observer, Placement, TrainingLoop
from vpt_plugin.training.loop_state import network_state, validation_from_state, validation_state
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.training_data import TrainingData
from vpt_plugin.training.validation import StudyAuroc, Validation


@dataclass(frozen=True)
class RoundResult:
    """What a round came to.

    Attributes:
        best: the validation whose network was kept.
        history: all validations, in their order.
    """

    best: Validation
    history: tuple[Validation, ...]

    def to_json(self) -> dict[str, Any]:
        """The figures, for the model card."""
        return {"best_epoch": self.best.epoch, "history": [each.to_json() for each in self.history]}

    def to_state(self) -> dict[str, Any]:
        """As tensors, numbers and words, for whoever goes on after an interruption."""
        return {
            "best_epoch": self.best.epoch,
            "history": [validation_state(each) for each in self.history],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RoundResult:
        """The result that ``to_state`` took apart."""
        history = tuple(validation_from_state(each) for each in state["history"])
        return cls(next(each for each in history if each.epoch == state["best_epoch"]), history)


@dataclass(frozen=True)
class Trained:
    """What all rounds came to.

    Attributes:
        classifier: in the state that is published.
        rounds: one result, or one per fold.
        epochs: after how many the published network was as it is.
        final_losses: with folds, of every epoch of the final training; mean over its steps.
    """

    classifier: Classifier
    rounds: tuple[RoundResult, ...]
    epochs: int
    final_losses: tuple[float, ...] = ()

    def ran_to_the_end(self, epochs: int) -> bool:
        """Whether the last of so many epochs was the best one, in the median of the rounds."""
        return statistics.median(result.best.epoch for result in self.rounds) >= epochs > 1

    def to_json(self) -> dict[str, Any]:
        """The figures, for the model card."""
        if len(self.rounds) == 1:
            return self.rounds[0].to_json()
        return {
            "best_epoch": self.epochs,
            "folds": [result.to_json() for result in self.rounds],
            "final_losses": list(self.final_losses),
        }


@dataclass(frozen=True)
class Rounds:
    """The training rounds of one finetuning.

    Attributes:
        task, spec, config: what is trained.
        shape: of the clips.
        placement: of the network.
        observer: of the training.
        weights: where pretrained weights lie; None takes the folder of this computer.
        own_start: makes the classifier of the site to begin from; None begins as the configuration says.
        team: the processes that train together.
    """

    task: ReadingTask
    spec: ModelSpec
    config: FinetuneConfig
    shape: ClipShape
    placement: Placement
    observer: Observer
    weights: WeightsFolder | None = None
    own_start: Callable[[], Classifier] | None = None
    team: Team = field(default_factory=Team)

    def fresh(self) -> Classifier:
        """A classifier before its first step; the same one every time.

        Raises:
            ConfigurationError, WeightsError: what it starts from is not there.
        """
        if self.own_start is not None:
            return self.own_start()
        return new_classifier(
            self.spec,
            self.task.findings,
            pretraining=self.config.pretraining,
            weights=self.weights,
            seed=self.config.seed,
        )

    def train(self, data: TrainingData, kept: Keeping) -> Trained:
        """All rounds; with folds also the final training on all studies.

        Args:
            data: the studies.
            kept: what is kept for going on after an interruption; finished rounds are not trained again.

        Raises:
            TrainingError, CancelledError: as of ``run``.
        """
        results: list[RoundResult] = []
        for number, each in enumerate(data.rounds, start=1):
            fold = number if data.folds else 0
            classifier, result = self.run(
                each.train, each.validation, kept.round(f"round-{number}"), fold=fold, folds=data.folds
            )
            results.append(result)
        if not data.folds:
            return Trained(classifier, tuple(results), results[0].best.epoch)
        epochs = median_epochs(results)
        classifier, losses = self.final(data.everything, kept.round("final"), epochs=epochs, folds=data.folds)
        return Trained(classifier, tuple(results), epochs, losses)

    def run(
        self,
        train: Sequence[LabelledStudy],
        validation: Sequence[LabelledStudy],
        kept: KeptRound,
        *,
        fold: int = 0,
        folds: int = 0,
    ) -> tuple[Classifier, RoundResult]:
        """Train on some studies and validate on others.

        Args:
            train, validation: the sides; no patient is on both.
            kept: what is kept of this round.
            fold, folds: which of how many, from 1; 0 where there are none.

        Returns:
            The classifier in its best state, and what was found.

        Raises:
            TrainingError: as of ``TrainingLoop.run``.
            CancelledError: the observer said so.
        """
        classifier = self.fresh()
        if (outcome := kept.outcome()) is not None:
            _load(classifier, outcome["network"], self.placement)
            return classifier, RoundResult.from_state(outcome)
        states = np.stack([study.states for study in validation])
        loop = TrainingLoop(
            classifier,
            self._bags(train),
            CoveringClips(validation, self.shape),
            StudyAuroc(states, self.task.aggregation, self.team),
            offset=self.task.offset,
            config=self.config,
            placement=self.placement,
            observer=_of_fold(self.observer, fold, folds),
            after_epoch=kept.save,
            team=self.team,
        )
        kept.resume(loop)
        best = loop.run()
        if best is None:
            raise TrainingError("the training ended before its first validation.")
        result = RoundResult(best, tuple(loop.history))
        kept.finish({"network": network_state(classifier), **result.to_state()})
        return classifier, result

    def final(
        self, studies: Sequence[LabelledStudy], kept: KeptRound, *, epochs: int, folds: int
    ) -> tuple[Classifier, tuple[float, ...]]:
        """Train on all studies, for a number of epochs that the folds found.

        Args:
            studies: all of them.
            kept: what is kept of this round.
            epochs: of the same schedule, which is cut off after them.
            folds: how many there were.

        Returns:
            The classifier after the last epoch, and the loss of each epoch, mean over its steps.

        Raises:
            TrainingError, CancelledError: as of ``run``.
        """
        classifier = self.fresh()
        if (outcome := kept.outcome()) is not None:
            _load(classifier, outcome["network"], self.placement)
            return classifier, tuple(outcome["losses"])
        loop = TrainingLoop(
            classifier,
            self._bags(studies),
            offset=self.task.offset,
            config=self.config,
            placement=self.placement,
            observer=_of_fold(self.observer, 0, folds),
            stop_after=epochs,
            after_epoch=kept.save,
            team=self.team,
        )
        kept.resume(loop)
        loop.run()
        kept.finish({"network": network_state(classifier), "losses": list(loop.losses)})
        return classifier, tuple(loop.losses)

    def _bags(self, studies: Sequence[LabelledStudy]) -> TrainingBags:
        jitter = Jitter(self.config.brightness_gain, self.config.brightness_shift)
        return TrainingBags(
            studies,
            self.shape,
            bags=self.config.steps * self.config.batch,
            bag_clips=self.config.bag_clips,
            seed=self.config.seed,
            augmentation=make_augmentation(self.config.augmentation, self.shape, jitter),
        )


def median_epochs(results: Sequence[RoundResult]) -> int:
    """For how many epochs all studies are trained on: the median of the best ones, rounded up."""
    return math.ceil(statistics.median(result.best.epoch for result in results))


def _load(classifier: Classifier, network: Mapping[str, Tensor], placement: Placement) -> None:
    """The state in which a finished round left the classifier."""
    classifier.load_state_dict(network)
    classifier.to(placement.device)


def _of_fold(observer: Observer, fold: int, folds: int) -> Observer:
    """The same observer, told which fold it is about."""

    def report(now: Progress) -> None:
        observer.report(replace(now, fold=fold, folds=folds))

    return replace(observer, report=report)
