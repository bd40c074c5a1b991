"""Which views there are, and how they are arranged."""

from __future__ import annotations

import slicer
import vtk

from standin.slice_widget import SliceWidget

# Orientation and colour, as in Slicer.
_VIEWS = {
    "Red": ("Axial", "#f34a33"),
    "Yellow": ("Sagittal", "#edd54c"),
    "Green": ("Coronal", "#6eb04b"),
}


class LayoutManager:
    """Three slice views, always, and a plot where the arrangement has one.

    Args:
        pixels: width and height of each.

    Attributes:
        views: by name.
    """

    threeDViewCount = tableViewCount = plotViewCount = 0

    def __init__(self, pixels: int) -> None:
        self.views = {name: SliceWidget(name, *how, pixels) for name, how in _VIEWS.items()}
        # As in Slicer, every scene has one.
        slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.EndCloseEvent, lambda *_: self._begin())
        self._begin()

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
        """Another arrangement; only whether it has a plot is seen."""
        self._node.SetViewArrangement(layout)

    def _begin(self) -> None:
        node = slicer.vtkMRMLLayoutNode()
        for layout in (node.SlicerLayoutFourUpView, node.SlicerLayoutFourUpPlotView):
            node.AddLayoutDescription(layout, "<layout/>")
        self._node = slicer.mrmlScene.AddNode(node)
        self.setLayout(node.SlicerLayoutFourUpView)
