"""HandTicker: timers that a test turns by hand, for the logic of the Slicer module."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class HandTimer:
    """A call that is due at a time of the ticker's clock; ``every`` is 0 for once."""

    due: float
    every: float
    call: Callable[[], object]
    stopped: bool = False

    def stop(self) -> None:
        self.stopped = True


class HandTicker:
    """Its clock stands still but for ``turn``. It is the ``clock`` of the desk, too."""

    def __init__(self, now: float = 1_795_204_800.0) -> None:
        self.now = now
        self.timers: list[HandTimer] = []

    def every(self, seconds: float, call: Callable[[], object]) -> HandTimer:
        return self._add(HandTimer(self.now + seconds, seconds, call))

    def after(self, seconds: float, call: Callable[[], object]) -> HandTimer:
        return self._add(HandTimer(self.now + seconds, 0.0, call))

    def turn(self, seconds: float) -> None:
        """So much time goes by, and what is due is called in its order."""
        end = self.now + seconds
        while True:
            self.timers = [each for each in self.timers if not each.stopped]
            timer = min(self.timers, key=lambda each: each.due, default=None)
            if timer is None or timer.due > end:
                break
            self.now = timer.due
            if timer.every:
                timer.due += timer.every
            else:
                timer.stop()
            timer.call()
        self.now = end

    def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        """Turn until something holds, for jobs whose threads take real time."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds} s"
            self.turn(0.05)

    def _add(self, timer: HandTimer) -> HandTimer:
        self.timers.append(timer)
        return timer
