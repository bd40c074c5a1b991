"""RetrainStarter: orders a training when one is due, where the site wants that (``--conf retrain start``)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vpt_plugin.active.retrain import RetrainAdvice
from vpt_plugin.errors import VptError
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.tasks import ReadingTask

from .training.desk import BY_RULE, TrainingDesk
from .training.record import DONE, QUEUED, Record

_logger = logging.getLogger(__name__)
# Labels may be saved, and versions chosen, by other programs, too.
_LOOK_SECONDS = 60.0
# A reader who saves one label saves the next one soon.
_AFTER_A_LABEL_SECONDS = 2.0
# Which network of a task would be trained, "" for none, and whether that is due.
Advice = Callable[[ReadingTask, int], tuple[str, RetrainAdvice]]


class RetrainStarter:
    """Looks after every label, and every minute, whether a training is due, and orders it; at most one waits.

    Labels that were there when the last training was ordered, and that no version knows since, make none due:
    it failed, was stopped or interrupted, or could not use them. Whatever ended it, also the end of a server
    that it brought down, would most likely end the next one, too; a person may order it at any time.

    Args:
        tasks: those that are served.
        desk: takes the order.
        advice: says which network, and whether a training is due, given how many new labels there were at the
            last one that came to nothing.
        labels: of the studies.
        look_seconds: how often it looks.
    """

    def __init__(
        self,
        tasks: Sequence[ReadingTask],
        desk: TrainingDesk,
        advice: Advice,
        labels: LabelFolder,
        *,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._tasks = tuple(tasks)
        self._desk = desk
        self._advice = advice
        self._labels = labels
        self._look_seconds = look_seconds
        self._problems: dict[str, str] = {}
        self._label_saved = threading.Event()

    def open(self) -> None:
        """Begin to look; to be called when the server opens."""
        threading.Thread(target=self._work, name="vptct-retraining", daemon=True).start()

    def label_saved(self) -> None:
        """Look soon."""
        self._label_saved.set()

    def problem(self, task: str) -> str:
        """Why a training of this task that is due could not be ordered; "" where nothing is in the way."""
        return self._problems.get(task, "")

    def look(self) -> None:
        """Order what is due now."""
        for task in self._tasks:
            try:
                self._problems[task.name] = self._look_at(task)
            except Exception as error:
                # Whatever it is, the other tasks and the next look have their turn.
                _logger.exception("whether a training of %s is due cannot be told", task.name)
                self._problems[task.name] = f"whether a training is due cannot be told: {error}."

    def _work(self) -> None:
        while True:
            if self._label_saved.wait(self._look_seconds):
                time.sleep(_AFTER_A_LABEL_SECONDS)
                self._label_saved.clear()
            self.look()

    def _look_at(self, task: ReadingTask) -> str:
        """Order a training of this task where it is due; why it cannot be ordered, "" where nothing is."""
        model, advice = self._advice(task, 0)
        if not model:
            return ""
        records = self._desk.trainings.records()
        mine = [each for each in records if each.name == f"{task.name}_{model}"]
        if not advice.due or any(each.waits_or_runs for each in mine):
            return ""
        waiting = next((each for each in records if each.state == QUEUED and each.job.by == BY_RULE), None)
        if waiting is not None:
            return f"it is ordered when training {waiting.number}, of {waiting.name}, waits no longer."
        tried_with = self._tried_with(task, mine, advice.new_labels)
        if tried_with and not self._advice(task, tried_with)[1].due:
            return ""
        try:
            ordered = self._desk.order(
                f"{task.name}_{model}", _last_settings(mine), by=BY_RULE, note=advice.why, plain=str
            )
        except (VptError, OSError) as error:
            if str(error) != self._problems.get(task.name):
                _logger.warning("a training of %s_%s is due, but refused: %s", task.name, model, error)
            return str(error)
        _logger.info("training %d was ordered: %s", ordered["id"], advice.why)
        return ""

    def _tried_with(self, task: ReadingTask, mine: Sequence[Record], new_labels: int) -> int:
        """How many of the labels that no version knows were there when the last training was ordered."""
        if not mine:
            return 0
        # By the first label of each study: a correction makes no study new.
        firsts = [versions[0].saved for versions in self._labels.histories(task.name)]
        return max(0, new_labels - sum(saved > mine[-1].created for saved in firsts))


def _last_settings(mine: Sequence[Record]) -> Mapping[str, Any]:
    """The settings of the last training that ended well on this server; without one, the usual ones."""
    return next((each.job.settings for each in reversed(mine) if each.state == DONE), {})
