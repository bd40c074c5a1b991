"""The module ``ctk`` of Slicer: the few widgets of CTK that a module's panel uses."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from standin.pythonqt import PythonQtObject


def install_ctk(qt: ModuleType) -> ModuleType:
    """Make ``import ctk`` work, as it does in Slicer."""
    ctk = ModuleType("ctk")
    sys.modules["ctk"] = ctk
    ctk.ctkCollapsibleButton = _collapsible_button(qt)
    ctk.ctkSettingsPanel = _settings_panel(qt)
    for name, base in {
        "ctkMessageBox": qt.QMessageBox,
        "ctkPushButton": qt.QPushButton,
        "ctkCheckBox": qt.QCheckBox,
        "ctkComboBox": qt.QComboBox,
    }.items():
        made = type(name, (base,), {"__module__": "ctk"})
        setattr(ctk, name, made)
    return ctk


def _collapsible_button(qt: ModuleType) -> type:
    from PySide6 import QtCore, QtGui, QtWidgets

    class ctkCollapsibleButton(PythonQtObject, QtWidgets.QAbstractButton):  # noqa: N801
        """A header that shows and hides what is below it."""

        contentsCollapsed = QtCore.Signal(bool)
        HEADER_PIXELS = 24

        def __init__(self, *arguments: Any) -> None:
            texts = [argument for argument in arguments if isinstance(argument, str)]
            parents = [argument for argument in arguments if isinstance(argument, QtWidgets.QWidget)]
            super().__init__(*parents)
            self._hidden: list[QtWidgets.QWidget] = []
            self.setText(texts[0] if texts else "")
            self.setCheckable(True)
            self.setChecked(True)
            self.setContentsMargins(2, self.HEADER_PIXELS, 2, 2)
            self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Preferred)
            self.toggled.connect(self._toggled)

        def _set_collapsed(self, collapsed: bool) -> None:
            self.setChecked(not collapsed)

        collapsed = QtCore.Property(bool, lambda self: not self.isChecked(), _set_collapsed)

        def _toggled(self, is_open: bool) -> None:
            widgets = [child for child in self.children() if child.isWidgetType()]
            if is_open:
                for child in self._hidden:
                    child.show()
                self._hidden = []
            else:
                self._hidden = [child for child in widgets if not child.isHidden()]
                for child in self._hidden:
                    child.hide()
            self.updateGeometry()
            self.update()
            self.contentsCollapsed.emit(not is_open)

        def childEvent(self, event: Any) -> None:
            child = event.child()
            if event.added() and child.isWidgetType() and not self.isChecked():
                child.hide()
                self._hidden.append(child)

        def hitButton(self, position: Any) -> bool:
            return position.y() < self.HEADER_PIXELS

        def sizeHint(self) -> Any:
            if self.layout() is not None and self.isChecked():
                return self.layout().totalSizeHint()
            return QtCore.QSize(120, self.HEADER_PIXELS + 2)

        def minimumSizeHint(self) -> Any:
            if self.layout() is not None and self.isChecked():
                return self.layout().totalMinimumSize()
            return QtCore.QSize(60, self.HEADER_PIXELS + 2)

        def paintEvent(self, event: Any) -> None:
            painter = QtGui.QPainter(self)
            width = self.width
            painter.setRenderHint(QtGui.QPainter.Antialiasing)
            painter.setPen(QtCore.Qt.NoPen)
            painter.setBrush(self.palette.color(QtGui.QPalette.Button).darker(106))
            painter.drawRoundedRect(0, 0, width, self.HEADER_PIXELS - 3, 3, 3)
            painter.setPen(self.palette.color(QtGui.QPalette.ButtonText))
            painter.drawText(8, 16, "▾" if self.isChecked() else "▸")
            font = painter.font()
            font.setBold(True)
            painter.setFont(font)
            painter.drawText(24, 16, self.text)
            painter.end()

    ctkCollapsibleButton.__module__ = "ctk"
    return ctkCollapsibleButton


def _settings_panel(qt: ModuleType) -> type:
    from PySide6 import QtCore, QtWidgets

    class ctkSettingsPanel(PythonQtObject, QtWidgets.QWidget):  # noqa: N801
        """A page of the application's settings, which keeps its widgets' values in QSettings."""

        settingChanged = QtCore.Signal(str, object)

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.registered: list[tuple[Any, ...]] = []

        def registerProperty(self, *arguments: Any) -> None:
            """Keep a widget's property under a key: key, widget, property, signal, then words."""
            self.registered.append(arguments)

    ctkSettingsPanel.__module__ = "ctk"
    return ctkSettingsPanel
