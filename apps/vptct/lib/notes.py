"""Notes about studies: what clients noted. Worth nothing after a restart."""

from __future__ import annotations

import copy
import json
import threading
from typing import Any

from .errors import TooLargeError

_MAX_BYTES_OF_A_STUDY = 64 << 10
_MAX_BYTES = 64 << 20


class Notes:
    """What is noted about each study until the server stops; several threads may write."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, Any]] = {}
        self._bytes_of: dict[str, int] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def of(self, study: str) -> dict[str, Any]:
        """A copy of all notes about a study."""
        with self._lock:
            return copy.deepcopy(self._of.get(study, {}))

    def add(self, study: str, notes: dict[str, Any]) -> None:
        """Add notes to those there are; one of the same name is replaced.

        Raises:
            TooLargeError: they would be more than are kept of one study, or of all.
        """
        with self._lock:
            together = {**self._of.get(study, {}), **copy.deepcopy(notes)}
            size = len(json.dumps(together))
            if size > _MAX_BYTES_OF_A_STUDY:
                raise TooLargeError(
                    f"more than {_MAX_BYTES_OF_A_STUDY >> 10} KiB of notes about one study.",
                    "Notes are gone when the server stops: keep them elsewhere.",
                )
            total = self._bytes - self._bytes_of.get(study, 0) + size
            if total > _MAX_BYTES:
                raise TooLargeError(
                    f"more than {_MAX_BYTES >> 20} MiB of notes about all studies together.",
                    "Notes are gone when the server stops: keep them elsewhere.",
                )
            self._of[study], self._bytes_of[study], self._bytes = together, size, total
