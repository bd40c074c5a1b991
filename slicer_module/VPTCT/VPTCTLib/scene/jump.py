"""Jumps: the slice views show a volume, and the very slice that is meant.

Slices are told by the volume's own patient z, in which the server answers, wherever transforms show it. An
axial view is any slice view that is nearer to the volume's slices than to its other planes; the other views
keep their place when one jumps.
"""

from __future__ import annotations

from typing import Callable

import slicer
import vtk

from ..i18n import tr as _
from .nodes import nodes_of_class
from .views import AXIAL, ShownVolume, meant_plane, slice_views

# So that a reader's own window survives: it is set once for every volume.
_WINDOW_SET = "VPTCT.windowSet"


def show_volume(
    volume: slicer.vtkMRMLScalarVolumeNode, *, window_centre_hu: float, window_width_hu: float
) -> None:
    """Show a volume in all slice views, whole; the HU window is set only when it is shown first."""
    set_window_once(volume, window_centre_hu=window_centre_hu, window_width_hu=window_width_hu)
    put_into_views(volume)


def put_into_views(volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show a volume in all slice views, whole, in the HU window that it has.

    Where another volume was shown, what lies over it goes with it.
    """
    scene, shown = volume.GetScene(), volume.GetID()
    for selection in nodes_of_class(scene, "vtkMRMLSelectionNode"):
        selection.SetActiveVolumeID(shown)
    changed = set()
    for composite in nodes_of_class(scene, "vtkMRMLSliceCompositeNode"):
        if composite.GetBackgroundVolumeID() != shown:
            composite.SetBackgroundVolumeID(shown)
            composite.SetForegroundVolumeID(None)
            composite.SetLabelVolumeID(None)
            changed.add(composite.GetLayoutName())
    place = ShownVolume(volume)
    for view in slice_views(scene):
        if view.GetLayoutName() in changed:
            # Not the nearest plane: a transform may turn the volume by more than 45 degrees.
            place.turn(view, meant_plane(view) or place.plane_of(view))
            place.fit(view)


def align_to_volume(volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Turn every slice view to the plane of the volume that it is nearest to, so that it shows whole slices.

    Views that show such a plane already stay as they are.
    """
    place = ShownVolume(volume)
    for view in slice_views(volume.GetScene()):
        place.turn(view, place.plane_of(view))


def jump_to(volume: slicer.vtkMRMLScalarVolumeNode, z_mm: float) -> None:
    """Let every axial view show the slice nearest to this z (patient z of the volume itself, LPS+).

    A view that is turned against the slices of the volume then cuts this one in its middle.
    """
    place = ShownVolume(volume)
    for view in slice_views(volume.GetScene()):
        if place.plane_of(view) == AXIAL:
            view.JumpSliceByOffsetting(*place.centre(z_mm))


def remark_on_place(volume: slicer.vtkMRMLScalarVolumeNode) -> str:
    """What a reader should know of where a volume is shown; "" for nothing."""
    transform = volume.GetParentTransformNode()
    if transform is None or transform.IsTransformToWorldLinear():
        return ""
    return _("A transform bends this volume where it is shown: jumps go to the middle of a slice alone.")


def current_z(volume: slicer.vtkMRMLScalarVolumeNode) -> float | None:
    """Patient z of the slice that the axial view shows; None without such a view, or beside the volume."""
    place = ShownVolume(volume)
    for view in slice_views(volume.GetScene()):
        if place.plane_of(view) == AXIAL:
            index = place.slice_in(view)
            return None if index is None else place.geometry.z_of(index)
    return None


class SliceWatch:
    """Calls back, in the main thread, when the axial view shows another slice of a volume.

    Args:
        volume: whose slices.
        changed: is given ``current_z``.
    """

    def __init__(
        self, volume: slicer.vtkMRMLScalarVolumeNode, changed: Callable[[float | None], None]
    ) -> None:
        self._volume = volume
        self._scene = volume.GetScene()
        self._changed = changed
        self._last = current_z(volume)
        self._tags: dict[slicer.vtkMRMLSliceNode, int] = {}
        moved = volume.TransformModifiedEvent
        self._volume_tag = volume.AddObserver(moved, self._look)
        # Layouts bring new views.
        self._scene_tag = self._scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, self._watch_views)
        self._watch_views()

    def stop(self) -> None:
        """Call back no more."""
        self._volume.RemoveObserver(self._volume_tag)
        self._scene.RemoveObserver(self._scene_tag)
        for view, tag in self._tags.items():
            view.RemoveObserver(tag)
        self._tags = {}

    def _watch_views(self, *_event: object) -> None:
        for view in slice_views(self._scene):
            if view not in self._tags:
                self._tags[view] = view.AddObserver(vtk.vtkCommand.ModifiedEvent, self._look)

    def _look(self, *_event: object) -> None:
        if self._volume.GetScene() is None or self._volume.GetImageData() is None:
            return
        now = current_z(self._volume)
        if now != self._last:
            self._last = now
            self._changed(now)


def set_window_once(
    volume: slicer.vtkMRMLScalarVolumeNode, *, window_centre_hu: float, window_width_hu: float
) -> None:
    """Show a volume in this HU window from now on, unless that was said of it before."""
    if volume.GetAttribute(_WINDOW_SET):
        return
    display = volume.GetDisplayNode()
    if display is None:
        display = slicer.vtkMRMLScalarVolumeDisplayNode()
    # Before the volume has it: a display that looks for a window of its own takes half a second for that.
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(window_width_hu, window_centre_hu)
    if volume.GetDisplayNode() is None:
        volume.GetScene().AddNode(display)
        display.SetDefaultColorMap()
        volume.SetAndObserveDisplayNodeID(display.GetID())
    volume.SetAttribute(_WINDOW_SET, "1")
