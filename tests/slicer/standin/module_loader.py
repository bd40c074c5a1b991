"""Slicer's loader of scripted modules: imports ``<Name>.py``, lists ``<Name>``, shows ``<Name>Widget``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtWidgets

from standin.mrml_widgets import qMRMLWidget


class qSlicerScriptedLoadableModule:  # noqa: N801
    """A module, as ``slicer.modules.<name>`` has it.

    Args:
        path: of ``<Name>.py``.
    """

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.name = path.stem
        self.title = self.helpText = self.acknowledgementText = ""
        self.categories: list[str] = []
        self.contributors: list[str] = []
        self.dependencies: list[str] = []
        self.associatedNodeTypes: list[str] = []
        self.hidden = False
        self.icon: Any = None
        self._widget: qSlicerScriptedLoadableModuleWidget | None = None

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        """Its widget, made when it is first asked for."""
        if self._widget is None:
            self._widget = qSlicerScriptedLoadableModuleWidget(Path(self.path))
            self._widget.setMRMLScene(slicer.mrmlScene)
            self._widget.start()
        return self._widget

    def unload(self) -> None:
        """Slicer ends: the widget cleans up and is deleted."""
        widget, self._widget = self.widgetRepresentation(), None
        widget.exit()
        slicer.app.moduleManager().remove(self.name)
        if slicer.util.mainWindow() is not None:
            slicer.util.mainWindow().take_module()
        widget.deleteLater()


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):  # noqa: N801
    """Holds ``<Name>Widget`` of a module and calls it.

    Args:
        path: of ``<Name>.py``.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._name = path.stem
        self._python: Any = None
        self._entered = False
        QtWidgets.QVBoxLayout(self)

    @property
    def isEntered(self) -> bool:
        """Whether the module is open."""
        return self._entered

    def self(self) -> Any:
        """The module's own object."""
        return self._python

    def start(self) -> None:
        """Make the module's object and let it make its panel."""
        name = self._name + "Widget"
        self._python = getattr(sys.modules[self._name], name)(self)
        setattr(slicer.modules, name, self._python)
        self._python.setup()

    def reload(self) -> None:
        """What ``slicer.util.reloadScriptedModule`` ends with: a new object of what the file says now."""
        self.start()

    def enter(self) -> None:
        """The reader opens the module."""
        if not self._entered and hasattr(self._python, "enter"):
            self._python.enter()
        self._entered = True

    def exit(self) -> None:
        """The reader opens another module."""
        if self._entered and hasattr(self._python, "exit"):
            self._python.exit()
        self._entered = False


def load_module(path: Path) -> qSlicerScriptedLoadableModule:
    """Load ``<Name>.py`` as Slicer does at its start, from an additional module path."""
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    source = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = source
    spec.loader.exec_module(source)
    module = qSlicerScriptedLoadableModule(path)
    setattr(slicer.modules, module.name.lower(), module)
    setattr(slicer.modules, module.name + "Instance", getattr(source, module.name)(module))
    slicer.app.moduleManager().add(module)
    return module


def unload_module(module: qSlicerScriptedLoadableModule) -> None:
    """Leave no trace of a module, as if Slicer had ended."""
    module.unload()
    del slicer.selfTests[module.name]
    for name in (module.name.lower(), module.name + "Instance", module.name + "Widget"):
        if hasattr(slicer.modules, name):
            delattr(slicer.modules, name)
    sys.modules.pop(module.name, None)
