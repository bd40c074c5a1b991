"""ctkSettingsPanel: a page of the application's settings."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from standin.pythonqt import PythonQtObject


class ctkSettingsPanel(PythonQtObject, QtWidgets.QWidget):  # noqa: N801
    """A page of the application's settings, which keeps its widgets' values in QSettings, as CTK's does."""

    settingChanged = QtCore.Signal(str, object)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._settings: Any = None
        self._kept: dict[str, tuple[Any, str]] = {}
        self._defaults: dict[str, Any] = {}
        self._previous: dict[str, Any] = {}

    def setSettings(self, settings: Any) -> None:
        """Where values are stored from now on; what is stored is shown, and what is not is stored."""
        self._settings = settings
        for key, (widget, name) in self._kept.items():
            if settings.contains(key):
                widget.setProperty(name, settings.value(key))
                self._previous[key] = widget.property(name)
            else:
                settings.setValue(key, widget.property(name))

    def registerProperty(self, key: str, widget: Any, name: str, signal: str) -> None:
        """Keep a widget's property under a key, as often as the widget's signal says so."""
        if not signal.startswith("2"):
            raise ValueError(f'{signal}: write str(qt.SIGNAL("{signal}"))')
        self._kept[key] = (widget, name)
        self._defaults[key] = self._previous[key] = widget.property(name)
        widget.connect(signal[1:], lambda *_values: self._store(key))

    def applySettings(self) -> None:
        """OK."""
        self._previous = {key: widget.property(name) for key, (widget, name) in self._kept.items()}

    def resetSettings(self) -> None:
        """Cancel."""
        self._show(self._previous)

    def restoreDefaultSettings(self) -> None:
        """Restore defaults."""
        self._show(self._defaults)

    def _show(self, values: dict[str, Any]) -> None:
        for key, (widget, name) in self._kept.items():
            widget.setProperty(name, values[key])

    def _store(self, key: str) -> None:
        widget, name = self._kept[key]
        if self._settings is not None:
            self._settings.setValue(key, widget.property(name))
            self.settingChanged.emit(key, widget.property(name))
