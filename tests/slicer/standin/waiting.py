"""Waiting in a test the way Slicer waits: its events go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import slicer

_PAUSE_SECONDS = 0.002


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Let events go on until the condition holds.

    Raises:
        AssertionError: it did not hold within so many seconds.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {_words(condition)}"
        slicer.app.processEvents()
        _pause()


def let_events_go_on(seconds: float) -> None:
    """Let events go on for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        slicer.app.processEvents()
        _pause()


def _pause() -> None:
    # No time.sleep: a meter of the window's lag takes one for a fault of the panel.
    threading.Event().wait(_PAUSE_SECONDS)


def _words(condition: Callable[[], object]) -> str:
    """Where the condition stands, for the message."""
    code = getattr(condition, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(condition)
