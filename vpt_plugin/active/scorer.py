"""Scorer: what computes the score of a study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from vpt_plugin.active.pool_reader import PoolStudy
from vpt_plugin.active.scores import ScoredBy, StudyScore
from vpt_plugin.ct.aggregation import study_probability
from vpt_plugin.inference.fitness import SYNTHETIC_WARNING
from vpt_plugin.inference.predictor import Predictor
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore


class Scorer(Protocol):
    """Computes the score of one study after the other."""

    @property
    def by(self) -> ScoredBy:
        """What computes."""

    @property
    def pixels(self) -> int:
        """Side of the slices that it takes."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know of these scores, a sentence each, without a full stop."""

    def score(self, study: PoolStudy, cancelled: Callable[[], bool]) -> StudyScore:
        """The score of a study.

        Raises:
            TooFewSlicesError, CancelledError, WeightsError, DeviceMemoryError: as ``Predictor.score``.
        """


@dataclass(frozen=True)
class VersionScorer:
    """A published version; its probabilities are those that ``Predictor.predict`` gives.

    Attributes:
        by: the version.
        predictor: of the version.
    """

    by: ScoredBy
    predictor: Predictor

    @property
    def pixels(self) -> int:
        """Side of the slices that the network takes before the crop."""
        return self.predictor.spec.resize_px

    @property
    def warnings(self) -> tuple[str, ...]:
        """That it learned from phantoms only, where it did."""
        return (SYNTHETIC_WARNING,) if self.predictor.card.synthetic else ()

    def score(self, study: PoolStudy, cancelled: Callable[[], bool]) -> StudyScore:
        """The score of a study, see ``Scorer``."""
        answers = self.predictor.score(study.content.slices, study=study.study, cancelled=cancelled)
        # The clip that speaks most for any finding: what a reader would look at.
        loudest = int(answers.probabilities.max(axis=1).argmax())
        return StudyScore(
            study=study.study,
            identity=study.identity,
            embedding=answers.features.mean(axis=0),
            key_embedding=answers.features[loudest],
            probabilities=study_probability(answers.probabilities, self.predictor.task.aggregation),
            disagreement=answers.probabilities.std(axis=0),
            clips=len(answers.features),
            study_date=study.study_date,
            synthetic=study.content.synthetic,
        )


def way_of(predictor: Predictor) -> str:
    """What really computes, as ``ScoredBy.way`` has it, whatever was asked for."""
    return f"{predictor.engine.name}-{predictor.engine.precision}"


def scorer_of_version(
    store: ModelStore,
    task: ReadingTask,
    model: str,
    version: int | None = None,
    *,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
) -> VersionScorer:
    """The scorer of a published version; the served one unless one is given.

    Raises:
        NotTrainedError, WeightsError, UnknownModelError: as ``ModelStore.load``.
        ConfigurationError, DeviceMemoryError: as ``Predictor``.
    """
    classifier, card = store.load(task, model, version)
    predictor = Predictor(
        classifier, task, card, device=device, backend=backend, precision=precision, many_studies=True
    )
    return VersionScorer(ScoredBy.of_card(card, way_of(predictor)), predictor)
