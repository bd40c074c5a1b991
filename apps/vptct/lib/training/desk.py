"""TrainingDesk: what the routes and ``GET /info/`` ask about trainings, all in one place."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Mapping
from typing import Any

from vpt_plugin.errors import UnknownModelError
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.source import StudySource
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore

from ..conf import AppConf
from ..plain import Plain
from .folder import JobFolder
from .orders import Orders
from .queue import Trainings
from .record import QUEUED
from .told import record_info, train_stats, training_info

# Who ordered a training that no person did.
BY_RULE = "retrain rule"


class TrainingDesk:
    """Takes orders, and tells how they go.

    Args:
        trainings: the queue.
        orders: makes jobs of what clients send.
        offered: what can be trained, by its name.
    """

    def __init__(
        self, trainings: Trainings, orders: Orders, offered: Mapping[str, tuple[ReadingTask, ModelSpec]]
    ) -> None:
        self.trainings = trainings
        self._orders = orders
        self._offered = offered

    @classmethod
    def of(
        cls,
        studies: str,
        conf: AppConf,
        labels: LabelFolder,
        store: ModelStore,
        source: Callable[[], StudySource],
    ) -> TrainingDesk:
        """The desk of a server, for all of its tasks and networks.

        Args:
            studies: what ``--studies`` says.
            conf: of the server.
            labels: of the studies.
            store: where classifiers are published.
            source: gives the studies themselves; asked at each order.
        """
        offered = {f"{task.name}_{spec.name}": (task, spec) for task in conf.tasks for spec in conf.models}
        orders = Orders(studies, conf, labels, store, source)
        return cls(Trainings(JobFolder(store.root), labels_of=orders.labels_of), orders, offered)

    def open(self) -> None:
        """Go on where an earlier server was; to be called when the server opens. It closes by itself."""
        atexit.register(self.trainings.close)
        self.trainings.open()

    def order(
        self, name: str, settings: Mapping[str, Any], *, by: str, plain: Plain, note: str = ""
    ) -> dict[str, Any]:
        """Order a training.

        Args:
            name: ``<task>_<model>``.
            settings: of the training.
            by: who orders it.
            plain: takes the server's folders out of a text.
            note: why, for its notes.

        Raises:
            UnknownModelError: names those that can be trained.
            ConfigurationError, TrainingError: it cannot be done.
        """
        if name not in self._offered:
            raise UnknownModelError(name[:100], list(self._offered))
        return record_info(
            self.trainings.submit(self._orders.job(*self._offered[name], settings, by=by), note=note), plain
        )

    def one(self, number: int, plain: Plain) -> dict[str, Any]:
        """One training.

        Raises:
            NothingThereError: there is none of this number.
        """
        return record_info(self.trainings.get(number), plain)

    def ordered_last(self, task: str) -> str:
        """The network of this task that a person had trained last; "" for none."""
        by_people = [
            each.job.model
            for each in self.trainings.records()
            if each.job.task == task and each.job.by != BY_RULE
        ]
        return by_people[-1] if by_people else ""

    def in_hand(self, name: str) -> str:
        """``training 3 of nodule_tiny runs``, or waits; "" where there is none of this name."""
        mine = [each for each in self.trainings.records() if each.name == name and each.waits_or_runs]
        if not mine:
            return ""
        return f"training {mine[0].number} of {name} {'waits' if mine[0].state == QUEUED else 'runs'}"

    def info(self, plain: Plain, *, all_of_them: bool = False) -> dict[str, Any]:
        """What runs, what waits, and how the last ones ended."""
        return training_info(
            self.trainings.records(), problem=self.trainings.problem, plain=plain, all_of_them=all_of_them
        )

    def stats(self) -> dict[str, dict[str, Any]]:
        """MONAI Label's ``train_stats``."""
        return train_stats(self.trainings.records())

    def stop(self, number: int, *, by: str, plain: Plain) -> dict[str, Any]:
        """End one training; its process is gone when this returns.

        Raises:
            NothingThereError: there is none of this number.
        """
        return record_info(self.trainings.stop(number, by=by), plain)

    def stop_all(self, *, by: str, plain: Plain) -> list[dict[str, Any]]:
        """End the one that runs and those that wait, the last one first, so that none gets its turn."""
        waiting = [each.number for each in self.trainings.records() if each.waits_or_runs]
        return [self.stop(number, by=by, plain=plain) for number in reversed(waiting)]
