"""Load: a study that was downloaded becomes a volume of the scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import slicer
import vtk

from ..errors import LocalFileError


def load_study(
    scene: slicer.vtkMRMLScene, files: Sequence[Path], *, name: str
) -> slicer.vtkMRMLScalarVolumeNode:
    """Read a study in the main thread, which waits for it: Slicer's readers work there alone.

    Nothing is added to the DICOM database. The files may be removed afterwards.

    Args:
        scene: it goes into.
        files: as ``ready_to_load`` gives them: one file, or those of a DICOM series in order.
        name: of the volume; the study's id, which is no patient's name.

    Raises:
        LocalFileError: Slicer cannot read it.
    """
    logic = slicer.vtkSlicerVolumesLogic()
    logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    logic.SetMRMLScene(scene)
    listed = vtk.vtkStringArray()
    for file in files:
        listed.InsertNextValue(str(file))
    volume = logic.AddArchetypeScalarVolume(str(files[0]), name, 0, listed)
    if volume is None:
        raise LocalFileError(
            f"3D Slicer cannot read the downloaded study {name}.",
            "Its error log (View > Error Log) may tell why.",
        )
    _forget_files(scene, volume)
    return volume


def _forget_files(scene: slicer.vtkMRMLScene, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Let the volume be saved with the scene like any other: where it was read from is soon gone."""
    storage = volume.GetStorageNode()
    if storage is not None:
        scene.RemoveNode(storage)
