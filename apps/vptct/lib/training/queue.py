"""Trainings: one at a time, the others wait their turn; each is kept on the disk from order to end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from vpt_plugin.errors import TrainingError
from vpt_plugin.labels import now
from vpt_plugin.training.job import TrainingJob

from ..errors import NothingThereError
from ..worker_process import Command, Worker, module_command
from .ending import GO_ON, ended
from .folder import FolderTakenError, JobFolder
from .record import INTERRUPTED, QUEUED, RUNNING, STOPPED, Failure, Record
from .same import same_training

_logger = logging.getLogger(__name__)
_TRAIN = module_command("vpt_plugin.training.worker")
_LAST = ("result", "error")
_MAX_WAITING = 20
_SECONDS_BETWEEN_SAVES = 5.0
# From being asked to end to being killed; and after that until its thread has put everything down.
_PATIENCE_SECONDS, _SECONDS_TO_END = 2.0, 5.0
# For as long a server that is about to end may hold the folder.
_SECONDS_TO_TRY, _SECONDS_BETWEEN_TRIES = 60.0, 1.0
# A process that has told how it ended has nothing left to do; those behind it wait.
_REST_SECONDS = 60.0


class Trainings:
    """The trainings of this server; several threads may ask.

    Args:
        folder: where they are kept.
        command: what is run for a job; tests put in their own.
        labels_of: what a job would learn from at the moment; another value for other labels.
        clock: the time as text.
        patience_seconds: what a training has to end by itself when it is told to.
        rest_seconds: what its process has to end after it told how the training ended.
    """

    def __init__(
        self,
        folder: JobFolder,
        *,
        command: Command = _TRAIN,
        labels_of: Callable[[TrainingJob], Hashable] = lambda job: None,
        clock: Callable[[], str] = now,
        patience_seconds: float = _PATIENCE_SECONDS,
        rest_seconds: float = _REST_SECONDS,
    ) -> None:
        self._folder = folder
        self._command = command
        self._labels_of = labels_of
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._rest_seconds = rest_seconds
        self._records: dict[int, Record] = {}
        self._worker: Worker | None = None
        self._thread: threading.Thread | None = None
        self._labels: dict[int, Hashable] = {}  # that the running one has begun with
        self._to_stop: dict[int, str] = {}  # the running one, and the state it shall have
        self._claimed = False
        self._problem = ""
        self._closed = False
        self._saved_at = float("-inf")
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    @property
    def problem(self) -> str:
        """Why this server cannot train; "" where it can."""
        return self._problem

    def open(self) -> None:
        """Take up what an earlier server left: what waited waits on, what ran is interrupted."""
        with self._lock:
            if not self._folder.path.is_dir():
                return
            try:
                self._claim()
            except (TrainingError, OSError) as error:
                self._problem = str(error)
                _logger.warning("trainings are not offered: %s", error)
                if isinstance(error, FolderTakenError):
                    threading.Thread(target=self._try_again, name="vptct-claim", daemon=True).start()
                return
            self._start_next()

    def _try_again(self) -> None:
        """The server before this one may still be about to end."""
        deadline = time.monotonic() + _SECONDS_TO_TRY
        while time.monotonic() < deadline and not self._closed:
            time.sleep(_SECONDS_BETWEEN_TRIES)
            with self._lock, suppress(TrainingError, OSError):
                if not self._closed:
                    self._claim()
                    self._start_next()
                return

    def submit(self, job: TrainingJob, *, note: str = "") -> Record:
        """Order a training; it is on the disk when this returns.

        Args:
            job: what is to be done.
            note: the first of its notes; "" for none.

        Raises:
            TrainingError: the same one waits already, or runs with the same labels; too many wait, or
                another server trains here.
            OSError: the disk is full, the folder is not writable.
        """
        # Not under the lock: it looks at the disk.
        labels = self._labels_of(job)
        with self._lock:
            self._claim()
            self._refuse_same(job, labels)
            waiting = [each for each in self._records.values() if each.state == QUEUED]
            if len(waiting) >= _MAX_WAITING:
                raise TrainingError(f"{len(waiting)} trainings wait already.", "Order it again later.")
            notes = (note,) if note else ()
            record = Record(self._folder.next_number(), job, created=self._clock(), notes=notes)
            self._folder.add(record)
            self._records[record.number] = record
            _logger.info("training %d of %s was ordered by %s", record.number, job.name, job.by or "somebody")
            self._start_next()
            return self._records[record.number]

    def records(self) -> list[Record]:
        """All that is known, in the order of their numbers."""
        with self._lock:
            return list(self._records.values())

    def get(self, number: int) -> Record:
        """One training.

        Raises:
            NothingThereError: there is none of this number.
        """
        with self._lock:
            if number not in self._records:
                raise NothingThereError(
                    f"there is no training {number};", "the list of trainings has those there are."
                )
            return self._records[number]

    def stop(self, number: int, *, by: str = "") -> Record:
        """End a training, be it waiting or running; its process is gone when this returns.

        One that has ended stays as it is.

        Raises:
            NothingThereError: there is none of this number.
        """
        with self._lock:
            record = self.get(number)
            if record.state == QUEUED:
                words = f"taken out of the queue by {by}." if by else "taken out of the queue."
                self._save(replace(record, state=STOPPED, ended=self._clock(), failure=Failure(words)))
            if record.state != RUNNING:
                return self._records[number]
            self._to_stop[number] = STOPPED
            worker = self._worker
        _logger.info("training %d is stopped by %s", number, by or "somebody")
        self._end_worker(worker, number)
        return self.get(number)

    def close(self) -> None:
        """The server ends: so does what is running, at once. What waits waits for the next start."""
        with self._lock:
            self._closed = True
            running = [each for each in self._records.values() if each.state == RUNNING]
            for each in running:
                self._to_stop.setdefault(each.number, INTERRUPTED)
            worker = self._worker
        for each in running:
            self._end_worker(worker, each.number)
        with self._lock:
            if self._claimed:
                self._folder.keep_rest()
                self._folder.release()

    def _claim(self) -> None:
        """Make the folder this server's, and read what is in it; only once."""
        if self._claimed:
            return
        self._folder.claim()
        self._claimed, self._problem = True, ""
        for record in self._folder.prune(self._folder.load()):
            self._records[record.number] = record
            if record.state == RUNNING:
                left = ended(record, None, status=None, told={}, asked=INTERRUPTED, last_words=())
                self._save(replace(left, ended=self._clock()))

    def _refuse_same(self, job: TrainingJob, labels: Hashable) -> None:
        """It would be the same version a second time, of a double click."""
        for each in self._records.values():
            if not each.waits_or_runs or each.number in self._to_stop or not same_training(each.job, job):
                continue
            if each.state == QUEUED:
                raise TrainingError(
                    f"the same training of {job.name} waits already, as number {each.number}.",
                    "It will use the labels that are there when its turn comes.",
                )
            if self._labels.get(each.number, labels) == labels:
                raise TrainingError(
                    f"the same training of {job.name} runs already, as number {each.number}, and no label "
                    "has changed since it began.",
                    "The list of trainings shows how far it is. Order it again once there are new labels.",
                )

    def _start_next(self) -> None:
        """Have a thread work through the queue, if none does."""
        if self._closed or (self._thread is not None and self._thread.is_alive()):
            return
        if any(each.state == QUEUED for each in self._records.values()):
            # A daemon: the server's end does not wait for a training. ``close`` ends it.
            self._thread = threading.Thread(target=self._work, name="vptct-trainings", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while (record := self._take_next()) is not None:
            try:
                self._train(record)
            except Exception as error:
                # Whatever it is, the next training must get its turn.
                _logger.exception("training %d", record.number)
                words = f"the training's process could not be started or heard: {error}."
                self._finish(record.number, Failure(words, GO_ON), status=None)

    def _take_next(self) -> Record | None:
        with self._lock:
            waiting = [each for each in self._records.values() if each.state == QUEUED]
            if self._closed or not waiting:
                self._thread = None  # under the lock: whoever orders now starts a new one
                return None
            record = replace(waiting[0], state=RUNNING, started=self._clock())
            self._records[record.number] = record
            return record

    def _train(self, record: Record) -> None:
        labels = self._labels_of(record.job)
        with self._lock:
            self._labels = {record.number: labels}
        # Not begun where this cannot be kept: after a restart it would wait still, and be done twice.
        self._folder.save(record)
        worker = Worker(self._command(self._folder.job_file(record)), self._folder.log(record))
        with self._lock:
            self._worker = worker
            stopped_already = record.number in self._to_stop
        if stopped_already:
            worker.stop(self._patience_seconds)
        told, status = self._hear(record, worker)
        self._finish(record.number, None, status=status, told=told)

    def _hear(self, record: Record, worker: Worker) -> tuple[dict[str, Any], int]:
        """Listen to the process until it has ended: what it told last, and its exit status."""
        told: dict[str, Any] = {}
        rest = threading.Timer(self._rest_seconds, worker.stop, (self._patience_seconds,))
        rest.daemon = True
        try:
            for event in worker.events():
                if isinstance(event.get("progress"), dict):
                    self._note_progress(record.number, event["progress"])
                told |= {name: event[name] for name in _LAST if isinstance(event.get(name), dict)}
                if told and rest.ident is None:
                    rest.start()
        except BaseException:
            worker.stop(0)
            raise
        finally:
            status = worker.end()
            rest.cancel()
        return told, status

    def _note_progress(self, number: int, progress: Mapping[str, Any]) -> None:
        with self._lock:
            before = self._records[number]
            self._records[number] = record = before.with_progress(progress)
            turns = before.progress.get("state") != progress.get("state")
            if turns or time.monotonic() - self._saved_at > _SECONDS_BETWEEN_SAVES:
                self._save(record)

    def _finish(
        self,
        number: int,
        failure: Failure | None,
        *,
        status: int | None,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        with self._changed:
            record = self._records[number]
            words = self._folder.last_words(record)
            asked = self._to_stop.pop(number, "")
            if asked == INTERRUPTED and not record.progress:
                # The server ended before this one had begun in earnest: it has not lost its turn.
                self._save(replace(record, state=QUEUED, started=""))
            else:
                record = ended(record, failure, status=status, told=told or {}, asked=asked, last_words=words)
                self._save(replace(record, ended=self._clock()))
            kept = self._folder.prune(list(self._records.values()))
            self._records = {each.number: each for each in kept}
            self._worker = None
            _logger.info("training %d of %s: %s", number, record.name, record.state)
            self._changed.notify_all()

    def _end_worker(self, worker: Worker | None, number: int) -> None:
        if worker is not None:
            worker.stop(self._patience_seconds)
        with self._changed:
            self._changed.wait_for(lambda: self._records[number].state != RUNNING, _SECONDS_TO_END)

    def _save(self, record: Record) -> None:
        """Remember, and keep on the disk as soon as it takes it."""
        self._records[record.number] = record
        self._saved_at = time.monotonic()
        self._folder.keep(record)
