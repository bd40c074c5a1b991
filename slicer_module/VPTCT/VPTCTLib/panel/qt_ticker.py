"""QtTicker: timers of Qt, for the logic that must not know Qt."""

from __future__ import annotations

from typing import Callable

import qt


class QtTimer:
    """A timer of Qt that runs."""

    def __init__(self, seconds: float, call: Callable[[], object], *, once: bool) -> None:
        self._call = call
        self._timer = qt.QTimer()
        self._timer.setSingleShot(once)
        self._timer.setInterval(round(seconds * 1000))
        self._timer.connect("timeout()", self._due)
        self._timer.start()

    def stop(self) -> None:
        """It calls no more."""
        self._timer.stop()

    def _due(self) -> None:
        self._call()


class QtTicker:
    """Makes timers. They are kept until they end: PythonQt would delete one that nobody holds."""

    def __init__(self) -> None:
        self._timers: set[QtTimer] = set()

    def every(self, seconds: float, call: Callable[[], object]) -> QtTimer:
        """Call again and again."""
        return self._keep(QtTimer(seconds, call, once=False))

    def after(self, seconds: float, call: Callable[[], object]) -> QtTimer:
        """Call once."""

        def due() -> None:
            self._timers.discard(timer)
            call()

        timer = QtTimer(seconds, due, once=True)
        return self._keep(timer)

    def close(self) -> None:
        """Stop all that still run."""
        for timer in self._timers:
            timer.stop()
        self._timers.clear()

    def _keep(self, timer: QtTimer) -> QtTimer:
        self._timers.add(timer)
        return timer
