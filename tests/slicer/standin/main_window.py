"""The main window in miniature: the module panel on the left, three slice views and a plot on the right."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from standin.layout_manager import LayoutManager
from standin.plot_view import PlotView
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
        panel: where the module is.
        views: which views there are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle("3D Slicer (stand-in)")
        self._selector = ModuleSelector()
        self.panel = QtWidgets.QScrollArea()
        self.panel.setWidgetResizable(True)
        self.panel.setFrameShape(QtWidgets.QFrame.NoFrame)
        self.panel.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
        self.panel.setFixedWidth(_PANEL_PIXELS)
        self.views = LayoutManager(_VIEW_PIXELS)
        body = QtWidgets.QWidget()
        row = QtWidgets.QHBoxLayout(body)
        row.setContentsMargins(0, 0, 4, 4)
        row.addWidget(self.panel)
        self._plot = PlotView(_VIEW_PIXELS)
        row.addWidget(_grid([*self.views.views.values(), self._plot]), 1)
        self.setCentralWidget(body)
        self.statusBar()
        self.resize(_PANEL_PIXELS + 2 * _VIEW_PIXELS + 16, 2 * _VIEW_PIXELS + 76)

    def moduleSelector(self) -> ModuleSelector:
        """The list of modules."""
        return self._selector

    def show_module(self, widget: Any) -> None:
        """Put a module's widget into the panel."""
        if self.panel.widget() is not widget:
            self.panel.takeWidget()
            self.panel.setWidget(widget)
        widget.show()

    def take_module(self) -> None:
        """Empty the panel."""
        self.panel.takeWidget()

    def scroll_to(self, widget: Any) -> None:
        """Bring a part of the module's panel to the top of what is seen of it."""
        top = widget.mapTo(self.panel.widget(), QtCore.QPoint(0, 0)).y()
        self.panel.verticalScrollBar().setValue(top)

    def draw(self) -> None:
        """Show the slices as they are now."""
        for view in self.views.views.values():
            view.draw()
        self._plot.draw()


def _grid(views: list[QtWidgets.QWidget]) -> QtWidgets.QWidget:
    """Two by two, as Slicer's four-up views."""
    holder = QtWidgets.QWidget()
    grid = QtWidgets.QGridLayout(holder)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setSpacing(4)
    for place, view in enumerate(views):
        grid.addWidget(view, place // 2, place % 2)
    return holder
