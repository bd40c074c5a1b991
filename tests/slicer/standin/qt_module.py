"""The module ``qt`` of Slicer: all of Qt in one, with PythonQt's manners."""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import Any

from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

from standin.dialogs import asking, dialogs
from standin.pythonqt import properties_as_attributes, with_manners
from standin.timers import remember_timers

# Classes that have subclasses in Qt, and that code in Slicer makes and connects nevertheless. Replacing more
# than these and the classes without subclasses would make isinstance(button, qt.QWidget) untrue.
_MADE_OFTEN = {"QAction", "QComboBox", "QPushButton", "QTabWidget", "QTextEdit", "QTimer"}
_MESSAGES = ("question", "information", "warning", "critical", "about")
_INPUTS = ("getText", "getMultiLineText", "getItem", "getInt", "getDouble")
_FILES = ("getOpenFileName", "getOpenFileNames", "getSaveFileName", "getExistingDirectory")


def install_qt() -> ModuleType:
    """Make ``import qt`` work, as it does in Slicer."""
    qt = ModuleType("qt")
    for part in (QtCore, QtGui, QtWidgets, QtUiTools, QtNetwork):
        for name in dir(part):
            if name.startswith("Q"):
                setattr(qt, name, getattr(part, name))
    objects = [cls for cls in vars(qt).values() if inspect.isclass(cls) and issubclass(cls, QtCore.QObject)]
    for cls in objects:
        properties_as_attributes(cls)
    for cls in objects:
        has_subclasses = any(other is not cls and issubclass(other, cls) for other in objects)
        if not has_subclasses or cls.__name__ in _MADE_OFTEN:
            _replace(qt, cls)
    remember_timers(qt)
    _add_what_pythonqt_adds(qt)
    _ask_the_test(qt)
    sys.modules["qt"] = qt
    return qt


def _replace(qt: ModuleType, cls: Any) -> None:
    if issubclass(cls, QtCore.QCoreApplication):
        return
    try:
        setattr(qt, cls.__name__, with_manners(cls))
    except TypeError:
        return  # a class that cannot be derived from, and so is not made by hand either


def _add_what_pythonqt_adds(qt: ModuleType) -> None:
    qt.QObject.className = lambda self: self.metaObject().className()
    qt.QObject.name = property(
        lambda self: self.property("objectName"), lambda self, name: self.setProperty("objectName", name)
    )
    qt.SIGNAL = lambda signature: f"2{signature}"
    qt.QMenu.exec_ = qt.QMenu.exec
    qt.QEventLoop.exec_ = qt.QEventLoop.exec


def _ask_the_test(qt: ModuleType) -> None:
    """No dialog waits for a hand: see :mod:`standin.dialogs`."""
    qt.QDialog.exec_ = lambda self: dialogs.run(self)
    for name in _MESSAGES:
        setattr(qt.QMessageBox, name, asking(f"QMessageBox.{name}"))
    # PythonQt returns what the reader typed or chose, without Qt's second value.
    for name in _INPUTS:
        setattr(qt.QInputDialog, name, asking(f"QInputDialog.{name}"))
    for name in _FILES:
        setattr(qt.QFileDialog, name, asking(f"QFileDialog.{name}"))
    qt.QDesktopServices = type("QDesktopServices", (), {"openUrl": staticmethod(_open)})


def _open(url: Any) -> bool:
    dialogs.opened.append(url.toString())
    return True
