"""A real scene with the views of Slicer's usual layout, and volumes as Slicer loads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from standin.wheel import require_scene

slicer = require_scene()


@pytest.fixture
def scene() -> Iterator[Any]:
    """An empty scene with a red, a green and a yellow view of 300 x 200 pixels."""
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
        view = scene.AddNewNodeByClass("vtkMRMLSliceNode")
        view.SetLayoutName(name)
        view.SetOrientation(orientation)
        view.SetDimensions(300, 200, 1)
        composite = scene.AddNode(slicer.vtkMRMLSliceCompositeNode())
        composite.SetLayoutName(name)
    scene.AddNode(slicer.vtkMRMLSelectionNode())
    yield scene
    scene.Clear(True)


@pytest.fixture
def new_volume(scene: Any) -> Callable[..., Any]:
    """A volume node of these voxels (k, j, i) with this matrix from (i, j, k, 1) to RAS+."""

    def new(voxels: NDArray[Any], ijk_to_ras: NDArray[np.float64] | None = None, name: str = "CT") -> Any:
        volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        slicer.util.updateVolumeFromArray(volume, voxels)
        matrix = np.diag([-1.0, -1, 1, 1]) if ijk_to_ras is None else ijk_to_ras
        volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
        volume.CreateDefaultDisplayNodes()
        return volume

    return new
