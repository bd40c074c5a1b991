"""QtTicker: timers of Qt, for the logic that must not know Qt."""

from __future__ import annotations

from typing import Any, Callable

import qt


class QtTimer:
    """A timer of Qt that runs.

    Args:
        seconds: until it calls.
        call: what it calls.
        once: whether it ends then; otherwise it calls again and again.
        ended: told when it has ended, by itself or by ``stop``.
    """

    def __init__(
        self, seconds: float, call: Callable[[], object], ended: Callable[[QtTimer], object], *, once: bool
    ) -> None:
        self._call, self._once, self._ended = call, once, ended
        self._timer: Any = qt.QTimer()
        self._timer.setSingleShot(once)
        self._timer.setInterval(round(seconds * 1000))
        self._timer.connect("timeout()", self._due)
        self._timer.start()

    def stop(self) -> None:
        """It calls no more."""
        if self._timer is None:
            return
        self._timer.stop()
        # The connection holds this object, which holds the timer: only the timer's own end lets go of both.
        self._timer.deleteLater()
        self._timer = None
        self._ended(self)

    def _due(self) -> None:
        if self._timer is None:
            return
        if self._once:
            self.stop()
        self._call()


class QtTicker:
    """Makes timers. They are kept until they end: PythonQt would delete one that nobody holds."""

    def __init__(self) -> None:
        self._timers: set[QtTimer] = set()

    def every(self, seconds: float, call: Callable[[], object]) -> QtTimer:
        """Call again and again."""
        return self._keep(seconds, call, once=False)

    def after(self, seconds: float, call: Callable[[], object]) -> QtTimer:
        """Call once."""
        return self._keep(seconds, call, once=True)

    def close(self) -> None:
        """Stop all that still run."""
        for timer in list(self._timers):
            timer.stop()

    def _keep(self, seconds: float, call: Callable[[], object], *, once: bool) -> QtTimer:
        timer = QtTimer(seconds, call, self._timers.discard, once=once)
        self._timers.add(timer)
        return timer
