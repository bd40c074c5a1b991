"""How long the window does not answer: the acceptance says never over 100 ms while long work runs."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from functools import lru_cache
from pathlib import Path
from types import FrameType, TracebackType

from PySide6 import QtCore

_TICK_MS = 5
# Only the main thread's own waits: what they wait for takes none of its time, and may take any time.
_WAITS = frozenset(
    {"socket.connect", "socket.getaddrinfo", "http.client.send", "subprocess.Popen", "time.sleep"}
)
_GAP_SECONDS = 0.1
_LOOK_SECONDS = 0.02
_SHOWN_FRAMES = 8
_PROJECT = str(Path(__file__).resolve().parents[3])
_on: list[LagMeter] = []


class LagMeter:
    """Measures gaps between the ticks of a timer while events are processed; to be used with ``with``.

    A call that blocks the main thread lets no tick through: the gap is as long as the call. What the test
    itself does between two rounds of events counts as well, so that nothing slow may stand there.

    On a computer that is busy with other work the window waits for its turn, too, which is no fault of the
    panel: ``busiest_ms`` counts only what its thread itself computed. So no test has a limit for
    ``longest_ms``. What the thread waits for by itself takes no computing time: a connection, a sleep, or a
    program that is started there fails the test when the ``with`` block is left.

    Attributes:
        longest_ms: the longest gap so far.
        busiest_ms: the most computing time of the main thread between two ticks.
        ticks: how often the timer came.
        waits: for what the main thread waited, and where.
        stack: where the main thread was in the longest gap of more than 100 ms; "" where none was seen.
    """

    def __init__(self) -> None:
        self.longest_ms = self.busiest_ms = 0.0
        self.ticks = 0
        self.waits: list[str] = []
        self.stack = ""
        self._seen_seconds = _GAP_SECONDS
        self._last = self._last_busy = 0.0
        self._is_over = threading.Event()
        self._watch = threading.Thread(target=self._look, name="lag meter", daemon=True)
        self._timer = QtCore.QTimer()
        self._timer.setTimerType(QtCore.Qt.PreciseTimer)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self._tick)

    def __enter__(self) -> LagMeter:
        _listen()
        self._last, self._last_busy = time.perf_counter(), time.thread_time()
        self._timer.start()
        self._watch.start()
        _on.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop.

        Raises:
            AssertionError: the main thread waited for something; where the block itself failed, that counts.
        """
        _on.remove(self)
        self._timer.stop()
        self._note()
        self._is_over.set()
        self._watch.join()
        if kind is None and self.waits:
            raise AssertionError("the window's thread waits:\n" + "\n".join(self.waits))

    def __str__(self) -> str:
        figures = f"computed {self.busiest_ms:.0f} ms at one go, longest gap {self.longest_ms:.0f} ms"
        return f"{figures}, in\n{self.stack}" if self.stack else figures

    def _tick(self) -> None:
        self.ticks += 1
        self._note()

    def _note(self) -> None:
        now, busy = time.perf_counter(), time.thread_time()
        self.longest_ms = max(self.longest_ms, (now - self._last) * 1000)
        self.busiest_ms = max(self.busiest_ms, (busy - self._last_busy) * 1000)
        self._last, self._last_busy = now, busy

    def _look(self) -> None:
        """In a thread: note where the main thread is for as long as no tick comes."""
        main = threading.main_thread().ident
        while not self._is_over.wait(_LOOK_SECONDS):
            gap_seconds = time.perf_counter() - self._last
            if gap_seconds > self._seen_seconds and (frame := sys._current_frames().get(main or 0)):
                self._seen_seconds, self.stack = gap_seconds, _stack(frame)


@lru_cache
def _listen() -> None:
    """From now on Python tells what it waits for; such a hook stays for as long as the process lives."""
    main, real_sleep = threading.main_thread().ident, time.sleep

    def hear(event: str, _: tuple[object, ...]) -> None:
        if _on and event in _WAITS and threading.get_ident() == main:
            told = f"{event}\n{_stack(sys._getframe(1))}"
            for meter in _on:
                meter.waits.append(told)

    def sleep(seconds: float) -> None:
        if seconds:
            hear("time.sleep", ())
        real_sleep(seconds)

    sys.addaudithook(hear)
    if sys.version_info < (3, 13):
        # From 3.13 on Python tells this by itself.
        vars(time)["sleep"] = sleep


def _stack(frame: FrameType) -> str:
    """The innermost frame, and those of this project around it; what libraries do in between is left out."""
    *around, last = traceback.extract_stack(frame)
    ours = [
        each for each in around if each.filename.startswith(_PROJECT) and "site-packages" not in each.filename
    ]
    return "".join(traceback.format_list([*ours[-_SHOWN_FRAMES:], last]))
