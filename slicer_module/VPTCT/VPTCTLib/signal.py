"""Signal: tells those who asked for it, in the thread it is emitted in.

Not one of Qt: those made in Python are reported to crash inside Slicer, and what uses this needs no Qt.
"""

from __future__ import annotations

import sys
from typing import Any, Callable

Slot = Callable[..., Any]


class Signal:
    """Calls its slots in the order in which they were connected."""

    def __init__(self) -> None:
        self._slots: list[Slot] = []

    def connect(self, slot: Slot) -> None:
        """Call this from now on. Connecting it twice calls it once."""
        if slot not in self._slots:
            self._slots.append(slot)

    def disconnect(self, slot: Slot) -> None:
        """Call it no more; nothing happens where it was not connected."""
        if slot in self._slots:
            self._slots.remove(slot)

    def emit(self, *values: Any) -> None:
        """Call every slot that is connected now and still is when its turn comes.

        What a slot raises goes to ``log_fault``: one part of the panel that fails leaves no other part with
        an old picture, and does not keep who tells from going on, such as with the sending of labels.
        """
        for slot in list(self._slots):
            if slot not in self._slots:
                continue
            try:
                slot(*values)
            except Exception as error:
                log_fault(error)


def log_fault(error: Exception) -> None:
    """A fault of ours, for Slicer's error log: it writes down what Python tells of uncaught exceptions."""
    sys.excepthook(type(error), error, error.__traceback__)
