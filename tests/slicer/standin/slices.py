"""Slice views: the pixels come from Slicer's own slice logic, the window around them is ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from PySide6 import QtGui, QtWidgets
from vtk.util.numpy_support import vtk_to_numpy

from standin.pythonqt import PythonQtObject

VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}


class SliceWidget(PythonQtObject, QtWidgets.QLabel):
    """One view. Draws background, foreground and label layers; no markups, no segments, no annotations."""

    def __init__(self, name: str, orientation: str, pixels: int) -> None:
        super().__init__()
        self.setObjectName(f"qMRMLSliceWidget{name}")
        self.setFixedSize(pixels, pixels)
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        logic.SetMRMLScene(slicer.mrmlScene)
        slicer.app.applicationLogic().GetSliceLogics().AddItem(logic)
        self._logic = logic
        self._node = logic.AddSliceNode(name)
        self._node.SetOrientation(orientation)
        self._node.SetLayoutColor(*_COLOURS[name])
        logic.ResizeSliceNode(pixels, pixels)

    def sliceLogic(self) -> Any:
        """Its vtkMRMLSliceLogic."""
        return self._logic

    def mrmlSliceNode(self) -> Any:
        """Where it cuts."""
        return self._node

    def mrmlSliceCompositeNode(self) -> Any:
        """What it shows."""
        return self._logic.GetSliceCompositeNode()

    def sliceController(self) -> Any:
        """There is no bar with a slider above the view."""

    def pixels(self) -> np.ndarray:
        """What the view shows, as rows of red, green, blue and alpha, from the top."""
        connection = self._logic.GetImageDataConnection()
        if connection is None:
            return np.zeros((self.height, self.width, 4), np.uint8)
        connection.GetProducer().Update()
        image = connection.GetProducer().GetOutputDataObject(connection.GetIndex())
        width, height, _ = image.GetDimensions()
        scalars = vtk_to_numpy(image.GetPointData().GetScalars())
        return np.ascontiguousarray(scalars.reshape(height, width, 4)[::-1])

    def draw(self) -> None:
        """Show it as it is now."""
        pixels = self.pixels()
        pixels[..., 3] = 255
        height, width, _ = pixels.shape
        image = QtGui.QImage(pixels.data, width, height, 4 * width, QtGui.QImage.Format_RGBA8888)
        self.setPixmap(QtGui.QPixmap.fromImage(image.copy()))


_COLOURS = {"Red": (0.95, 0.29, 0.29), "Yellow": (0.93, 0.84, 0.30), "Green": (0.43, 0.69, 0.29)}


class LayoutManager:
    """Which views there are."""

    threeDViewCount = tableViewCount = plotViewCount = 0

    def __init__(self, pixels: int) -> None:
        self.views = {name: SliceWidget(name, orientation, pixels) for name, orientation in VIEWS.items()}
        self.layout = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView

    def sliceViewNames(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.views)

    def sliceWidget(self, name: str) -> SliceWidget:
        """The view of this name."""
        return self.views[name]

    def mrmlSliceLogics(self) -> vtk.vtkCollection:
        """The logic of all of them."""
        return slicer.app.applicationLogic().GetSliceLogics()

    def resetSliceViews(self) -> None:
        """Fit all of them to what they show."""
        for view in self.views.values():
            view.sliceLogic().FitSliceToAll()

    def setLayout(self, layout: int) -> None:
        """Another arrangement; here it is remembered, and the views stay where they are."""
        self.layout = layout
