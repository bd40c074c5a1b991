"""The history of the worklist as it lies on the disk: read as it grows, whole lines only."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vpt_plugin.durable import append, make_folder
from vpt_plugin.store.worklist_history import EVENTS, SCHEMA, WorklistEvent, WorklistHistory

_logger = logging.getLogger(__name__)


class HistoryFile:
    """The history on the disk. Whoever adds to it holds the lock of its folder; reading needs none.

    Args:
        path: the file; it and its folder are made with the first event.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._history = WorklistHistory()
        # Which file was read, and how many of its bytes.
        self._inode, self._read_bytes = -1, 0

    def add(self, events: Iterable[WorklistEvent]) -> None:
        """Write events; all of them are on the disk when this returns.

        Raises:
            OSError: the disk is full, the folder is not writable; then none of them is in the file.
        """
        data = b"".join(event.line() for event in events)
        if not data:
            return
        make_folder(self.path.parent)
        append(self.path, data)

    def read(self) -> WorklistHistory:
        """All of it; what was read before is not read again. A line that is no event is logged and counted.

        Raises:
            OSError: the file is there and cannot be read.
        """
        with self._lock:
            try:
                with self.path.open("rb") as file:
                    status = os.fstat(file.fileno())
                    if status.st_ino != self._inode or status.st_size < self._read_bytes:
                        self._history, self._inode, self._read_bytes = WorklistHistory(), status.st_ino, 0
                    file.seek(self._read_bytes)
                    # A line without its end is being written, or was broken off before it was acknowledged.
                    data = file.read().rpartition(b"\n")
            except FileNotFoundError:
                self._history, self._inode, self._read_bytes = WorklistHistory(), -1, 0
            else:
                self._take(data[0] + data[1])
            return self._history

    def _take(self, data: bytes) -> None:
        if not data:
            return
        events, damaged = [], 0
        for line in data.splitlines():
            try:
                events.append(_event(line))
            except (ValueError, RecursionError) as error:
                damaged += 1
                _logger.warning("%s: a line is left out of the history: %s", self.path, error)
        self._history = self._history.then(events, damaged)
        self._read_bytes += len(data)


def _event(line: bytes) -> WorklistEvent:
    """One event.

    Raises:
        ValueError: the line is none.
    """
    said: Any = json.loads(line)
    if not isinstance(said, dict) or said.pop("schema", "") != SCHEMA or said.get("event") not in EVENTS:
        raise ValueError(f"it is no event of {SCHEMA}")
    try:
        event = WorklistEvent(**said)
    except TypeError as error:
        raise ValueError(f"it is no event of {SCHEMA}: {error}") from error
    texts = {name: value for name, value in vars(event).items() if name not in ("probabilities", "version")}
    numbers = (
        [event.version, *event.probabilities.values()] if isinstance(event.probabilities, dict) else [""]
    )
    if not all(isinstance(text, str) for text in texts.values()) or not all(map(_is_number, numbers)):
        raise ValueError("a field of the event has the wrong type")
    return event


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
