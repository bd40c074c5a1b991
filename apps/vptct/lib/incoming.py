"""Incoming: all uploads that are still coming, together, take no more of the disk than there is for them."""

from __future__ import annotations

from tempfile import SpooledTemporaryFile
from typing import Any

from .room import Room

# Smaller forms, such as those of labels, stay in memory and are taken however full the disk is.
IN_MEMORY_BYTES = 1 << 20


class Incoming(Room):
    """How many bytes of uploads lie on the disk while they come and are read.

    Args:
        max_bytes: the most of all uploads together.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes, "the uploads that are coming now", "Try again when some have ended.")


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
