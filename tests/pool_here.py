"""PoolHere: stands for WorkerPool where no process is needed, so that a test takes no seconds to start."""

from __future__ import annotations

from collections import deque

from vpt_plugin.bulk.pool import Lost
from vpt_plugin.bulk.rows import Refusal, StudyAnswer
from vpt_plugin.bulk.source import Where
from vpt_plugin.bulk.worker import StudyWorker, WorkerSettings

_IN_HAND = 2


class WorkerEnds(BaseException):
    """What an opener raises to end the worker that called it."""


class PoolHere:
    """One real worker, in this very process; it answers when it is asked what came back."""

    ready = 1

    def __init__(self, settings: WorkerSettings, workers: int, *, cpus: float, gpus: float) -> None:
        self._worker = StudyWorker(settings)
        self._worker.load()
        self._in_hand: deque[tuple[str, Where]] = deque()

    @property
    def busy(self) -> bool:
        return bool(self._in_hand)

    def hand_out(self, study: str, where: Where, *, alone: bool = False) -> bool:
        if len(self._in_hand) >= (1 if alone else _IN_HAND):
            return False
        self._in_hand.append((study, where))
        return True

    def take(self, *, wait_seconds: float) -> list[StudyAnswer | Refusal | Lost]:
        if not self._in_hand:
            return []
        study, where = self._in_hand.popleft()
        try:
            return [self._worker.answer(study, where)]
        except WorkerEnds:
            lost = [Lost(study, "it crashed."), *(Lost(other, "it crashed.") for other, _ in self._in_hand)]
            self._in_hand.clear()
            return lost

    def close(self) -> None:
        self._in_hand.clear()
