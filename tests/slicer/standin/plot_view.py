"""A plot view: the chart that the scene says is shown, drawn plainly; empty where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PySide6 import QtGui, QtWidgets
from vtk.util.numpy_support import vtk_to_numpy

_DOTS_PER_INCH = 100
_EMPTY_STYLE, _PLOT_STYLE = "background: #7a7fb5", "background: white"


class PlotView(QtWidgets.QLabel):
    """Curves over their axes. Slicer draws them with VTK, and with other fonts.

    Args:
        pixels: width and height.
    """

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self._pixels = pixels

    def draw(self) -> None:
        """Show the chart that is shown now."""
        chart = _shown_chart()
        self.setStyleSheet(_EMPTY_STYLE if chart is None else _PLOT_STYLE)
        if chart is None:
            self.clear()
            return
        side = self._pixels / _DOTS_PER_INCH
        canvas = FigureCanvasAgg(Figure((side, side), _DOTS_PER_INCH, layout="constrained"))
        _draw(canvas.figure.add_subplot(), chart)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())
        height, width, _ = pixels.shape
        image = QtGui.QImage(pixels.tobytes(), width, height, 4 * width, QtGui.QImage.Format_RGBA8888)
        self.setPixmap(QtGui.QPixmap.fromImage(image.copy()))


def _shown_chart() -> Any:
    """Of the layouts that have a plot; None for none."""
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    selection = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSelectionNode")
    if layout is None or selection is None:
        return None
    if layout.GetViewArrangement() != slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView:
        return None
    return slicer.mrmlScene.GetNodeByID(selection.GetActivePlotChartID() or "")


def _draw(axes: Any, chart: Any) -> None:
    for index in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(index)
        table = series.GetTableNode().GetTable()
        x, y = (
            vtk_to_numpy(table.GetColumnByName(name))
            for name in (series.GetXColumnName(), series.GetYColumnName())
        )
        is_dashed = series.GetLineStyle() == slicer.vtkMRMLPlotSeriesNode.LineStyleDash
        style = "--" if is_dashed else "o-"
        axes.plot(x, y, style, color=series.GetColor(), linewidth=2, markersize=4, label=series.GetName())
    axes.set(xlabel=chart.GetXAxisTitle(), ylabel=chart.GetYAxisTitle())
    axes.set(xlim=chart.GetXAxisRange(), ylim=chart.GetYAxisRange())
    axes.legend(loc="best", fontsize="small")
