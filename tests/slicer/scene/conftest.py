"""A real scene with the views of Slicer's usual layout, and volumes as Slicer loads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from standin.scene_cache import add_cache
from standin.wheel import require_scene


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """An empty scene, the application's, with a red, a green and a yellow view of 300 x 200 pixels."""
    slicer = require_scene()
    scene, logic = slicer.vtkMRMLScene(), slicer.vtkSlicerApplicationLogic()
    # Of the application nothing else is asked for.
    application = SimpleNamespace(applicationLogic=lambda: logic, translate=lambda context, text: text)
    monkeypatch.setattr(slicer, "mrmlScene", scene, raising=False)
    monkeypatch.setattr(slicer, "app", application, raising=False)
    logic.SetMRMLScene(scene)
    logic.GetColorLogic().SetMRMLScene(scene)
    logic.GetColorLogic().AddDefaultColorNodes()
    logic.SetModuleLogic("Colors", logic.GetColorLogic())
    add_cache(slicer, scene, tmp_path / "cache")
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
        view = scene.AddNewNodeByClass("vtkMRMLSliceNode")
        view.SetLayoutName(name)
        view.SetOrientation(orientation)
        view.SetDimensions(300, 200, 1)
        composite = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
        composite.SetLayoutName(name)
    scene.AddNewNodeByClass("vtkMRMLSelectionNode")
    yield scene
    scene.Clear(True)


@pytest.fixture
def new_volume(scene: Any) -> Callable[..., Any]:
    """A volume node of these voxels (k, j, i) with this matrix from (i, j, k, 1) to RAS+."""
    slicer = require_scene()

    def new(voxels: NDArray[Any], ijk_to_ras: NDArray[np.float64] | None = None, name: str = "CT") -> Any:
        volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        slicer.util.updateVolumeFromArray(volume, voxels)
        matrix = np.diag([-1.0, -1, 1, 1]) if ijk_to_ras is None else ijk_to_ras
        volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
        volume.CreateDefaultDisplayNodes()
        return volume

    return new
