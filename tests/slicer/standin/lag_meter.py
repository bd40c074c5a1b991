"""How long the window does not answer: the acceptance says never over 100 ms while long work runs."""

from __future__ import annotations

import time
from types import TracebackType

from PySide6 import QtCore

_TICK_MS = 5


class LagMeter:
    """Measures gaps between the ticks of a timer while events are processed; to be used with ``with``.

    A call that blocks the main thread lets no tick through: the gap is as long as the call. What the test
    itself does between two rounds of events counts as well, so that nothing slow may stand there.

    On a computer that is busy with other work the window waits for its turn, too, which is no fault of the
    panel: ``busiest_ms`` counts only what its thread itself computed.

    Attributes:
        longest_ms: the longest gap so far.
        busiest_ms: the most computing time of the main thread between two ticks.
        ticks: how often the timer came.
    """

    def __init__(self) -> None:
        self.longest_ms = self.busiest_ms = 0.0
        self.ticks = 0
        self._last = self._last_busy = 0.0
        self._timer = QtCore.QTimer()
        self._timer.setTimerType(QtCore.Qt.PreciseTimer)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self._tick)

    def __enter__(self) -> LagMeter:
        self._last, self._last_busy = time.perf_counter(), time.thread_time()
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.stop()
        self._note()

    def _tick(self) -> None:
        self.ticks += 1
        self._note()

    def _note(self) -> None:
        now, busy = time.perf_counter(), time.thread_time()
        self.longest_ms = max(self.longest_ms, (now - self._last) * 1000)
        self.busiest_ms = max(self.busiest_ms, (busy - self._last_busy) * 1000)
        self._last, self._last_busy = now, busy
