"""VolumeWatch: volumes that come, go, change or are shown, whoever does that to them."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from ..signal import Signal
from ..ticker import Ticker, Timer
from .fingerprint import revision
from .heat_map import is_heat_map
from .nodes import nodes_of_class
from .origin import note_arrival

# Readers of files add a volume first and fill it then.
_A_MOMENT_SECONDS = 0.1


class VolumeWatch:
    """Watches the volumes of one scene at a time, and one of them more closely.

    Args:
        ticker: of the main thread, in which all signals come.

    Attributes:
        came: a volume that can be read was loaded; it is given.
        turned: the views show another image than before; what ``seen`` says is given.
        went: a volume is gone; its id is given.
        changed: the volume that is followed has other voxels, or another grid.
    """

    def __init__(self, ticker: Ticker) -> None:
        self.came, self.turned, self.went, self.changed = Signal(), Signal(), Signal(), Signal()
        self._ticker = ticker
        self._scene: slicer.vtkMRMLScene | None = None
        self._tags: list[tuple[Any, int]] = []
        self._volume: slicer.vtkMRMLScalarVolumeNode | None = None
        self._volume_tags: list[int] = []
        self._revision = ""
        self._new: list[str] = []
        self._seen, self._is_turned = "", False
        self._timer: Timer | None = None

    def use(self, scene: slicer.vtkMRMLScene) -> None:
        """Watch this scene, and no other."""
        if scene is self._scene:
            return
        self.leave()
        self._scene = scene
        self._observe(scene, scene.NodeAddedEvent, self._on_added)
        self._observe(scene, scene.NodeRemovedEvent, self._on_removed)
        for composite in nodes_of_class(scene, "vtkMRMLSliceCompositeNode"):
            self._observe(composite, vtk.vtkCommand.ModifiedEvent, self._on_shown)
        for volume in filter(can_be_read, nodes_of_class(scene, "vtkMRMLScalarVolumeNode")):
            note_arrival(volume)
        self._seen, self._is_turned = _id_of(self.seen()), False

    def leave(self) -> None:
        """Watch nothing."""
        self.follow(None)
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        if self._timer is not None:
            self._timer.stop()
        self._scene, self._tags, self._new, self._timer = None, [], [], None
        self._seen, self._is_turned = "", False

    def follow(self, volume: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Tell from now on when this volume changes, and no longer of another one."""
        if self._volume is not None:
            for tag in self._volume_tags:
                self._volume.RemoveObserver(tag)
        self._volume, self._volume_tags = volume, []
        if volume is not None:
            self._revision = revision(volume)
            events = (vtk.vtkCommand.ModifiedEvent, volume.ImageDataModifiedEvent)
            self._volume_tags = [volume.AddObserver(event, self._on_modified) for event in events]

    @property
    def has_views(self) -> bool:
        """Whether there is a slice view, in which something could be seen."""
        return bool(self._in_views())

    def seen(self) -> slicer.vtkMRMLNode | None:
        """The image in the red view, of whatever kind; None where it shows none."""
        return next(iter(self._in_views()), None)

    def shown(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The volume in the red view, or in another one; None where none can be read."""
        return next((each for each in self._in_views() if can_be_read(each)), None)

    def _in_views(self) -> list[slicer.vtkMRMLNode | None]:
        """The image of each slice view, the red one's first; where there is none of it, the first one's."""
        if self._scene is None:
            return []
        composites = nodes_of_class(self._scene, "vtkMRMLSliceCompositeNode")
        composites.sort(key=lambda each: each.GetLayoutName() != "Red")
        return [self._scene.GetNodeByID(each.GetBackgroundVolumeID() or "") for each in composites]

    @vtk.calldata_type(vtk.VTK_OBJECT)  # type: ignore[untyped-decorator]
    def _on_added(self, scene: object, event: str, node: slicer.vtkMRMLNode) -> None:
        if node.IsA("vtkMRMLSliceCompositeNode"):
            self._observe(node, vtk.vtkCommand.ModifiedEvent, self._on_shown)
        elif node.IsA("vtkMRMLScalarVolumeNode"):
            self._new.append(node.GetID())
            self._look_soon()

    @vtk.calldata_type(vtk.VTK_OBJECT)  # type: ignore[untyped-decorator]
    def _on_removed(self, scene: object, event: str, node: slicer.vtkMRMLNode) -> None:
        if node.IsA("vtkMRMLScalarVolumeNode"):
            if node is self._volume:
                self.follow(None)
            self.went.emit(node.GetID())

    def _on_shown(self, *_event: object) -> None:
        seen = _id_of(self.seen())
        if seen != self._seen:
            self._seen, self._is_turned = seen, True
            self._look_soon()

    def _on_modified(self, *_event: object) -> None:
        now = revision(self._volume)
        if now != self._revision:
            self._revision = now
            self.changed.emit()

    def _look_soon(self) -> None:
        if self._timer is None:
            self._timer = self._ticker.after(_A_MOMENT_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        new, self._new = self._new, []
        for volume_id in reversed(new):
            volume = self._scene.GetNodeByID(volume_id) if self._scene is not None else None
            if can_be_read(volume):
                note_arrival(volume)
                self.came.emit(volume)
        if self._is_turned:
            # What is seen now, however often it changed since.
            self._is_turned = False
            self.turned.emit(self.seen())

    def _observe(self, observed: Any, event: int, call: Any) -> None:
        self._tags.append((observed, observed.AddObserver(event, call)))


def _id_of(node: slicer.vtkMRMLNode | None) -> str:
    return "" if node is None else str(node.GetID())


def can_be_read(node: slicer.vtkMRMLNode | None) -> bool:
    """Whether a node is a volume of grey values: no segmentation, colour image, heat map or hidden helper."""
    return (
        node is not None
        # Exactly this class: label maps and colour images are kinds of it.
        and node.GetClassName() == "vtkMRMLScalarVolumeNode"
        and node.GetImageData() is not None
        and not node.GetHideFromEditors()
        and not is_heat_map(node)
    )
