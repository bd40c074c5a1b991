"""Scorer: what one version of a classifier, or a backbone without a head, computes for one study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.active.pool_reader import PoolStudy, StudyContent
from vpt_plugin.active.scores import ScoredBy, StudyScore
from vpt_plugin.ct.aggregation import study_probability
from vpt_plugin.inference.predictor import SYNTHETIC_WARNING, Predictor
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore

ImageFeatures = Callable[[StudyContent], NDArray[np.float32]]


@dataclass(frozen=True)
class Scorer:
    """Computes the score of a study.

    Attributes:
        by: what computes.
        predictor: of the version; of a cold start, with a head that nobody asks.
        warnings: what a person should know of these scores.
        image_features: of a cold start, what is said of a study besides the network's features; None for a
            trained version.
    """

    by: ScoredBy
    predictor: Predictor
    warnings: tuple[str, ...] = ()
    image_features: ImageFeatures | None = None

    def score(self, study: PoolStudy, cancelled: Callable[[], bool]) -> StudyScore:
        """The score of a study; probabilities are those that ``Predictor.predict`` gives.

        Raises:
            TooFewSlicesError, CancelledError, WeightsError, DeviceMemoryError: as ``Predictor.score``.
        """
        answers = self.predictor.score(study.content.slices, study=study.study, cancelled=cancelled)
        embedding = answers.features.mean(axis=0)
        probabilities = disagreement = None
        if self.image_features is not None:
            key_embedding = embedding = np.concatenate([embedding, self.image_features(study.content)])
        else:
            # The clip that speaks most for any finding: its features are what a reader would look at.
            key_embedding = answers.features[answers.probabilities.max(axis=1).argmax()]
            probabilities = study_probability(answers.probabilities, self.predictor.task.aggregation)
            disagreement = answers.probabilities.std(axis=0)
        return StudyScore(
            study=study.study,
            identity=study.identity,
            embedding=embedding,
            key_embedding=key_embedding,
            probabilities=probabilities,
            disagreement=disagreement,
            clips=len(answers.features),
            study_date=study.study_date,
            synthetic=study.content.synthetic,
        )


def scorer_of_version(
    store: ModelStore, task: ReadingTask, model: str, version: int | None = None, *, device: str = "auto"
) -> Scorer:
    """The scorer of a published version; the served one unless one is given.

    Raises:
        NotTrainedError, WeightsError, UnknownModelError: as ``ModelStore.load``.
        ConfigurationError, DeviceMemoryError: as ``Predictor``.
    """
    classifier, card = store.load(task, model, version)
    predictor = Predictor(classifier, task, card, device=device)
    return Scorer(ScoredBy.of_card(card), predictor, (SYNTHETIC_WARNING,) if card.synthetic else ())
