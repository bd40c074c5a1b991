"""Ticker: what calls back later in the main thread. Qt's timers in the panel, turned by hand in tests."""

from __future__ import annotations

from typing import Callable, Protocol


class Timer(Protocol):
    """A call that is still to come."""

    def stop(self) -> None:
        """It comes no more; stopping twice does nothing."""


class Ticker(Protocol):
    """Makes timers. Their calls come in the thread that made them, one after the other."""

    def every(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Call again and again, for the first time after so many seconds."""

    def after(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Call once."""
