"""Parameters: what the scene remembers of the panel, so that it opens again as it was saved."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.parameterNodeWrapper import parameterNodeWrapper


@parameterNodeWrapper
class Parameters:
    """Kept in a node of the scene.

    Attributes:
        volume: that is read.
        task: its name; "" for the server's first one.
        model: ``<task>_<network>``; "" for the first trained one.
    """

    volume: slicer.vtkMRMLScalarVolumeNode
    task: str = ""
    model: str = ""


def scene_of(parameters: Any) -> slicer.vtkMRMLScene:
    """The scene that remembers these parameters, which need not be the application's."""
    return parameters.parameterNode.GetScene()
