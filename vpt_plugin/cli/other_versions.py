"""Other versions of a model, beside the one that ``vpt classify`` answers with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from vpt_plugin.inference import Prediction, Predictor
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.other_versions import OtherVersions, other_versions

# Takes an answer and the study, and ``cancelled``; gives the answer with what other versions say.
Ask = Callable[..., Prediction]


def ask_others(
    store: ModelStore, task: ReadingTask, card: ModelCard, most: int, make: Callable[..., Predictor]
) -> Ask:
    """How each answer comes to have what the newest versions but the one that answers say.

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
    chosen = other_versions(store, task, card, most) if most else OtherVersions()

    def made(network: Classifier, its_card: ModelCard) -> Predictor:
        # For one study: a backend that starts slowly never pays.
        return make(network, card=its_card, many_studies=False)

    return partial(chosen.asked, store=store, task=task, make=made)
