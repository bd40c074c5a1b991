"""Cancel: asked for in one thread, obeyed in another at once, be it in the middle of a request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

from ..errors import CancelledError


class Cancel:
    """One per job. ``ask`` may be called from any thread, any number of times."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._callbacks: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @property
    def asked(self) -> bool:
        """Whether it was asked for."""
        return self._asked.is_set()

    def ask(self) -> None:
        """End whatever runs with this, and whatever will."""
        with self._lock:
            self._asked.set()
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()

    def check(self) -> None:
        """Go no further where it was asked for.

        Raises:
            CancelledError: it was.
        """
        if self.asked:
            raise CancelledError("cancelled.")

    def wait(self, seconds: float) -> None:
        """Wait so long.

        Raises:
            CancelledError: it was asked for before or meanwhile.
        """
        self._asked.wait(seconds)
        self.check()

    @contextmanager
    def calling(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call this when it is asked for within the ``with`` block; at once where it was asked for before."""
        with self._lock:
            self._callbacks.append(callback)
            asked = self.asked
        try:
            if asked:
                callback()
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)
