"""Aside: has the process that scores stand aside while anybody waits for an answer."""

from __future__ import annotations

import threading
import time
from typing import Protocol

PAUSE, RESUME = "pause", "resume"
# Who asks for one answer often asks for the next at once; a scoring that comes back in between is in the way.
_QUIET_SECONDS = 1.0


class Hearer(Protocol):
    """What is told to pause: a ``Worker``."""

    def tell(self, word: str) -> None:
        """Hear a word."""


class Aside:
    """Tells the process to pause and to resume, from a thread of its own: nobody who asks waits for that.

    Args:
        quiet_seconds: for so long nobody must have asked before it goes on.
    """

    def __init__(self, *, quiet_seconds: float = _QUIET_SECONDS) -> None:
        self._quiet_seconds = quiet_seconds
        self._hearer: Hearer | None = None
        self._told_to_pause = False
        self._busy = False
        self._quiet_since = float("-inf")
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def busy(self, busy: bool) -> None:
        """Somebody waits for an answer, or nobody any more; returns at once."""
        with self._changed:
            self._busy = busy
            self._quiet_since = time.monotonic()
            self._changed.notify_all()

    def tell(self, hearer: Hearer | None) -> None:
        """From now on this process is told; it begins unpaused. None: there is none."""
        with self._changed:
            self._hearer, self._told_to_pause = hearer, False
            if self._thread is None and hearer is not None:
                self._thread = threading.Thread(target=self._work, name="vptct-scoring-aside", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Tell nobody anything any more."""
        with self._changed:
            self._hearer, self._closed = None, True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while (word := self._due()) is None:
                    if self._closed:
                        return
                    self._changed.wait(self._seconds_to_quiet())
                hearer, self._told_to_pause = self._hearer, word == PAUSE
            # Not under the lock: whoever comes for an answer must not wait for a pipe.
            if hearer is not None:
                hearer.tell(word)

    def _due(self) -> str | None:
        """What is to be told now; None for nothing."""
        aside = self._busy or self._seconds_to_quiet() is not None
        if self._hearer is None or aside == self._told_to_pause:
            return None
        return PAUSE if aside else RESUME

    def _seconds_to_quiet(self) -> float | None:
        """How long nobody must come from now on; None where that is so, or where somebody is there."""
        left = self._quiet_since + self._quiet_seconds - time.monotonic()
        return left if not self._busy and left > 0 else None
