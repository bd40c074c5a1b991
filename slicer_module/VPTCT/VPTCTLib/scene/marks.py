"""Marks: ranges of slices drawn as boxes around the volume's own slices, to be seen and not to be moved."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import slicer

from ..finding_words import finding_in_words
from ..i18n import tr as _
from .geometry import StudyGeometry, geometry_of
from .nodes import belong_to, nodes_of_class, volume_of

_CLASS = "vtkMRMLMarkupsROINode"
_FINDING = "VPTCT.markedFinding"
_FILL_OPACITY = 0.12


def show_ranges(
    volume: slicer.vtkMRMLScalarVolumeNode,
    finding: str,
    ranges_mm: Sequence[tuple[float, float]],
    *,
    colour: tuple[float, float, float],
) -> list[slicer.vtkMRMLMarkupsROINode]:
    """Draw ranges of slices of a volume, in place of those that were drawn for this finding.

    Args:
        volume: they are of; they follow the transform that it is under.
        finding: its name.
        ranges_mm: patient z (LPS+) of the centres of the lowest and the highest slice of each.
        colour: red, green, blue, from 0 to 1.

    Returns:
        A box for each range.
    """
    visible = all(box.GetDisplayVisibility() for box in _boxes(volume, finding))
    clear_ranges(volume, finding)
    geometry = geometry_of(volume)
    boxes = []
    for low_mm, high_mm in ranges_mm:
        name = _("{finding}: slices").format(finding=finding_in_words(finding))
        box = volume.GetScene().AddNewNodeByClass(_CLASS, name)
        box.SetAttribute(_FINDING, finding)
        belong_to(box, volume)
        _enclose(box, geometry, low_mm, high_mm)
        box.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        _make_quiet(box, colour)
        box.SetDisplayVisibility(visible)
        boxes.append(box)
    return boxes


def set_ranges_visible(volume: slicer.vtkMRMLScalarVolumeNode, visible: bool) -> None:
    """Show or hide all boxes of a volume."""
    for box in _boxes(volume):
        box.SetDisplayVisibility(visible)


def clear_ranges(volume: slicer.vtkMRMLScalarVolumeNode, finding: str = "") -> None:
    """Remove the boxes of a volume, of one finding or of all."""
    for box in _boxes(volume, finding):
        volume.GetScene().RemoveNode(box)


def keep_only_ranges(
    scene: slicer.vtkMRMLScene, volume: slicer.vtkMRMLScalarVolumeNode | None, findings: Collection[str]
) -> None:
    """Remove all boxes of a scene but those of these findings of this volume."""
    for box in nodes_of_class(scene, _CLASS):
        finding = box.GetAttribute(_FINDING)
        if finding and not (volume_of(box) is volume and finding in findings):
            scene.RemoveNode(box)


def remove_ranges_of_missing_volumes(scene: slicer.vtkMRMLScene) -> None:
    """Remove the boxes of volumes that are gone."""
    for box in nodes_of_class(scene, _CLASS):
        if box.GetAttribute(_FINDING) and volume_of(box) is None:
            scene.RemoveNode(box)


def _boxes(volume: slicer.vtkMRMLScalarVolumeNode, finding: str = "") -> list[slicer.vtkMRMLMarkupsROINode]:
    return [
        box
        for box in nodes_of_class(volume.GetScene(), _CLASS)
        if volume_of(box) is volume
        and (box.GetAttribute(_FINDING) if not finding else box.GetAttribute(_FINDING) == finding)
    ]


def _enclose(
    box: slicer.vtkMRMLMarkupsROINode, geometry: StudyGeometry, low_mm: float, high_mm: float
) -> None:
    """Around whole slices, from half a slice below the lowest to half a slice above the highest."""
    lowest, highest = geometry.slice_of(low_mm), geometry.slice_of(high_mm)
    middle = (
        np.array(geometry.centre_ras(geometry.z_of(lowest)))
        + np.array(geometry.centre_ras(geometry.z_of(highest)))
    ) / 2
    to_node = np.eye(4)
    # From columns, rows and slices in LPS+ to RAS+.
    to_node[:3, :3] = np.array(geometry.directions)[::-1].T * np.array([[-1.0], [-1.0], [1.0]])
    to_node[:3, 3] = middle
    slices_mm, rows_mm, columns_mm = np.array(geometry.spacing_mm) * (
        highest - lowest + 1,
        *geometry.shape[1:],
    )
    box.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(to_node))
    box.SetSize(columns_mm, rows_mm, slices_mm)


def _make_quiet(box: slicer.vtkMRMLMarkupsROINode, colour: tuple[float, float, float]) -> None:
    """To be seen, and not in the way of the mouse."""
    box.SetLocked(True)
    box.CreateDefaultDisplayNodes()
    display = box.GetDisplayNode()
    display.SetColor(*colour)
    display.SetSelectedColor(*colour)
    display.SetFillOpacity(_FILL_OPACITY)
    display.SetHandlesInteractive(False)
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    display.SetGlyphScale(0)
