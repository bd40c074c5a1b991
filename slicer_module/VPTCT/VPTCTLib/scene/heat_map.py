"""Heat maps in the scene: how much each place of a volume spoke for a finding, as a volume of its own.

A map belongs to the result that it explains (``results.py``), and so to the volume that was asked about: it
is saved with both, goes with either, and is never shown over other voxels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..errors import ContractError, LocalFileError
from ..i18n import tr as _
from ..transport.cancel import Cancel
from ..transport.upload import no_progress
from .load import ReadStudy, read_files
from .nodes import belong_to
from .unpack import ready_to_load

# Says of a volume that it is a map, and of which finding.
MAP_OF = "VPTCT.heatMapOf"
# Hundredths are as fine as an overlay shows, and take a quarter of the memory.
_PER_CENT = 100
# Below, nothing is drawn: the CT stays as it is where nothing spoke for the finding.
_LEAST_SHOWN = 20
# From red to yellow, and nowhere dark: it brightens the CT, and is told apart without colours, too.
_COLOURS = "vtkMRMLColorTableNodefMRIPA"
# At once: of a large CT, all of it as floats takes as much memory as four of them.
_PIECE_VOXELS = 1 << 22
# What a file rounds of a value of 0 or 1.
_ROUNDED = 1e-3
# Of the volume's box along each axis. A map may reach beyond: uploads are made square.
_LEAST_COMMON = 0.9

Box = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class ReadMap:
    """A heat map that is in no scene yet.

    Attributes:
        finding: it is of.
        study: its voxels in per cent, one byte each, and where they lie.
    """

    finding: str
    study: ReadStudy


def is_heat_map(node: slicer.vtkMRMLNode | None) -> bool:
    """Whether a node is a map of ours, and no CT."""
    return node is not None and bool(node.GetAttribute(MAP_OF))


def is_drawn(heat_map: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether anything of a map is hot enough to be seen."""
    return bool(heat_map.GetImageData().GetScalarRange()[1] >= _LEAST_SHOWN)


def box_of(volume: slicer.vtkMRMLVolumeNode) -> Box:
    """The least and the greatest corner of a volume in RAS, without the transforms that it is under."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return _box(slicer.util.arrayFromVTKMatrix(matrix), volume.GetImageData().GetDimensions())


def read_heat_maps(
    contents: Mapping[str, bytes], folder: Path, over: Box, cancel: Cancel
) -> tuple[ReadMap, ...]:
    """Read maps as a server sends them; in a worker.

    Args:
        contents: by finding: a NIfTI file, packed by gzip, with values from 0 to 1.
        folder: for files meanwhile; what was written there stays, for who made the folder to remove.
        over: the box of the volume that they must lie on.
        cancel: ends it.

    Raises:
        CancelledError: it was asked for.
        ContractError: one holds something else, or lies elsewhere.
        LocalFileError: one is damaged, or the folder cannot be written.
    """
    return tuple(
        ReadMap(finding, _read(content, folder / f"map{number}.nii.gz", over, cancel))
        for number, (finding, content) in enumerate(contents.items())
    )


def add_heat_map(volume: slicer.vtkMRMLScalarVolumeNode, read: ReadMap, *, name: str) -> slicer.vtkMRMLNode:
    """Put a map of a volume into its scene; it is shown in no view."""
    scene = volume.GetScene()
    display = slicer.vtkMRMLScalarVolumeDisplayNode()
    # Before the volume has it: one that looks for a window of its own goes through all voxels.
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, _PER_CENT)
    display.SetAutoThreshold(False)
    display.SetThreshold(_LEAST_SHOWN, _PER_CENT)
    display.SetApplyThreshold(True)
    display.SetAndObserveColorNodeID(_COLOURS)
    scene.AddNode(display)
    heat_map = slicer.vtkMRMLScalarVolumeNode()
    heat_map.SetName(scene.GenerateUniqueName(name))
    heat_map.SetAttribute(MAP_OF, read.finding)
    heat_map.SetRASToIJKMatrix(read.study.ras_to_ijk)
    heat_map.SetAndObserveImageData(read.study.image)
    heat_map.SetAndObserveDisplayNodeID(display.GetID())
    added = scene.AddNode(heat_map)
    belong_to(added, volume)
    follow_transform(added, volume)
    return added


def follow_transform(heat_map: slicer.vtkMRMLNode, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Where a transform moves the CT, it moves what was seen in it, too."""
    if heat_map.GetTransformNodeID() != volume.GetTransformNodeID():
        heat_map.SetAndObserveTransformNodeID(volume.GetTransformNodeID())


def remove_heat_map(heat_map: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Remove a map from its scene, with what shows and saves it."""
    scene = heat_map.GetScene()
    for node in (heat_map.GetDisplayNode(), heat_map.GetStorageNode(), heat_map):
        if node is not None:
            scene.RemoveNode(node)


def _read(content: bytes, file: Path, over: Box, cancel: Cancel) -> ReadStudy:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise LocalFileError(
            _("the heat map cannot be written: {error}.").format(error=error),
            _("Look at the disk of this computer, and try again."),
        ) from error
    read = read_files(ready_to_load(file, progress=no_progress, cancel=cancel))
    values = vtk_to_numpy(read.image.GetPointData().GetScalars())
    if values.ndim != 1 or not (values.min() >= -_ROUNDED and values.max() <= 1 + _ROUNDED):
        raise _wrong(_("its values are not from 0 to 1"))
    if not _lies_on(read, over):
        raise _wrong(_("it lies elsewhere than the volume"))
    return ReadStudy(_in_per_cent(read.image, values), read.ras_to_ijk)


def _in_per_cent(image: vtk.vtkImageData, values: NDArray[Any]) -> vtk.vtkImageData:
    whole = np.empty(values.size, np.uint8)
    for start in range(0, values.size, _PIECE_VOXELS):
        piece = slice(start, start + _PIECE_VOXELS)
        whole[piece] = np.rint(np.clip(values[piece], 0, 1) * _PER_CENT)
    scalars = numpy_to_vtk(whole, deep=True)
    scalars.SetName("ImageScalars")
    made = vtk.vtkImageData()
    made.SetDimensions(image.GetDimensions())
    made.GetPointData().SetScalars(scalars)
    return made


def _lies_on(read: ReadStudy, over: Box) -> bool:
    matrix = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(read.ras_to_ijk, matrix)
    low, high = _box(slicer.util.arrayFromVTKMatrix(matrix), read.image.GetDimensions())
    common = np.minimum(high, over[1]) - np.maximum(low, over[0])
    return bool((common >= _LEAST_COMMON * (over[1] - over[0])).all())


def _box(ijk_to_ras: NDArray[np.float64], dimensions: tuple[int, int, int]) -> Box:
    ends = [(-0.5, count - 0.5) for count in dimensions]
    corners = np.array([(i, j, k, 1) for i in ends[0] for j in ends[1] for k in ends[2]]) @ ijk_to_ras.T
    return corners[:, :3].min(axis=0), corners[:, :3].max(axis=0)


def _wrong(what: str) -> ContractError:
    return ContractError(
        _("the heat map that the server sent cannot be shown: {what}.").format(what=what),
        _("Update this module or the server."),
    )
