"""Incoming: all uploads that are still coming, together, take no more of the disk than there is for them."""

from __future__ import annotations

import threading
from tempfile import SpooledTemporaryFile
from typing import Any

from .errors import SessionsFullError

# Smaller forms, such as those of labels, stay in memory and are taken however full the disk is.
IN_MEMORY_BYTES = 1 << 20


class Incoming:
    """How many bytes of uploads lie on the disk while they come and are read. Several threads may count.

    Args:
        max_bytes: the most of all uploads together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
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
                    f"the uploads that are coming now would take more than {self._max_bytes / 1e9:g} GB "
                    "together.",
                    "Try again when some have ended. Who runs the server sets the limit with "
                    "--conf max_sessions_gb.",
                )
            self._taken_bytes += size_bytes


class Spool(SpooledTemporaryFile[bytes]):
    """A temporary file that is counted while it lies on the disk. It is only ever written at its end."""

    def __init__(self, incoming: Incoming) -> None:
        super().__init__(IN_MEMORY_BYTES)
        self._incoming = incoming
        self._counted_bytes = 0

    def write(self, data: Any) -> int:
        """Write at the end.

        Raises:
            SessionsFullError: see ``Incoming``.
        """
        size_bytes = self.tell() + len(data)
        if size_bytes > IN_MEMORY_BYTES:
            self._incoming.take(size_bytes - self._counted_bytes)
            self._counted_bytes = size_bytes
        return super().write(data)

    def close(self) -> None:
        """Remove the file, and count it no more."""
        super().close()
        counted_bytes, self._counted_bytes = self._counted_bytes, 0
        self._incoming.take(-counted_bytes)
