"""ctkSettingsPanel: a page of the application's settings."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from standin.pythonqt import PythonQtObject


class ctkSettingsPanel(PythonQtObject, QtWidgets.QWidget):  # noqa: N801
    """A page of the application's settings, which keeps its widgets' values in QSettings.

    Attributes:
        registered: what was: key, widget, property, signal, then words.
    """

    settingChanged = QtCore.Signal(str, object)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.registered: list[tuple[Any, ...]] = []

    def registerProperty(self, *arguments: Any) -> None:
        """Keep a widget's property under a key."""
        self.registered.append(arguments)
