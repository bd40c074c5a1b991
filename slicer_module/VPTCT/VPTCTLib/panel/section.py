"""Section: a part of the panel, with a .ui file. It shows the logic and calls it, and decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable

import slicer

from ..logic.desk import Desk
from ..signal import Signal, Slot


@dataclass(frozen=True)
class Shortcut:
    """A key that does what a button does.

    Attributes:
        keys: such as ``Ctrl+Shift+C``, for Qt.
        text: what it does, for the help.
        press: does it.
    """

    keys: str
    text: str
    press: Callable[[], object]


class Section:
    """Loads ``Resources/UI/<name>.ui``; to be subclassed once per section.

    Args:
        desk: the logic.
        resource: gives the path of a file in the module's Resources.

    Attributes:
        name: of the .ui file; set by the subclass.
        widget: the section.
        ui: its widgets by their names.
    """

    name = ""

    def __init__(self, desk: Desk, resource: Callable[[str], str]) -> None:
        self.desk = desk
        self.widget = slicer.util.loadUI(resource(f"UI/{self.name}.ui"))
        self.ui: Any = slicer.util.childWidgetVariables(self.widget)
        self._followed: list[tuple[Signal, Slot]] = []

    def follow(self, signal: Signal, slot: Slot) -> None:
        """Call this whenever the logic says so, until the section closes."""
        signal.connect(slot)
        self._followed.append((signal, slot))

    def shortcuts(self) -> Sequence[Shortcut]:
        """Its keys."""
        return ()

    def enter(self) -> None:
        """The reader opens the module."""

    def leave(self) -> None:
        """The reader opens another module, or this one ends."""

    def close(self) -> None:
        """Hear no more of the logic."""
        for signal, slot in self._followed:
            signal.disconnect(slot)
        self._followed.clear()
