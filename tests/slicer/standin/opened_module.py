"""A module for the time of a test: loaded, opened, and at the end gone without a trace."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
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
        _take_back(library, path)
    assert not running_timers() - timers, "a timer of the module still runs"
    wait_until(lambda: not set(threading.enumerate()) - threads, _SECONDS_TO_END)


class OpenedModule:
    """The widget of a module that is open, also after it was reloaded: its attributes are those of now."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module.widgetRepresentation().self(), name)


def _take_back(library: dict[str, ModuleType], path: Path) -> None:
    """After a reload, bring back the library that other tests have imported."""
    root = path.stem + "Lib"
    if root not in library or sys.modules[root] is library[root]:
        return
    for name in _library_of(path):
        del sys.modules[name]
    sys.modules.update(library)
    # What was imported in the meantime is imported anew, also by "from package import module".
    for package in library.values():
        for name, part in list(vars(package).items()):
            full = f"{package.__name__}.{name}"
            if isinstance(part, ModuleType) and part.__name__ == full and full not in library:
                delattr(package, name)


def _library_of(path: Path) -> dict[str, ModuleType]:
    return {
        name: module for name, module in sys.modules.items() if name.partition(".")[0] == path.stem + "Lib"
    }
