"""Load: a study that was downloaded becomes a volume of the scene.

Its files are read in a worker, by the reader that Slicer has for them, which is no part of the scene; the
main thread puts what came of it into the scene, which copies nothing.

Whether the window goes on meanwhile is up to Slicer's build: a VTK that was built without
VTK_PYTHON_FULL_THREADSAFE, as Slicer's SuperBuild builds it, does not let go of Python's lock during
``Update()``. The window then stands still for as long as the files are read, although a worker reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import slicer
import vtk

from ..errors import LocalFileError

try:
    from vtkITK import vtkITKArchetypeImageSeriesScalarReader as _Reader
except ImportError:
    # Slicer's scene without the application has it in one module with all the rest.
    from slicer import vtkITKArchetypeImageSeriesScalarReader as _Reader

# Until the volume is shown, which sets the task's; Slicer would else look at all voxels for one.
_CENTRE_HU, _WIDTH_HU = 40, 400
_GREY = "vtkMRMLColorTableNodeGrey"


@dataclass(frozen=True)
class ReadStudy:
    """Voxels that are in no scene yet.

    Attributes:
        image: without a place: its spacing is 1, its origin 0.
        ras_to_ijk: where the voxels lie.
    """

    image: vtk.vtkImageData
    ras_to_ijk: vtk.vtkMatrix4x4


def read_files(files: Sequence[Path]) -> ReadStudy:
    """Read a study; in a worker.

    Args:
        files: as ``ready_to_load`` gives them: one file, or those of a DICOM series in order.

    Raises:
        LocalFileError: Slicer cannot read it.
    """
    reader = _Reader()
    reader.SetArchetype(str(files[0]))
    reader.ResetFileNames()
    for file in files:
        reader.AddFileName(str(file))
    reader.SetSingleFile(len(files) == 1)
    # As the scene reads its own files: the values as they are, and where they lie in a matrix of its own.
    reader.SetOutputScalarTypeToNative()
    reader.SetDesiredCoordinateOrientationToNative()
    reader.SetUseNativeOriginOn()
    # With Python's lock held or not, as the module's comment says.
    reader.Update()
    image = vtk.vtkImageData()
    image.ShallowCopy(reader.GetOutput())
    if reader.GetErrorCode() or image.GetPointData().GetScalars() is None:
        raise LocalFileError(
            "3D Slicer cannot read the downloaded study.", "Its error log (View > Error Log) may tell why."
        )
    image.SetOrigin(0, 0, 0)
    image.SetSpacing(1, 1, 1)
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(reader.GetRasToIjkMatrix())
    return ReadStudy(image, matrix)


def add_study(scene: slicer.vtkMRMLScene, study: ReadStudy, *, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """A new volume; in the main thread. Nothing is added to the DICOM database.

    Args:
        scene: it goes into.
        study: that was read.
        name: of the volume; the study's id, which is no patient's name.
    """
    volume = slicer.vtkMRMLScalarVolumeNode()
    volume.SetName(scene.GenerateUniqueName(name))
    volume.SetRASToIJKMatrix(study.ras_to_ijk)
    volume.SetAndObserveImageData(study.image)
    display = slicer.vtkMRMLScalarVolumeDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(_WIDTH_HU, _CENTRE_HU)
    display.SetAndObserveColorNodeID(_GREY)
    scene.AddNode(display)
    volume.SetAndObserveDisplayNodeID(display.GetID())
    return scene.AddNode(volume)
