"""Training rounds: each begins with a fresh classifier and ends with it in its best state.

One round where a validation side is kept apart. With folds, one round per fold: every study is validated
once, by a network that never saw it (Stone, JRSS B 1974); then a last training on all studies makes the
network that is published, for as many epochs as were best over all folds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor

from vpt_plugin.data.augmentation import Jitter, make_augmentation
from vpt_plugin.data.bags import TrainingBags
from vpt_plugin.data.clip_dataset import ClipShape, CoveringClips, LabelledStudy
from vpt_plugin.errors import TrainingError
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.distributed import Team
from vpt_plugin.training.keeping import Keeping, KeptRound
from vpt_plugin.training.loop import Observer, Placement, TrainingLoop
from vpt_plugin.training.loop_state import network_state
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.rate_search import RATES, RateSearch, search_rate, search_sides
from vpt_plugin.training.trained import RoundResult, Trained, common_epoch, measured
from vpt_plugin.training.training_data import Round, TrainingData
from vpt_plugin.training.validation import StudyAuroc, Validation
from vpt_plugin.training.validator import ValidationSide


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

    def blank_card(self) -> ModelCard:
        """The card of what is trained, as far as it is known before anything is measured."""
        return ModelCard(
            self.task.name, self.spec.name, self.task.findings, self.config.pretraining, self.shape.length
        )

    def train(self, data: TrainingData, kept: Keeping) -> Trained:
        """The search for a learning rate, if wanted, and all rounds; with folds the final training on all.

        Args:
            data: the studies.
            kept: what is kept for going on after an interruption; finished rounds are not trained again.

        Raises:
            TrainingError, CancelledError: as of ``run``.
        """
        if self.config.rate_search:
            search = self._search(data.rounds[0], kept.round("rate"))
            searched = replace(self.config, learning_rate=search.chosen, rate_search=False)
            return replace(replace(self, config=searched).train(data, kept), rate_search=search)
        results: list[RoundResult] = []
        for number, each in enumerate(data.rounds, start=1):
            fold = number if data.folds else 0
            classifier, result = self.run(
                each.train, each.validation, kept.round(f"round-{number}"), fold=fold, folds=data.folds
            )
            results.append(result)
        if not data.folds:
            return Trained(classifier, tuple(results), results[0].best.epoch)
        epochs = common_epoch(results)
        classifier, losses = self.final(data.everything, kept.round("final"), epochs=epochs, folds=data.folds)
        return Trained(classifier, measured(results), epochs, losses)

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
        loop = self._loop(
            classifier, train, validation, _of_fold(self.observer, fold, folds), after_epoch=kept.save
        )
        kept.resume(loop)
        best = loop.run()
        if best is None:
            raise TrainingError("the training ended before its first validation.")
        result = RoundResult(best, tuple(loop.history), loop.micro_batch)
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
        observer = _of_fold(self.observer, 0, folds)
        loop = self._loop(classifier, studies, None, observer, stop_after=epochs, after_epoch=kept.save)
        kept.resume(loop)
        loop.run()
        kept.finish({"network": network_state(classifier), "losses": list(loop.losses)})
        return classifier, tuple(loop.losses)

    def _loop(
        self,
        classifier: Classifier,
        train: Sequence[LabelledStudy],
        validation: Sequence[LabelledStudy] | None,
        observer: Observer,
        *,
        stop_after: int | None = None,
        after_epoch: Callable[[TrainingLoop], None] = lambda loop: None,
    ) -> TrainingLoop:
        return TrainingLoop(
            classifier,
            self._bags(train),
            None if validation is None else self._side(validation),
            offset=self.task.offset,
            config=self.config,
            placement=self.placement,
            observer=observer,
            stop_after=stop_after,
            after_epoch=after_epoch,
            team=self.team,
        )

    def _side(self, studies: Sequence[LabelledStudy]) -> ValidationSide:
        states = np.stack([study.states for study in studies])
        auroc = StudyAuroc(states, self.task.aggregation, self.team)
        return ValidationSide(CoveringClips(studies, self.shape), auroc)

    def _search(self, first: Round, kept: KeptRound) -> RateSearch:
        """The learning rate for all rounds, found within the training side of the first one."""
        if (outcome := kept.outcome()) is not None:
            return RateSearch.from_json(outcome)
        search = search_rate(
            self.config, *search_sides(first.train), self._try_out,
            told=lambda note: self.observer.report(Progress(state="searching", note=note)),
        )  # fmt: skip
        kept.finish(search.to_json())
        return search

    def _try_out(
        self, config: FinetuneConfig, train: Sequence[LabelledStudy], validation: Sequence[LabelledStudy]
    ) -> Validation | None:
        short = replace(self, config=config)
        loop = short._loop(short.fresh(), train, validation, _searching(self.observer, config))
        try:
            return loop.run()
        except TrainingError:
            if not loop.diverged:
                raise
            return None

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


def _load(classifier: Classifier, network: Mapping[str, Tensor], placement: Placement) -> None:
    """The state in which a finished round left the classifier."""
    classifier.load_state_dict(network)
    classifier.to(placement.device)


def _searching(observer: Observer, config: FinetuneConfig) -> Observer:
    """The same observer, told how far the search for a learning rate is with one of them."""
    before = RATES.index(config.rate) * config.steps

    def report(now: Progress) -> None:
        # The time left is that of this rate alone, and the search ends with the last of them.
        observer.report(
            replace(
                now,
                state="searching",
                step=before + now.step,
                steps=len(RATES) * config.steps,
                seconds_left=None,
            )
        )

    return replace(observer, report=report)


def _of_fold(observer: Observer, fold: int, folds: int) -> Observer:
    """The same observer, told which fold it is about, and the time left in all of them.

    Of the folds to come and of the final training it is taken that each lasts as long as this one.
    """
    began = time.monotonic()
    to_come = folds - fold + 1 if fold else 0

    def report(now: Progress) -> None:
        left = now.seconds_left
        if left is not None:
            left += to_come * (time.monotonic() - began + left)
        observer.report(replace(now, fold=fold, folds=folds, seconds_left=left))

    return replace(observer, report=report)
