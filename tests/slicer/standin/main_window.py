"""The main window in miniature: the module panel on the left, three slice views on the right."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from standin.layout_manager import LayoutManager
from standin.pythonqt import PythonQtObject

_VIEW_PIXELS = 480
_PANEL_PIXELS = 520


class ModuleSelector(QtCore.QObject):
    """The list of modules; choosing one enters it and leaves the one before."""

    moduleSelected = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.selectedModule = ""

    def selectModule(self, name: str) -> None:
        """Open a module; of one that the stand-in does not have, only the name is remembered."""
        manager = slicer.app.moduleManager()
        before = manager.module(self.selectedModule)
        if before is not None:
            before.widgetRepresentation().exit()
        self.selectedModule = name
        module = manager.module(name)
        if module is not None:
            slicer.util.mainWindow().show_module(module.widgetRepresentation())
            module.widgetRepresentation().enter()
        self.moduleSelected.emit(name)


class MainWindow(PythonQtObject, QtWidgets.QMainWindow):
    """The window of the application.

    Attributes:
        views: which views there are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle("3D Slicer (stand-in)")
        self._selector = ModuleSelector()
        self._panel = QtWidgets.QScrollArea()
        self._panel.setWidgetResizable(True)
        self._panel.setFrameShape(QtWidgets.QFrame.NoFrame)
        self._panel.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
        self._panel.setFixedWidth(_PANEL_PIXELS)
        self.views = LayoutManager(_VIEW_PIXELS)
        body = QtWidgets.QWidget()
        row = QtWidgets.QHBoxLayout(body)
        row.setContentsMargins(0, 0, 4, 4)
        row.addWidget(self._panel)
        row.addWidget(_grid(list(self.views.views.values())), 1)
        self.setCentralWidget(body)
        self.statusBar()
        self.resize(_PANEL_PIXELS + 2 * _VIEW_PIXELS + 16, 2 * _VIEW_PIXELS + 76)

    def moduleSelector(self) -> ModuleSelector:
        """The list of modules."""
        return self._selector

    def show_module(self, widget: Any) -> None:
        """Put a module's widget into the panel."""
        if self._panel.widget() is not widget:
            self._panel.takeWidget()
            self._panel.setWidget(widget)
        widget.show()

    def take_module(self) -> None:
        """Empty the panel."""
        self._panel.takeWidget()

    def scroll_to(self, widget: Any) -> None:
        """Bring a part of the module's panel to the top of what is seen of it."""
        top = widget.mapTo(self._panel.widget(), QtCore.QPoint(0, 0)).y()
        self._panel.verticalScrollBar().setValue(top)

    def draw(self) -> None:
        """Show the slices as they are now."""
        for view in self.views.views.values():
            view.draw()


def _grid(views: list[QtWidgets.QWidget]) -> QtWidgets.QWidget:
    """Two by two, as Slicer's four-up view, with nothing in its 3D view."""
    holder = QtWidgets.QWidget()
    grid = QtWidgets.QGridLayout(holder)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setSpacing(4)
    for place, view in enumerate(views):
        grid.addWidget(view, place // 2, place % 2)
    empty = QtWidgets.QLabel()
    empty.setStyleSheet("background: #7a7fb5")
    grid.addWidget(empty, 1, 1)
    return holder
