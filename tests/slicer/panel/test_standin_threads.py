"""What the stand-in says about a window that hangs, and about threads beside Slicer's event loop."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest


def test_the_longest_time_without_an_answer_is_measured(app: Any) -> None:
    import qt
    from standin.lag_meter import LagMeter
    from standin.waiting import let_events_go_on

    with LagMeter() as quiet:
        let_events_go_on(0.3)
    assert quiet.ticks > 5
    busy = LagMeter()

    def hang() -> None:
        with busy:
            qt.QTimer.singleShot(50, lambda: time.sleep(0.5))
            let_events_go_on(0.2)

    with pytest.raises(AssertionError, match=r"(?s)the window's thread waits:\ntime.sleep.*0\.5"):
        hang()
    assert busy.longest_ms >= 495
    assert busy.busiest_ms < 495 < busy.longest_ms
    assert "time.sleep(0.5)" in str(busy)
    # A computer that is busy with something else makes gaps, too.
    assert quiet.longest_ms < busy.longest_ms / 2


def test_what_the_window_itself_waits_for_fails_however_short_it_is(app: Any) -> None:
    from standin.lag_meter import LagMeter

    def connect(port: int) -> None:
        socket.create_connection(("127.0.0.1", port)).close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(AssertionError, match=r"(?s)socket.connect.*in connect"), LagMeter():
            connect(port)
        with LagMeter() as meter:
            # A worker's own waits are its own.
            worker = threading.Thread(target=connect, args=(port,))
            worker.start()
            worker.join()
        connect(port)
    assert meter.waits == []


def test_where_the_window_computes_too_long_is_told(app: Any) -> None:
    from standin.lag_meter import LagMeter

    def computes_for_long() -> None:
        end = time.thread_time() + 0.4
        while time.thread_time() < end:
            pass

    with LagMeter() as meter:
        computes_for_long()
    assert meter.busiest_ms >= 395
    assert "in computes_for_long" in str(meter)


class Counter:
    """A thread of Python alone, which needs Python's lock for all it does."""

    def __init__(self) -> None:
        self.count = 0
        self._stop = False
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Counter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join()

    def _run(self) -> None:
        while not self._stop:
            self.count += 1


def test_a_thread_gets_next_to_nothing_done_beside_slicers_event_loop(app: Any) -> None:
    from standin.slicer_event_loop import run_until
    from standin.waiting import let_events_go_on

    with Counter() as beside_pyside:
        let_events_go_on(0.5)
    with Counter() as beside_slicer:
        end = time.monotonic() + 0.5
        run_until(lambda: time.monotonic() > end)
    assert 0 < beside_slicer.count < beside_pyside.count / 2


def test_a_poll_that_waits_lets_threads_run(app: Any) -> None:
    import queue

    import qt
    from standin.slicer_event_loop import run_until

    done: queue.Queue[bool] = queue.Queue()
    ended: list[bool] = []

    def work() -> None:
        sum(len(str(number)) for number in range(200_000))
        done.put(True)

    def poll() -> None:
        try:
            ended.append(done.get(timeout=0.02))
        except queue.Empty:
            return

    timer = qt.QTimer()
    timer.setInterval(50)
    timer.connect("timeout()", poll)
    timer.start()
    threading.Thread(target=work).start()
    run_until(lambda: ended, 20)
    timer.stop()
