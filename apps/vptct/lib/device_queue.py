"""A fair queue: first come, first served, a few at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vpt_plugin.errors import CancelledError

from .errors import BusyError

_ASK_AGAIN_SECONDS = 0.5


class FairQueue:
    """Lets a few threads in at a time, in the order in which they came.

    Args:
        width: how many may be in at once.
        max_waiting: how many may wait; every waiting request holds a thread of the server and its upload.
        what: waits in it, for the message of who is refused.
        busy: told True when somebody comes while nobody was there, and False when the last one has gone. It
            is called in between, by whoever comes or goes: it must be quick, and ask nothing of the queue.
    """

    def __init__(
        self,
        width: int = 1,
        *,
        max_waiting: int = 32,
        what: str = "studies",
        busy: Callable[[bool], None] | None = None,
    ) -> None:
        self._width = width
        self._free = width
        self._busy = busy
        self._max_waiting = max_waiting
        self._what = what
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many wait at this moment."""
        return len(self._waiting)

    @property
    def inside(self) -> int:
        """How many have their turn at this moment."""
        return self._width - self._free

    @contextmanager
    def turn(self, cancelled: Callable[[], bool] | None = None) -> Iterator[None]:
        """Wait for a turn, and have it for the length of the ``with`` block.

        Args:
            cancelled: asked twice a second while waiting.

        Raises:
            BusyError: too many wait already.
            CancelledError: ``cancelled`` said so before the turn came.
        """
        self._wait(cancelled)
        try:
            yield
        finally:
            self._pass_on()

    def _wait(self, cancelled: Callable[[], bool] | None) -> None:
        called = threading.Event()
        with self._lock:
            if self._free:
                if self._free == self._width:
                    self._say(busy=True)
                self._free -= 1
                return
            if len(self._waiting) >= self._max_waiting:
                raise BusyError(f"{len(self._waiting)} {self._what} wait already;", "try again in a minute.")
            self._waiting.append(called)
        try:
            while not called.wait(_ASK_AGAIN_SECONDS):
                if cancelled is not None and cancelled():
                    raise CancelledError
        except BaseException:
            # Whatever ``cancelled`` raises: a turn that nobody takes would never be passed on.
            self._leave(called)
            raise

    def _pass_on(self) -> None:
        """Give the place to the one who has waited longest; only if there is none it becomes free.

        So nobody who comes at this moment can slip in before those who wait.
        """
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1
                if self._free == self._width:
                    self._say(busy=False)

    def _say(self, *, busy: bool) -> None:
        if self._busy is not None:
            self._busy(busy)

    def _leave(self, called: threading.Event) -> None:
        with self._lock:
            if not called.is_set():
                self._waiting.remove(called)
                return
        # Called at the very moment of leaving: the place goes to the next.
        self._pass_on()
