"""A slice view: the pixels come from Slicer's own slice logic, the window around them is ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from PySide6 import QtCore, QtGui, QtWidgets
from vtk.util.numpy_support import vtk_to_numpy

_BAR_PIXELS = 22
_BAR_STYLE = "background: {colour}; color: black; font-weight: bold; padding: 0 6px"


class SliceWidget(QtWidgets.QWidget):
    """One view below a bar with its letter, a slider and the place of the slice.

    Draws background, foreground and label layers; no markups, no segments, no annotations.

    Args:
        name: such as ``Red``.
        orientation: such as ``Axial``.
        colour: of the bar.
        pixels: width and height of the view.
    """

    def __init__(self, name: str, orientation: str, colour: str, pixels: int) -> None:
        super().__init__()
        self.setObjectName(f"qMRMLSliceWidget{name}")
        self._view = QtWidgets.QLabel()
        self._view.setFixedSize(pixels, pixels)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal)
        self._place = QtWidgets.QLabel()
        self._lay_out(name[0], colour)
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._logic.SetMRMLScene(slicer.mrmlScene)
        slicer.app.applicationLogic().GetSliceLogics().AddItem(self._logic)
        self._node = self._logic.AddSliceNode(name)
        # As Slicer's layouts say it: a view that was turned is as it began when the scene closes.
        self._node.SetDefaultOrientation(orientation)
        self._node.SetOrientationToDefault()
        self._logic.ResizeSliceNode(pixels, pixels)

    def sliceLogic(self) -> Any:
        """Its vtkMRMLSliceLogic."""
        return self._logic

    def mrmlSliceNode(self) -> Any:
        """Where it cuts."""
        return self._node

    def mrmlSliceCompositeNode(self) -> Any:
        """What it shows."""
        return self._logic.GetSliceCompositeNode()

    def sliceView(self) -> QtWidgets.QLabel:
        """What shows the slice."""
        return self._view

    def pixels(self) -> np.ndarray:
        """What the view shows, as rows of red, green, blue and alpha, from the top."""
        connection = self._logic.GetImageDataConnection()
        if connection is None:
            return np.zeros((self._view.height, self._view.width, 4), np.uint8)
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
        self._view.setPixmap(QtGui.QPixmap.fromImage(image.copy()))
        low, high = self._bounds_mm()
        offset_mm = self._logic.GetSliceOffset()
        self._slider.setRange(round(low * 10), max(round(high * 10), round(low * 10)))
        self._slider.setValue(round(offset_mm * 10))
        self._place.setText(f"{offset_mm:.2f} mm")

    def _bounds_mm(self) -> tuple[float, float]:
        bounds = [0.0] * 6
        self._logic.GetLowestVolumeSliceBounds(bounds)
        return bounds[4], bounds[5]

    def _lay_out(self, letter: str, colour: str) -> None:
        name = QtWidgets.QLabel(letter)
        name.setStyleSheet(_BAR_STYLE.format(colour=colour))
        self._place.setStyleSheet("padding: 0 6px")
        bar = QtWidgets.QWidget()
        bar.setFixedHeight(_BAR_PIXELS)
        row = QtWidgets.QHBoxLayout(bar)
        row.setContentsMargins(0, 0, 0, 0)
        for widget in (name, self._slider, self._place):
            row.addWidget(widget)
        row.setStretch(1, 1)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(bar)
        column.addWidget(self._view)
        self._view.setStyleSheet("background: black")
