"""A module for the time of a test: loaded, opened, and at the end gone without a trace."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore

from standin.module_loader import load_module, unload_module
from standin.timers import running_timers
from standin.waiting import wait_until

_SECONDS_TO_END = 10


@contextmanager
def opened_module(path: Path) -> Iterator[Any]:
    """Open ``<Name>.py`` as a reader does; yields its ``<Name>Widget``.

    Raises:
        AssertionError: at the end a timer or a thread that began in the meantime still runs.
    """
    library = _library_of(path)
    threads, timers = set(threading.enumerate()), running_timers()
    module = load_module(path)
    slicer.util.selectModule(module.name)
    slicer.app.processEvents()
    try:
        yield OpenedModule(module)
    finally:
        slicer.util.selectModule("")
        unload_module(module)
        slicer.app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
        slicer.app.processEvents()
        # A reload in the test leaves another library behind than the one that other tests imported.
        for name in _library_of(path):
            del sys.modules[name]
        sys.modules.update(library)
    assert not running_timers() - timers, "a timer of the module still runs"
    wait_until(lambda: not set(threading.enumerate()) - threads, _SECONDS_TO_END)


class OpenedModule:
    """The widget of a module that is open, also after it was reloaded: its attributes are those of now."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module.widgetRepresentation().self(), name)


def _library_of(path: Path) -> dict[str, Any]:
    return {
        name: module for name, module in sys.modules.items() if name.partition(".")[0] == path.stem + "Lib"
    }
