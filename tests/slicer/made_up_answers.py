"""Answers that no network gave, for the tests of what the panel shows of them."""

from __future__ import annotations

import math
from typing import Any

FEET_MM, STEP_MM, SLICES = -100.0, 2.5, 60


def made_up_answer(task: str = "chest", *, warnings: tuple[str, ...] = (), **findings: Any) -> Any:
    """A Result of network ``tiny``, version 3, whose clips of 8 slices speak for one slice.

    Args:
        task: the name of the task.
        warnings: of the server.
        findings: by name: the slice, the probability, and the threshold or None.
    """
    from VPTCTLib.contract.result import read_result

    model = {
        "name": "tiny", "version": 3, "pretraining": "kinetics", "trained_on": 212, "calibrated": False,
        "validation_auroc": {"value": 0.88, "ci95": [0.81, 0.94], "n": 60},
    }  # fmt: skip
    return read_result({
        "prediction": [],
        "vptct": {
            "schema": "vptct.result/1", "task": task, "model": model,
            "findings": [_finding(name, *values) for name, values in findings.items()],
            "uncertainty": {"entropy": 0.66, "clip_disagreement": 0.21},
            "warnings": list(warnings), "seconds": {},
        },
    })  # fmt: skip


def _finding(name: str, peak: int, probability: float, threshold: float | None) -> dict[str, Any]:
    clips = [
        {
            "first_slice": first, "last_slice": first + 7,
            "z_mm": [FEET_MM + first * STEP_MM, FEET_MM + (first + 7) * STEP_MM],
            "probability": 0.05 + (probability - 0.05) * math.exp(-(((first + 3.5 - peak) / 6) ** 2)),
        }
        for first in range(0, SLICES - 7, 4)
    ]  # fmt: skip
    decision = None if threshold is None else "present" if probability >= threshold else "absent"
    return {
        "name": name, "probability": probability, "threshold": threshold, "decision": decision,
        "key_slice_mm": FEET_MM + peak * STEP_MM, "clips": clips,
    }  # fmt: skip


def made_up_volume(name: str = "Chest CT") -> Any:
    """A volume of as many slices, in the scene; a body with two lungs."""
    import numpy as np
    import slicer

    k, j, i = np.mgrid[0:SLICES, 0:96, 0:96]
    voxels = np.full(k.shape, -1000, np.int16)
    voxels[((i - 48) / 42) ** 2 + ((j - 48) / 31) ** 2 < 1] = 40
    for side in (29, 67):
        voxels[((i - side) / 14) ** 2 + ((j - 47) / 21) ** 2 < 1] = -850
    voxels[(i - 65) ** 2 + (j - 42) ** 2 + (1.6 * (k - 41)) ** 2 < 40] = 30
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(volume, voxels)
    matrix = np.diag([-3.0, -3.0, STEP_MM, 1.0])
    matrix[:3, 3] = (142.5, 142.5, FEET_MM)
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    volume.CreateDefaultDisplayNodes()
    return volume
