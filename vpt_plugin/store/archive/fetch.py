"""Fetching the missing instances of a series, several at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from vpt_plugin.errors import ArchiveError, ArchiveUnreachableError, CancelledError
from vpt_plugin.store.archive.client import ArchiveClient
from vpt_plugin.store.archive.listing import SeriesRecord

_POLL_SECONDS = 0.1
# An archive that refuses so many will refuse the others, too, and each of them takes its time.
_MAX_REFUSED = 8

# Makes a client that gives up when its argument says so.
NewClient = Callable[[Callable[[], bool]], ArchiveClient]


class SeriesFetch:
    """One fetch; each thread has a client of its own.

    Args:
        record: the series.
        new_client: makes a client.
        keep: takes the SOPInstanceUID and the bytes of each file that came.
        threads: how many files come at a time.
    """

    def __init__(
        self,
        record: SeriesRecord,
        new_client: NewClient,
        keep: Callable[[str, bytes], None],
        *,
        threads: int = 4,
    ) -> None:
        self._record = record
        self._new_client = new_client
        self._keep = keep
        self._threads = threads
        self._pending: deque[str] = deque()
        self._refused: list[ArchiveError] = []
        self._stop = threading.Event()

    def run(self, instances: Sequence[str], cancelled: Callable[[], bool]) -> list[ArchiveError]:
        """Fetch these instances; what came is kept, whatever happens.

        Args:
            instances: their SOPInstanceUIDs.
            cancelled: asked all the time, by this thread.

        Returns:
            Why some did not come: the archive can be reached all the same. Empty where all came.

        Raises:
            ArchiveUnreachableError, ArchiveError: the archive went away, the cache cannot be written to.
            CancelledError: ``cancelled`` said so.
        """
        self._pending.extend(instances)
        was_cancelled = False
        with ThreadPoolExecutor(min(self._threads, len(instances)), "fetch") as pool:
            jobs = [pool.submit(self._work) for _ in range(min(self._threads, len(instances)))]
            while wait(jobs, _POLL_SECONDS).not_done:
                if cancelled():
                    was_cancelled = True
                    self._stop.set()
        errors = [error for job in jobs if (error := job.exception()) is not None]
        # A thread that was stopped because of another's error says only that it was cancelled.
        for error in sorted(errors, key=lambda each: isinstance(each, CancelledError)):
            raise error
        if was_cancelled and (self._pending or self._refused):
            raise CancelledError
        return self._refused

    def _work(self) -> None:
        record = self._record
        try:
            with self._new_client(self._stop.is_set) as client:
                while self._pending and not self._stop.is_set():
                    try:
                        instance = self._pending.popleft()
                    except IndexError:  # another thread took the last one
                        return
                    self._fetch(client, record, instance)
        except BaseException:
            self._stop.set()
            raise

    def _fetch(self, client: ArchiveClient, record: SeriesRecord, instance: str) -> None:
        try:
            data = client.instance(record.study_uid, record.uid, instance)
        except ArchiveUnreachableError:
            raise
        except ArchiveError as error:
            self._refused.append(error)
            if len(self._refused) >= _MAX_REFUSED:
                self._stop.set()
        else:
            self._keep(instance, data)
