"""Figures: what labels and offers say of a task: how readers agree, a fair sample, whether to train again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from vpt_plugin.active.agreement import read_agreement
from vpt_plugin.active.prospective import read_prospective
from vpt_plugin.active.retrain import RetrainAdvice
from vpt_plugin.active.retrain_watch import RetrainWatch
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.leases import LeaseBook
from vpt_plugin.tasks import ReadingTask

# What is served may change without any label: so old an advice may be.
_ADVICE_SECONDS = 10.0


class Figures:
    """Works a figure out again when a label or an offer is new; several threads may ask.

    Args:
        labels: what readers said.
        leases: what was offered.
        watch: says whether a training is due.
        seed: of the order of ``random`` and of the bootstrap.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        labels: LabelFolder,
        leases: LeaseBook,
        watch: RetrainWatch,
        *,
        seed: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._labels = labels
        self._leases = leases
        self._watch = watch
        self._seed = seed
        self._clock = clock
        self._known: dict[Hashable, tuple[Hashable, dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def retrain(
        self, task: ReadingTask, model: str, there: Sequence[str], work_out: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Whether a training of this network is due; ``there`` are the studies that are there."""
        stamp = (model, len(there), self._clock() // _ADVICE_SECONDS)
        return self._remembered("retrain", task, stamp, work_out)

    def advice(
        self, task: ReadingTask, model: str, there: Sequence[str], tried_with: int = 0
    ) -> RetrainAdvice:
        """Whether it is due, worked out now; ``tried_with`` as of ``RetrainEvidence``."""
        return self._watch.advice(task, model, there=set(there), tried_with=tried_with)

    def agreement(self, task: ReadingTask) -> dict[str, Any]:
        """How the readers of a task agree, ``vptct.agreement/1``."""
        return self._remembered(
            "agreement",
            task,
            (),
            lambda: read_agreement(
                task.name, task.findings, self._labels, self._leases.history(), seed=self._seed
            ).to_json(),
        )

    def prospective(self, task: ReadingTask, there: Sequence[str]) -> dict[str, Any]:
        """What the random picks say of all studies."""
        return self._remembered(
            "prospective",
            task,
            (len(there),),
            lambda: read_prospective(
                task, there, self._labels, self._leases.history(), seed=self._seed
            ).to_json(),
        )

    def _remembered(
        self, what: str, task: ReadingTask, stamp: Hashable, work_out: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        labels = tuple(
            (saved.study, saved.version) for saved in self._labels.newest() if saved.task == task.name
        )
        now = (stamp, hash(labels), len(self._leases.history().events))
        # Of several who ask at once one works it out, the others wait for that.
        with self._lock:
            known = self._known.get((what, task.name))
            if known is None or known[0] != now:
                known = (now, work_out())
                self._known[what, task.name] = known
            return known[1]
