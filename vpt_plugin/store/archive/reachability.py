"""Reachability: a short memory of an archive that is down, so that not everybody waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vpt_plugin.errors import ArchiveUnreachableError

_logger = logging.getLogger(__name__)


class Reachability:
    """Whether the archive could be asked, the last time that somebody did.

    After a failure nobody asks for a few seconds; then one asks, and until that one knows, the others still
    get the remembered failure at once.

    Args:
        memory_seconds: how long a failure is remembered.
        clock: seconds that only grow.
    """

    def __init__(self, *, memory_seconds: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._memory_seconds = memory_seconds
        self._clock = clock
        self._failure: ArchiveUnreachableError | None = None
        self._failed_at = 0.0
        self._somebody_asks = False
        self._lock = threading.Lock()

    @property
    def failure(self) -> ArchiveUnreachableError | None:
        """What went wrong the last time; None where nothing did."""
        return self._failure

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around a question to the archive; what it raises is remembered.

        Raises:
            ArchiveUnreachableError: it could not be reached a moment ago, or cannot be now.
        """
        first_again = self._enter()
        try:
            yield
        except ArchiveUnreachableError as error:
            self.failed(error)
            raise
        else:
            self._reached()
        finally:
            if first_again:
                self._somebody_asks = False

    def check(self) -> None:
        """Fail at once where asking would.

        Raises:
            ArchiveUnreachableError: it could not be reached a moment ago, or somebody is finding out.
        """
        with self._lock:
            self._check()

    def failed(self, error: ArchiveUnreachableError) -> None:
        """Remember that it cannot be reached."""
        with self._lock:
            known, self._failure, self._failed_at = self._failure, error, self._clock()
        if known is None or known.message != error.message:
            _logger.warning("%s", error)

    def _enter(self) -> bool:
        with self._lock:
            self._check()
            self._somebody_asks = self._failure is not None
            return self._somebody_asks

    def _reached(self) -> None:
        with self._lock:
            known, self._failure = self._failure, None
        if known is not None:
            _logger.warning("the DICOM archive can be reached again.")

    def _check(self) -> None:
        fresh = self._clock() - self._failed_at < self._memory_seconds
        if self._failure is not None and (fresh or self._somebody_asks):
            # A new one each time: an exception gathers the traces of all who raise it.
            raise type(self._failure)(self._failure.message, self._failure.hint)
