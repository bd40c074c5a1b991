"""Jobs: long work in threads of its own, whose results come in the main thread.

A thread of Python runs in Slicer only while the main thread runs or waits in Python: while jobs run, a timer
makes it wait there for a moment, twenty times a second.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Callable, Generic, TypeVar

from .errors import UnexpectedError, VptctError
from .signal import log_fault
from .ticker import Ticker, Timer
from .transport.cancel import Cancel

T = TypeVar("T")
OnProgress = Callable[[int, int], object]

POLL_SECONDS = 0.05
# How long the main thread lets the others run at each poll; get_nowait() makes uploads 13 times slower.
_YIELD_SECONDS = 0.02
# How long the end waits in all; a disk that takes longer than this does not come back soon.
_FINISH_SECONDS = 2.0
_log = logging.getLogger(__name__)


@dataclass
class Work:
    """What a call that runs in a thread is given. It touches neither Qt nor the scene.

    Attributes:
        cancel: to be handed to requests, and looked at between them.
        latest: progress that was told last, as (done, total).
    """

    cancel: Cancel = field(default_factory=Cancel)
    latest: tuple[int, int] | None = None

    def progress(self, done: int, total: int) -> None:
        """Tell how far it is; what is told faster than the panel can show is left out."""
        self.latest = (done, total)


class Job(Generic[T]):
    """One call. Made by ``Jobs.start``; all but the call happens in the main thread."""

    def __init__(
        self,
        done: Callable[[T], object],
        failed: Callable[[VptctError], object],
        progress: OnProgress | None,
        finishes: bool,
    ) -> None:
        self._done, self._failed, self._progress = done, failed, progress
        self._told: tuple[int, int] | None = None
        self.work = Work()
        self.running = True
        self.finishes = finishes
        # Set in its thread; ``running`` is what the main thread knows.
        self.returned = threading.Event()

    def cancel(self) -> None:
        """End it soon; ``failed`` is then called with CancelledError, unless it had come to its end."""
        self.work.cancel.ask()

    def drop(self) -> None:
        """End it soon and hear no more of it: neither ``done`` nor ``failed`` nor ``progress`` is called."""
        self.running = False
        self.work.cancel.ask()

    def tell_progress(self) -> None:
        """Call ``progress`` where there is something new."""
        latest = self.work.latest
        if self.running and self._progress is not None and latest is not None and latest != self._told:
            self._told = latest
            self._progress(*latest)

    def end(self, value: T | None, error: VptctError | None) -> None:
        """Call ``done`` or ``failed``."""
        if not self.running:
            return
        self.tell_progress()
        self.running = False
        if error is not None:
            self._failed(error)
        else:
            self._done(value)  # type: ignore[arg-type]


class Jobs:
    """Runs calls in threads.

    Args:
        ticker: of the main thread.
    """

    def __init__(self, ticker: Ticker) -> None:
        self._ticker = ticker
        self._timer: Timer | None = None
        self._ended: queue.Queue[Callable[[], object]] = queue.Queue()
        self._jobs: list[Job[Any]] = []
        self._closed = False

    @property
    def running(self) -> int:
        """How many have not ended; those that were dropped count until their thread is done."""
        return len(self._jobs)

    def start(
        self,
        call: Callable[[Work], T],
        done: Callable[[T], object],
        failed: Callable[[VptctError], object],
        *,
        progress: OnProgress | None = None,
        finishes: bool = False,
    ) -> Job[T]:
        """Run a call in a thread of its own.

        Args:
            call: the work; what it raises goes to ``failed``.
            done: called in the main thread with what it returned.
            failed: called in the main thread with a VptctError; UnexpectedError for a fault of ours.
            progress: called in the main thread with what ``Work.progress`` was told, as often as is of use.
            finishes: ``close`` gives it a moment to come to its end, as what a reader said and is not on the
                disk yet needs. It takes milliseconds, and does not look at ``Work.cancel``.

        Raises:
            RuntimeError: the jobs were closed.
        """
        if self._closed:
            raise RuntimeError("no job is started after the end")
        job: Job[T] = Job(done, failed, progress, finishes)
        self._jobs.append(job)
        # A daemon: Slicer's end does not wait for a server.
        threading.Thread(target=self._run, args=(job, call), name="VPTCT job", daemon=True).start()
        if self._timer is None:
            self._timer = self._ticker.every(POLL_SECONDS, self.poll)
        return job

    def poll(self) -> None:
        """Let the threads run for a moment, and deliver what has ended. Called by the ticker.

        What a callback raises goes to ``log_fault``: whoever else waits for a result gets it.
        """
        wait = _YIELD_SECONDS
        while True:
            try:
                deliver = self._ended.get(timeout=wait)
            except queue.Empty:
                break
            _call(deliver)
            wait = 0.0001  # What ended at the same moment is delivered at once, too.
        for job in list(self._jobs):
            _call(job.tell_progress)

    def close(self) -> None:
        """End all, and deliver nothing any more: the panel is going. Waits for what ``finishes``."""
        self._closed = True
        for job in list(self._jobs):
            job.drop()
        end = time.monotonic() + _FINISH_SECONDS
        for job in self._jobs:
            if job.finishes:
                job.returned.wait(max(0.0, end - time.monotonic()))
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _run(self, job: Job[T], call: Callable[[Work], T]) -> None:
        value: T | None = None
        error: VptctError | None = None
        try:
            value = call(job.work)
        except VptctError as known:
            error = known
        except Exception as unknown:
            _log.exception("a job of VPTCT failed")
            error = UnexpectedError(unknown)
        job.returned.set()
        self._ended.put(partial(self._deliver, job, value, error))

    def _deliver(self, job: Job[T], value: T | None, error: VptctError | None) -> None:
        self._jobs.remove(job)
        if not self._jobs and self._timer is not None:
            self._timer.stop()
            self._timer = None
        job.end(value, error)


def _call(callback: Callable[[], object]) -> None:
    try:
        callback()
    except Exception as error:
        log_fault(error)
