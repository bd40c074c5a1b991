"""Which timers of Qt still run: a module that is gone must leave none."""

from __future__ import annotations

import weakref
from types import ModuleType
from typing import Any

_made: weakref.WeakSet[Any] = weakref.WeakSet()


def remember_timers(qt: ModuleType) -> None:
    """Make ``qt.QTimer`` remember those that are made."""
    base = qt.QTimer

    def start(self: Any, *arguments: Any) -> None:
        base.__init__(self, *arguments)
        _made.add(self)

    qt.QTimer = type("QTimer", (base,), {"__module__": "qt", "__init__": start})


def running_timers() -> set[Any]:
    """Those that will call again."""
    import shiboken6

    return {timer for timer in set(_made) if shiboken6.isValid(timer) and timer.isActive()}
