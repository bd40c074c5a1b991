"""Whether a version can answer for a task: the same findings, studies read in the same way, sound weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vpt_plugin.errors import ModelCardError
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.tasks import TASKS, ReadingTask
from vpt_plugin.training.reading import reading_difference, reading_facts
from vpt_plugin.training.version_folder import VersionFolder


def require_answering(folder: VersionFolder, card: ModelCard) -> None:
    """Refuse a version that could not answer. A site's own task is not known here: its server refuses it.

    Raises:
        UnknownModelError: this VPTCT does not have the network.
        WeightsError: its weights are damaged, or it was trained in another way than the task is read.
    """
    if card.task in TASKS:
        check_task(card, TASKS[card.task], reading_facts(TASKS[card.task], get_model(card.model)))
    folder.classifier(card)


def check_task(card: ModelCard, task: ReadingTask, reading: Mapping[str, Any]) -> None:
    """Refuse a classifier that was trained for other findings, or on studies read in another way.

    Args:
        card: of the classifier.
        task: that it is asked for.
        reading: how studies are read now (``vpt_plugin.training.reading``).

    Raises:
        ModelCardError: names the difference.
    """
    difference = ""
    if card.findings != task.findings:
        difference = f"for {', '.join(card.findings)}, the task asks for {', '.join(task.findings)}"
    elif card.reading:  # a card written by hand says nothing of it
        difference = reading_difference(card.reading, reading)
        difference = difference and f"with {difference}"
    if difference:
        raise ModelCardError(
            f"{card.task}_{card.model} version {card.version} was trained {difference}.",
            "Train it again, or use the task file it was trained with.",
        )
