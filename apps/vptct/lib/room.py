"""Room: how much several uploads may take on the disk together, and how much of it is taken."""

from __future__ import annotations

import threading

from .errors import SessionsFullError


class Room:
    """Counts bytes on the disk against a limit. Several threads may count.

    Args:
        max_bytes: the most of all together.
        of_what: what takes the room, for the message.
        hint: what to do when it is full.
    """

    def __init__(self, max_bytes: int, of_what: str, hint: str) -> None:
        self._max_bytes = max_bytes
        self._of_what = of_what
        self._hint = hint
        self._taken_bytes = 0
        self._lock = threading.Lock()

    def take(self, size_bytes: int) -> None:
        """Count bytes that come onto the disk, or, below 0, leave it.

        Raises:
            SessionsFullError: they would be too many.
        """
        with self._lock:
            if size_bytes > 0 and self._taken_bytes + size_bytes > self._max_bytes:
                raise SessionsFullError(
                    f"{self._of_what} would take more than {self._max_bytes / 1e9:g} GB together.",
                    f"{self._hint} Who runs the server sets the limit with --conf max_sessions_gb.",
                )
            self._taken_bytes += size_bytes

    def left_bytes(self) -> int:
        """How many more bytes there is room for."""
        with self._lock:
            return self._max_bytes - self._taken_bytes
