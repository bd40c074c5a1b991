"""Worklist: which study a reader labels next; used by the server and the command line alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vpt_plugin.active.offers import ActiveSettings

if TYPE_CHECKING:
    from vpt_plugin.store.labels import LabelFolder
    from vpt_plugin.store.leases import LeaseBook
    from vpt_plugin.store.source import StudySource
    from vpt_plugin.tasks import ReadingTask
    from vpt_plugin.training.model_store import ModelStore


class Worklist:
    """Chooses among the studies without a label and gives them out; several threads may ask.

    Nothing in it reads a study or computes a network: the scores were written by a scoring, and are read once
    per version. ``next(wish) -> Offer`` leases what it gives, ``ranked(wish) -> Offer`` leases nothing,
    ``state(task) -> WorklistState`` counts.

    Args:
        studies: where they come from.
        labels: what readers said about them.
        models: the model store; the scores lie beside its versions.
        leases: who has which study at the moment, and who had.
        tasks: those that may be asked for.
        settings: how the site wants it.
    """

    def __init__(
        self,
        studies: StudySource,
        labels: LabelFolder,
        models: ModelStore,
        leases: LeaseBook,
        tasks: Sequence[ReadingTask],
        settings: ActiveSettings,
    ) -> None:
        self._studies = studies
        self._labels = labels
        self._models = models
        self._leases = leases
        self._tasks = {task.name: task for task in tasks}
        self.settings = settings
