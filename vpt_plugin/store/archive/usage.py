"""SeriesUse: who reads and who changes which series of the cache, among the threads of this process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vpt_plugin.errors import CancelledError

_POLL_SECONDS = 0.2


class SeriesUse:
    """Many may read a series, or one may change it; what nobody uses may be evicted."""

    def __init__(self) -> None:
        self._changed: set[str] = set()
        self._readers: Counter[str] = Counter()
        self._condition = threading.Condition()

    @contextmanager
    def checking(self, uid: str, cancelled: Callable[[], bool]) -> Iterator[None]:
        """One at a time; who comes meanwhile waits, and then finds what the first one fetched.

        Raises:
            CancelledError: ``cancelled`` said so while waiting.
        """
        self._wait(lambda: uid not in self._changed, cancelled, then=lambda: self._changed.add(uid))
        try:
            yield
        finally:
            with self._condition:
                self._changed.discard(uid)
                self._condition.notify_all()

    def wait_for_readers(self, uid: str, cancelled: Callable[[], bool]) -> None:
        """Within ``checking``: until nobody reads the series; no new reader comes meanwhile.

        Raises:
            CancelledError: ``cancelled`` said so while waiting.
        """
        self._wait(lambda: not self._readers[uid], cancelled)

    def begin_reading(self, uid: str) -> None:
        """Within ``checking``: from now on the series stays as it is."""
        with self._condition:
            self._readers[uid] += 1

    def end_reading(self, uid: str) -> None:
        """The reader is done."""
        with self._condition:
            self._readers[uid] -= 1
            if not self._readers[uid]:
                del self._readers[uid]
            self._condition.notify_all()

    @contextmanager
    def unused(self, uid: str) -> Iterator[bool]:
        """Whether nobody uses the series; if so, nobody begins to within the block."""
        with self._condition:
            free = uid not in self._changed and not self._readers[uid]
            if free:
                self._changed.add(uid)
        try:
            yield free
        finally:
            if free:
                with self._condition:
                    self._changed.discard(uid)
                    self._condition.notify_all()

    def _wait(
        self,
        ready: Callable[[], bool],
        cancelled: Callable[[], bool],
        then: Callable[[], None] = lambda: None,
    ) -> None:
        with self._condition:
            while not ready():
                if cancelled():
                    raise CancelledError
                self._condition.wait(_POLL_SECONDS)
            then()
