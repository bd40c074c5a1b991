"""WarmUp: loads what is served before anybody asks it, at the start and when another version is served."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from itertools import chain, zip_longest

from vpt_plugin.active.served_last import served_versions
from vpt_plugin.errors import VptError
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.tasks import ReadingTask

from .predictors import Predictors

_logger = logging.getLogger(__name__)
# Opening comes first.
_AFTER_SECONDS = 2.0
# So long a reader at the most is the one who loads a new version; for the others it is there.
_LOOK_AGAIN_SECONDS = 10.0


class WarmUp:
    """Has versions loaded and warmed up in the background. Who asks for one meanwhile waits for that.

    Args:
        predictors: warms up what it loads, and keeps a few.
        tasks, models: those that are served.
    """

    def __init__(
        self, predictors: Predictors, tasks: Sequence[ReadingTask], models: Sequence[ModelSpec]
    ) -> None:
        self._predictors = predictors
        self._tasks = {task.name: task for task in tasks}
        self._models = models
        self._thread = threading.Thread(target=self._work, name="vptct-warm-up", daemon=True)

    def open(self) -> None:
        """Begin; to be called once, when the server is about to open."""
        self._thread.start()

    def first(self) -> list[tuple[str, str]]:
        """Task and network of what is loaded at the start, as many as are kept.

        Of each task what was served last, then of each what was before that.
        """
        of_tasks = [
            [(card.task, card.model) for card in served_versions(store, task, self._models).cards]
            for store, task in ((self._predictors.store, task) for task in self._tasks.values())
        ]
        in_turn = [name for name in chain.from_iterable(zip_longest(*of_tasks)) if name]
        return in_turn[: self._predictors.keep]

    def load(self, names: Sequence[tuple[str, str]]) -> None:
        """Load and warm up what is served of these; one that cannot be is told to the log."""
        for task, model in names:
            try:
                self._predictors.current(self._tasks[task], model)
            except VptError as error:
                _logger.warning("%s_%s cannot be loaded ahead: %s", task, model, error)

    def _work(self) -> None:
        never = threading.Event()
        never.wait(_AFTER_SECONDS)
        self._once(at_start=True)
        while not never.wait(_LOOK_AGAIN_SECONDS):
            self._once(at_start=False)

    def _once(self, *, at_start: bool) -> None:
        try:
            self.load(self.first() if at_start else self._predictors.served_anew())
        except VptError as error:
            _logger.info("what is served cannot be told: %s", error)
        except Exception:
            # Whatever it is, the server goes on, and the first reader waits.
            _logger.exception("nothing can be loaded ahead")
