"""Other versions of a model, beside the one that ``vpt classify`` answers with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vpt_plugin.ct.reduced import ReducedStudy
from vpt_plugin.inference import Prediction, Predictor
from vpt_plugin.inference.versions import ask_versions
from vpt_plugin.models.card import ModelCard
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.other_versions import loaded, other_versions


@dataclass(frozen=True)
class Others:
    """Other versions, ready to answer.

    Attributes:
        predictors: of them; none where nobody asked for them.
        notes: what a reader should know of those that are not among them, one sentence each.
    """

    predictors: tuple[Predictor, ...] = ()
    notes: tuple[str, ...] = ()

    def asked(
        self, prediction: Prediction, study: ReducedStudy, *, cancelled: Callable[[], bool] | None = None
    ) -> Prediction:
        """The answer with what they say of the study; errors as of ``ask_versions``."""
        return ask_versions(prediction, self.predictors, study, notes=self.notes, cancelled=cancelled)


def others_of(
    store: ModelStore, task: ReadingTask, card: ModelCard, most: int, make: Callable[..., Predictor]
) -> Others:
    """The newest versions but the one that answers.

    Args:
        store: where they lie.
        task: that is read.
        card: of the version that answers.
        most: how many are wanted; 0 asks none.
        make: makes a predictor of a classifier and ``card``, its card.

    Raises:
        ConfigurationError: more than can be asked.
        NotTrainedError, WeightsError: as of ``ModelStore.load``.
    """
    if most == 0:
        return Others()
    found = other_versions(store, task, card, most)
    predictors = loaded(store, task, found.cards, lambda network, its_card: make(network, card=its_card))
    return Others(tuple(predictors), found.notes)
