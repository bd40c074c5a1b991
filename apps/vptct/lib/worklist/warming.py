"""Warming: does ahead, in the background, what else the first reader of the day would wait seconds for."""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections.abc import Sequence

from vpt_plugin.active.offers import Wish
from vpt_plugin.active.worklist import Worklist
from vpt_plugin.errors import NotScoredError, VptError
from vpt_plugin.tasks import ReadingTask

_logger = logging.getLogger(__name__)
# Opening comes first.
_AFTER_SECONDS = 2.0
_LIBRARIES = ("skactiveml.pool", "sklearn.cluster", "scipy.stats")


def warm(worklist: Worklist, tasks: Sequence[ReadingTask], *, scoring: bool) -> None:
    """Read the scores, import what chooses by them, and work out what all picks have in common.

    Args:
        worklist: of the server.
        tasks: those that are served.
        scoring: there will be scores, though there are none yet.
    """
    for task in tasks:
        try:
            # The strategy that needs the most; nothing is kept for anybody.
            worklist.ranked(Wish(task.name, strategy="typical"))
        except NotScoredError:
            if scoring:
                for name in _LIBRARIES:
                    importlib.import_module(name)
        except (VptError, OSError) as error:
            _logger.info("nothing can be worked out ahead for %s: %s", task.name, error)


def warm_in_background(
    worklist: Worklist, tasks: Sequence[ReadingTask], *, scoring: bool, after_seconds: float = _AFTER_SECONDS
) -> threading.Thread:
    """The same, a little later, in a thread.

    An ordinary one: while it has Python's lock, or that of the scores, all others wait for it.
    """

    def work() -> None:
        time.sleep(after_seconds)
        try:
            warm(worklist, tasks, scoring=scoring)
        except Exception:
            # Whatever it is, the server goes on, and the first reader waits.
            _logger.exception("nothing can be worked out ahead")

    thread = threading.Thread(target=work, name="vptct-warming", daemon=True)
    thread.start()
    return thread
