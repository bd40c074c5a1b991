"""Which other versions of a model may be asked about a study beside the one that answers.

Kept are all published versions, served or not, until ``vpt versions prune`` removes them. Of folds only the
network that was trained on all studies is published; those of the single folds go with the run folder
(``vpt_plugin.training.keeping``), so they cannot be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vpt_plugin.ct.reduced import ReducedStudy
from vpt_plugin.errors import ConfigurationError, ModelCardError, NotTrainedError
from vpt_plugin.inference import Prediction, Predictor
from vpt_plugin.inference.versions import OtherVersion, ask_versions
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.answering import check_task
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.reading import reading_facts
from vpt_plugin.words import count_in_words, number_in_words

MOST_VERSIONS = 10


@dataclass(frozen=True)
class OtherVersions:
    """The other versions that can be asked.

    Attributes:
        cards: of them, the newest first.
        notes: what a reader should know of those that are not among them, one sentence each.
    """

    cards: tuple[ModelCard, ...] = ()
    notes: tuple[str, ...] = ()

    def asked(
        self,
        prediction: Prediction,
        study: ReducedStudy,
        *,
        store: ModelStore,
        task: ReadingTask,
        make: Callable[[Classifier, ModelCard], Predictor],
        cancelled: Callable[[], bool] | None = None,
    ) -> Prediction:
        """The answer with what they say of the study; as it is where nobody asked for them.

        Args:
            prediction: of the version that answers.
            study: that it is of.
            store, task, make: as of ``to_be_asked``.
            cancelled: asked before every batch.

        Raises:
            ConfigurationError, TooFewSlicesError, CancelledError: as of ``ask_versions``.
        """
        if not self.cards and not self.notes:
            return prediction
        # A version may have been published since they were chosen, and answers now.
        cards = [card for card in self.cards if card.version != prediction.card.version]
        others = to_be_asked(store, task, cards, make)
        return ask_versions(prediction, others, study, notes=self.notes, cancelled=cancelled)


def other_versions(store: ModelStore, task: ReadingTask, card: ModelCard, most: int) -> OtherVersions:
    """The newest versions of a model but the one that answers.

    Left out, and told, are those whose card is damaged, those that read studies in another way, and those
    that were measured to be no better than chance: what they say differs, and it means nothing.

    Args:
        store: where they lie.
        task: that is read.
        card: of the version that answers.
        most: how many are wanted, from 1 to ``MOST_VERSIONS``.

    Raises:
        ConfigurationError: a number outside of that.
    """
    check_number(most)
    chosen: list[ModelCard] = []
    notes: list[str] = []
    for version in sorted(store.versions(card.task, card.model), reverse=True):
        if version == card.version or len(chosen) == most:
            continue
        try:
            other = _asked(store, task, card.model, version)
        # Another process may remove versions meanwhile.
        except (ModelCardError, NotTrainedError) as error:
            notes.append(f"version {version} was not asked: {error.message.rstrip('.')}")
        else:
            chosen.append(other)
    if not chosen and not notes:
        notes.append(f"there is no other version of {card.task}_{card.model}")
    elif len(chosen) < most:
        there = f"{number_in_words(len(chosen))} can answer"
        notes.append(f"{count_in_words(most, 'other version')} asked for; {there}")
    return OtherVersions(tuple(chosen), tuple(notes))


def to_be_asked(
    store: ModelStore,
    task: ReadingTask,
    cards: Iterable[ModelCard],
    make: Callable[[Classifier, ModelCard], Predictor],
) -> tuple[OtherVersion, ...]:
    """Versions for ``ask_versions``, each loaded anew when it is its turn.

    Args:
        store: where the versions lie.
        task: that is read.
        cards: of the versions.
        make: makes a predictor of a classifier and its card, as the one that answers was made.
    """

    def of(card: ModelCard) -> OtherVersion:
        return OtherVersion(card.version, lambda: make(*store.load(task, card.model, card.version)))

    return tuple(of(card) for card in cards)


def check_number(most: int) -> None:
    """Refuse a number of other versions that cannot be asked.

    Raises:
        ConfigurationError: names what can.
    """
    if not 1 <= most <= MOST_VERSIONS:
        raise ConfigurationError(
            f"{most} other versions cannot be asked;", f"ask for 1 to {MOST_VERSIONS} of them."
        )


def _asked(store: ModelStore, task: ReadingTask, model: str, version: int) -> ModelCard:
    """The card of a version that can be asked.

    Raises:
        ModelCardError: says why it cannot.
        NotTrainedError: it has just been removed.
    """
    card = store.card(task.name, model, version)
    check_task(card, task, reading_facts(task, get_model(model)))
    for finding, auroc in card.validation_auroc.items():
        if auroc.value <= 0.5:
            raise ModelCardError(
                f"its AUROC for {finding} on its validation studies is {auroc.value:.3f}, as good as chance"
            )
    return card
