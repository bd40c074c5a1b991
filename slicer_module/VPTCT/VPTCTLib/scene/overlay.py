"""Overlay: a heat map over its volume in the slice views, and over no other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import slicer
import vtk

from .heat_map import follow_transform, is_heat_map
from .nodes import nodes_of_class, volume_of


@dataclass(frozen=True)
class _Before:
    """What lay over the volume in a view before the map did.

    Attributes:
        foreground: the id of a node; "" for none.
        opacity: of it.
    """

    foreground: str
    opacity: float


class Overlay:
    """Puts one map at a time over its volume, in every slice view that shows the volume.

    Whatever brings another volume into a view, a map of ours that is not of this one is taken away there.
    """

    def __init__(self) -> None:
        self._scene: slicer.vtkMRMLScene | None = None
        self._tags: list[tuple[Any, int]] = []
        self._moved: tuple[Any, int] | None = None
        self._before: dict[str, _Before] = {}

    def use(self, scene: slicer.vtkMRMLScene) -> None:
        """Look after the views of this scene, and of no other."""
        if scene is self._scene:
            return
        self.leave()
        self._scene = scene
        self._observe(scene, scene.NodeAddedEvent, self._on_added)
        for composite in nodes_of_class(scene, "vtkMRMLSliceCompositeNode"):
            self._observe(composite, vtk.vtkCommand.ModifiedEvent, self._on_view)
        self.show(None, 0.0)

    def leave(self) -> None:
        """Take the map away, and look after no scene."""
        self.show(None, 0.0)
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        self._scene, self._tags, self._before = None, [], {}

    def show(self, heat_map: slicer.vtkMRMLScalarVolumeNode | None, opacity: float) -> None:
        """Show this map where its volume is shown; None takes it away, and brings back what lay there before.

        Args:
            heat_map: as ``add_heat_map`` gives it.
            opacity: 0 for not at all, 1 for the map alone where it is hot.
        """
        self._follow(heat_map)
        if self._scene is None:
            return
        for composite in nodes_of_class(self._scene, "vtkMRMLSliceCompositeNode"):
            if _map_in(composite) not in (None, heat_map):
                self._take_away(composite)
            self._put_right(composite)
            if heat_map is not None and _shows_volume_of(composite, heat_map):
                self._put_over(composite, heat_map, opacity)

    def _put_over(
        self,
        composite: slicer.vtkMRMLSliceCompositeNode,
        heat_map: slicer.vtkMRMLScalarVolumeNode,
        opacity: float,
    ) -> None:
        there = composite.GetForegroundVolumeID() or ""
        if there != heat_map.GetID():
            self._before[composite.GetID()] = _Before(there, composite.GetForegroundOpacity())
            composite.SetForegroundVolumeID(heat_map.GetID())
        composite.SetForegroundOpacity(opacity)

    def _put_right(self, composite: slicer.vtkMRMLSliceCompositeNode) -> None:
        """Take away a map that lies over a volume that it is not of."""
        there = _map_in(composite)
        if there is not None and not _shows_volume_of(composite, there):
            # What lay below it was at home over that other volume, too.
            self._before.pop(composite.GetID(), None)
            self._take_away(composite)

    def _take_away(self, composite: slicer.vtkMRMLSliceCompositeNode) -> None:
        before = self._before.pop(composite.GetID(), _Before("", 0.0))
        is_there = composite.GetScene().GetNodeByID(before.foreground) is not None
        composite.SetForegroundVolumeID(before.foreground if is_there else None)
        composite.SetForegroundOpacity(before.opacity if is_there else 0.0)

    def _follow(self, heat_map: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Keep a map where its volume is, also while the reader registers it to another one."""
        volume = None if heat_map is None else volume_of(heat_map)
        if self._moved is not None:
            observed, tag = self._moved
            observed.RemoveObserver(tag)
            self._moved = None
        if volume is not None:
            follow_transform(heat_map, volume)
            tag = volume.AddObserver(
                volume.TransformModifiedEvent, lambda *_event: follow_transform(heat_map, volume)
            )
            self._moved = volume, tag

    def _on_view(self, composite: slicer.vtkMRMLSliceCompositeNode, event: str) -> None:
        self._put_right(composite)

    @vtk.calldata_type(vtk.VTK_OBJECT)  # type: ignore[untyped-decorator]
    def _on_added(self, scene: object, event: str, node: slicer.vtkMRMLNode) -> None:
        if node.IsA("vtkMRMLSliceCompositeNode"):
            self._observe(node, vtk.vtkCommand.ModifiedEvent, self._on_view)

    def _observe(self, observed: Any, event: int, call: Any) -> None:
        self._tags.append((observed, observed.AddObserver(event, call)))


def _map_in(composite: slicer.vtkMRMLSliceCompositeNode) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The map that a view shows; None for none of ours."""
    scene = composite.GetScene()
    there = scene.GetNodeByID(composite.GetForegroundVolumeID() or "") if scene is not None else None
    return there if is_heat_map(there) else None


def _shows_volume_of(composite: slicer.vtkMRMLSliceCompositeNode, heat_map: slicer.vtkMRMLNode) -> bool:
    volume = volume_of(heat_map)
    return volume is not None and composite.GetBackgroundVolumeID() == volume.GetID()
