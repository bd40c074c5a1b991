"""Plot view: a chart beside the slices, in a layout that has room for it, until it is taken away."""

from __future__ import annotations

import slicer

from .nodes import VOLUME, nodes_of_class

# Where the layout before is remembered; a saved scene that opens with the plot can close it, too.
_BEFORE = "VPTCT.layoutBefore"
_WITH_PLOT = (
    "SlicerLayoutConventionalPlotView",
    "SlicerLayoutFourUpPlotView",
    "SlicerLayoutFourUpPlotTableView",
    "SlicerLayoutOneUpPlotView",
    "SlicerLayoutThreeOverThreePlotView",
)


def show_chart(chart: slicer.vtkMRMLPlotChartNode) -> None:
    """Show a chart; where the layout has no plot, the one with three slice views and a plot is taken."""
    scene = chart.GetScene()
    for layout in nodes_of_class(scene, "vtkMRMLLayoutNode"):
        if layout.GetViewArrangement() not in _layouts_with_plot():
            layout.SetAttribute(_BEFORE, str(layout.GetViewArrangement()))
            layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView)
    for selection in nodes_of_class(scene, "vtkMRMLSelectionNode"):
        # For plot views that are made later.
        selection.SetActivePlotChartID(chart.GetID())
    for view in nodes_of_class(scene, "vtkMRMLPlotViewNode"):
        view.SetPlotChartNodeID(chart.GetID())


def hide_other_charts(scene: slicer.vtkMRMLScene, chart: slicer.vtkMRMLPlotChartNode | None = None) -> None:
    """Take results' charts out of the plot views: those that are not of what is on screen.

    Args:
        scene: with the views.
        chart: that may stay.
    """
    for view in nodes_of_class(scene, "vtkMRMLPlotViewNode"):
        shown = view.GetPlotChartNode()
        if shown is not None and shown is not chart and shown.GetNodeReferenceID(VOLUME):
            view.SetPlotChartNodeID(None)
    for selection in nodes_of_class(scene, "vtkMRMLSelectionNode"):
        shown = scene.GetNodeByID(selection.GetActivePlotChartID() or "")
        if shown is not None and shown is not chart and shown.GetNodeReferenceID(VOLUME):
            selection.SetActivePlotChartID(None)


def leave_plot_layout(scene: slicer.vtkMRMLScene) -> None:
    """Go back to the layout before, unless the reader has chosen another one since."""
    for layout in nodes_of_class(scene, "vtkMRMLLayoutNode"):
        before = layout.GetAttribute(_BEFORE)
        layout.RemoveAttribute(_BEFORE)
        shown = layout.GetViewArrangement()
        if before is not None and shown == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView:
            layout.SetViewArrangement(int(before))


def _layouts_with_plot() -> set[int]:
    return {getattr(slicer.vtkMRMLLayoutNode, name) for name in _WITH_PLOT}
