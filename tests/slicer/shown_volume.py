"""A volume on screen, for tests of what readers say about it."""

from __future__ import annotations

from typing import Any

import numpy as np


def new_volume(name: str = "CT", *, body_hu: int = 40) -> Any:
    """30 slices of 6 mm from z = 0 on, with air around a body; of another density it is another study."""
    import slicer

    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    voxels = np.full((30, 40, 40), -1000, np.int16)
    voxels[:, 8:32, 8:32] = body_hu
    slicer.util.updateVolumeFromArray(volume, voxels)
    volume.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    volume.SetSpacing(8.0, 8.0, 6.0)
    return volume


def volume_from(server: str, study: str) -> Any:
    """The same, of which the server at this address is told to have it as this study."""
    from VPTCTLib.scene.origin import mark_origin

    volume = new_volume(study)
    mark_origin(volume, server=server, study=study)
    return volume


def show(reader: Any, study: str) -> Any:
    """Bring a study of the server to the screen of ``reader``, and wait until the server has said so."""
    volume = volume_from(reader.site.relay.url, study)
    reader.desk.study.select(volume)
    reader.ticker.until(lambda: reader.desk.study.study == study)
    reader.wait()
    return volume
