"""``slicer.app``: the parts of the application that a scripted module asks for."""

from __future__ import annotations

import tempfile
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from standin.pythonqt import PythonQtObject


class ModuleManager(PythonQtObject, QtCore.QObject):
    """The modules that are loaded."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)
    moduleLoaded = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Any] = {}

    def module(self, name: str) -> Any:
        """The module of this name, or None."""
        return self._modules.get(name)

    def modulesNames(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._modules)

    def add(self, module: Any) -> None:
        """A module was loaded."""
        self._modules[module.name] = module
        self.moduleLoaded.emit(module.name)

    def remove(self, name: str) -> None:
        """A module is unloaded; its widget cleans up now."""
        self.moduleAboutToBeUnloaded.emit(name)
        del self._modules[name]


class SettingsDialog:
    """The application's settings.

    Attributes:
        panels: by the titles in the list on the left.
    """

    def __init__(self) -> None:
        self.panels: dict[str, Any] = {}

    def addPanel(self, title: str, panel: Any) -> None:
        """Add a page."""
        import qt  # made after this file is read

        panel.setSettings(qt.QSettings())
        self.panels[title] = panel


class Application(PythonQtObject, QtWidgets.QApplication):
    """The application.

    Attributes:
        testing: what testingEnabled() says; True makes Slicer's own dialogs answer by themselves.
    """

    startupCompleted = QtCore.Signal()

    def __init__(self) -> None:
        super().__init__(["Slicer"])
        self._window: Any = None
        self._logic: Any = None
        self._manager = ModuleManager()
        self._settings_dialog = SettingsDialog()
        self._testing = False

    def set_parts(self, logic: Any) -> None:
        """What is made after the application is there."""
        self._logic = logic

    def set_window(self, window: Any) -> None:
        """The main window, or None where there is none."""
        self._window = window

    def set_testing(self, testing: bool) -> None:
        """Let Slicer's own dialogs answer by themselves, as ``Slicer --testing`` does."""
        self._testing = testing

    def testingEnabled(self) -> bool:
        """Whether Slicer's own dialogs answer by themselves."""
        return self._testing

    def applicationLogic(self) -> Any:
        """The logic above the modules'."""
        return self._logic

    def layoutManager(self) -> Any:
        """Which views there are, or None without a main window."""
        return self._window.views if self._window is not None else None

    def mrmlScene(self) -> Any:
        """The scene."""
        return slicer.mrmlScene

    def moduleManager(self) -> ModuleManager:
        """The modules."""
        return self._manager

    def settingsDialog(self) -> SettingsDialog:
        """The application's settings."""
        return self._settings_dialog

    def userSettings(self) -> Any:
        """What is stored of them."""
        import qt  # made after this file is read

        return qt.QSettings()

    def settings(self) -> Any:
        """What is stored of them."""
        return self.userSettings()

    def translate(self, context: str, text: str) -> str:
        """English stays English."""
        return text

    def moduleDocumentationUrl(self, name: str) -> str:
        """Where Slicer would look for a module's page."""
        return f"https://slicer.readthedocs.io/en/latest/user_guide/modules/{name.lower()}.html"

    def pauseRender(self) -> None:
        """Views are drawn when a picture is taken, and not before."""

    def resumeRender(self) -> None:
        """See pauseRender."""

    @property
    def temporaryPath(self) -> str:
        """Where temporary files go."""
        return tempfile.gettempdir()
