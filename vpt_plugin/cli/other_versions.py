"""Other versions of a model, beside the one that ``vpt classify`` answers with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vpt_plugin.ct.reduced import ReducedStudy
from vpt_plugin.inference import Prediction, Predictor
from vpt_plugin.inference.versions import OtherVersion, ask_versions
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.other_versions import other_versions, to_be_asked


@dataclass(frozen=True)
class Others:
    """Other versions that are asked about every study.

    Attributes:
        versions: which; none where nobody asked for them.
        notes: what a reader should know of those that are not among them, one sentence each.
    """

    versions: tuple[OtherVersion, ...] = ()
    notes: tuple[str, ...] = ()

    def asked(
        self, prediction: Prediction, study: ReducedStudy, *, cancelled: Callable[[], bool] | None = None
    ) -> Prediction:
        """The answer with what they say of the study; errors as of ``ask_versions``."""
        return ask_versions(prediction, self.versions, study, notes=self.notes, cancelled=cancelled)


def others_of(
    store: ModelStore, task: ReadingTask, card: ModelCard, most: int, make: Callable[..., Predictor]
) -> Others:
    """The newest versions but the one that answers.

    Each is loaded anew for every study, so that however many are asked one of them is in memory at a time.

    Args:
        store: where they lie.
        task: that is read.
        card: of the version that answers.
        most: how many are wanted; 0 asks none.
        make: makes a predictor of a classifier and ``card``, its card.

    Raises:
        ConfigurationError: more than can be asked.
    """
    if most == 0:
        return Others()
    found = other_versions(store, task, card, most)

    def made(network: Classifier, its_card: ModelCard) -> Predictor:
        # For one study: a backend that starts slowly never pays.
        return make(network, card=its_card, many_studies=False)

    return Others(to_be_asked(store, task, found.cards, made), found.notes)
