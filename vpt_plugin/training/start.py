"""Start: a published classifier of the site, from which another training begins (``ct``, ``kinetics+ct``,
``imagenet+ct``).

Its head is left behind. What it learned from comes along: a study of a patient it was trained on can no
longer tell honestly how good its descendants are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.errors import ConfigurationError, NotTrainedError, TrainingError
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS, ModelSpec
from vpt_plugin.models.classifier import Classifier, with_new_head
from vpt_plugin.training.config import SITE_PRETRAININGS, FinetuneConfig
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.validation_record import Memory, SeenStudy, ValidationRecord
from vpt_plugin.training.version_folder import split_name

# What a classifier began from -> what a training is called that begins from it.
_CALLED = {
    "none": "ct", "ct": "ct",
    "kinetics": "kinetics+ct", "kinetics+ct": "kinetics+ct",
    "imagenet": "imagenet+ct", "imagenet+ct": "imagenet+ct",
}  # fmt: skip
_NAMES_IN_A_MESSAGE = 3


@dataclass(frozen=True)
class Start:
    """A published classifier to begin from.

    Attributes:
        card: of it.
        seen: the studies it was trained on, and those that the ones were trained on that it began from.
        chosen_by: the studies that its epoch and thresholds were chosen by, and those of what it began from.
        known: whether these are all; a version imported from elsewhere does not say, and so what began there
            does not, either.
    """

    card: ModelCard
    seen: tuple[SeenStudy, ...]
    chosen_by: tuple[SeenStudy, ...]
    known: bool

    @property
    def name(self) -> str:
        """As the setting ``start`` names it, with the version."""
        return f"{self.card.task}_{self.card.model}:{self.card.version}"

    @property
    def note(self) -> str:
        """What to know before relying on figures of what begins here; "" for nothing."""
        if self.known:
            return ""
        return (
            f"{self.name} does not say which studies it was trained on, or what it began from does not. If "
            "patients of the validation side were among them, the figures are too good."
        )

    def classifier(self, store: ModelStore, findings: tuple[str, ...], *, seed: int) -> Classifier:
        """Its backbone with a head for these findings that was never trained.

        Raises:
            WeightsError: its weights are damaged.
        """
        return with_new_head(store.classifier(self.card), findings, seed=seed)

    def require_unseen(self, validated: Iterable[LabelledStudy]) -> None:
        """Refuse to validate what begins here on patients that it was trained on.

        Args:
            validated: the studies of all validation sides.

        Raises:
            TrainingError: names some of the studies, and the ways out.
        """
        memory = Memory(ValidationRecord((), (), self.seen))
        seen = sorted(each.study for each in validated if memory.trained_on(SeenStudy.of(each)))
        if not seen:
            return
        more = f" and {len(seen) - _NAMES_IN_A_MESSAGE} more" if len(seen) > _NAMES_IN_A_MESSAGE else ""
        raise TrainingError(
            f"{self.name} was trained on patients of the validation side "
            f"({', '.join(seen[:_NAMES_IN_A_MESSAGE])}{more}): it would be validated on what it knows.",
            "Put these patients on the training side (the column split of a manifest, with folds 0), "
            "leave them out, or start from another classifier or with another pretraining.",
        )


def find_start(store: ModelStore, spec: ModelSpec, config: FinetuneConfig) -> Start | None:
    """The classifier that a training is to begin from; None where it begins from something else.

    Args:
        store: of the site.
        spec: the network that is to be trained.
        config: of the training.

    Raises:
        ConfigurationError: it is another network, there is no such version, or it began from something that
            makes the pretraining another word.
        ModelCardError: its card, or what it was trained on, cannot be read.
    """
    if config.pretraining not in SITE_PRETRAININGS:
        return None
    name, _, version = config.start.partition(":")
    task, model = split_name(name)
    if model not in MODELS:
        raise ConfigurationError(
            f"start {config.start!r} is no classifier of any network.", _choices(store, spec)
        )
    if model != spec.name:
        raise ConfigurationError(
            f"start {config.start!r} is no {spec.name}, and weights do not fit another network;",
            _choices(store, spec),
        )
    try:
        card = store.card(task, model, int(version) if version else None)
    except NotTrainedError as error:
        raise ConfigurationError(f"start: {error.message}", _choices(store, spec)) from error
    _check_word(card, config)
    record = ValidationRecord.read(store.place(card.task, card.model, card.version))
    if record is None:
        return Start(card, (), (), known=False)
    return Start(card, record.trained_on, record.chosen_by_in_all, known=record.complete)


def _check_word(card: ModelCard, config: FinetuneConfig) -> None:
    called = _CALLED.get(card.pretraining)
    if called is None:
        raise ConfigurationError(
            f"start {config.start!r} began from {card.pretraining!r};",
            f"choose one that began from {' or '.join(_CALLED)}.",
        )
    if called != config.pretraining:
        raise ConfigurationError(
            f"start {config.start!r} began from {card.pretraining!r}, so what begins from it is not "
            f"{config.pretraining!r};",
            f"set pretraining to {called}.",
        )


def _choices(store: ModelStore, spec: ModelSpec) -> str:
    names = [f"{card.task}_{card.model}:{card.version}" for card in store.cards() if card.model == spec.name]
    if not names:
        return f"nothing of the network {spec.name} was published here; choose another pretraining."
    return f"choose from {', '.join(names)}."
