"""Slicer's event loop keeps Python's lock: a thread of Python runs only while the main thread runs Python.

PySide6 lets go of the lock whenever Qt works or waits, so that threads run here that would stand still in
Slicer. This loop is as Slicer's: it is Qt's own, entered through ctypes without letting go of the lock.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import PySide6
import shiboken6
from PySide6 import QtCore

_LOOK_MS = 50
_ALL_EVENTS = 0


def run_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Let events go on as in Slicer until the condition, looked at 20 times a second, holds.

    Raises:
        AssertionError: it did not hold within so many seconds.
    """
    loop = QtCore.QEventLoop()
    end = time.monotonic() + seconds
    raised: list[BaseException] = []

    def look() -> None:
        try:
            assert time.monotonic() < end, f"not within {seconds} s"
            if not condition():
                return
        except BaseException as error:  # of the test: it must come out of the loop, which is C++
            raised.append(error)
        loop.quit()

    timer = QtCore.QTimer()
    timer.setInterval(_LOOK_MS)
    timer.timeout.connect(look)
    timer.start()
    _exec()(shiboken6.getCppPointer(loop)[0], _ALL_EVENTS)
    timer.stop()
    if raised:
        raise raised[0]


@lru_cache
def _exec() -> Callable[[int, int], int]:
    """``QEventLoop::exec(ProcessEventsFlags)``, by its name in the library."""
    library = Path(PySide6.__file__).parent / "Qt" / "lib" / "libQt6Core.so.6"
    call = ctypes.PyDLL(str(library))._ZN10QEventLoop4execE6QFlagsINS_17ProcessEventsFlagEE
    call.restype = ctypes.c_int
    call.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return call
