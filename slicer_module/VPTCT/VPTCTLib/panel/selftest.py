"""Slicer's self-test of the module, to be run in the application: Reload and Test, or Self Tests.

Without a server it tries what is Slicer's own to show: jumps, results in a saved scene, the panel. Where the
environment variable ``VPTCT_TEST_SERVER`` names an address, it also connects there, with the token in
``VPTCT_TEST_TOKEN`` where a login is wanted, and has a volume classified, and asks why. It labels nothing.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np
import slicer

from ..contract.result import Result, read_result
from ..scene.geometry import geometry_of
from ..scene.jump import current_z, jump_to, show_volume
from ..scene.results import keep_result, result_of

_SLICES, _STEP_MM, _KEY_SLICE = 64, 2.5, 41
_SECONDS = 120.0
# From voxel to patient (RAS): the usual, and the same stored from head to feet with left and right exchanged.
_ORIENTATIONS = {"as it is stored by scanners": (-1.0, -1.0, 1.0), "flipped": (1.0, -1.0, -1.0)}


def run(say: Callable[[str], object], *, server: str | None = None, token: str | None = None) -> None:
    """Run it; the scene is closed.

    Args:
        say: shows a line for a moment, such as ``delayDisplay``.
        server: its address; None for that of the environment, "" for none.
        token: of a reader there; None for that of the environment.

    Raises:
        AssertionError: the module does not do what it should; says what.
    """
    server = os.environ.get("VPTCT_TEST_SERVER", "") if server is None else server
    token = os.environ.get("VPTCT_TEST_TOKEN", "") if token is None else token
    slicer.util.selectModule("VPTCT")
    for words, signs in _ORIENTATIONS.items():
        slicer.mrmlScene.Clear()
        say(f"A volume {words}: jumps, and results that are kept with the scene")
        volume = _volume(signs)
        _try_jumps(volume)
        _try_kept_results(volume)
    _try_panel_without_server()
    if server:
        say(f"The panel with {server}")
        _try_server(server, token)
    say("All of it passed")


def _volume(signs: tuple[float, float, float]) -> Any:
    """A body with two lungs and a nodule."""
    k, j, i = np.mgrid[0:_SLICES, 0:128, 0:128]
    voxels = np.full(k.shape, -1000, np.int16)
    voxels[((i - 64) / 56) ** 2 + ((j - 64) / 42) ** 2 < 1] = 40
    for middle in (38, 90):
        voxels[((i - middle) / 19) ** 2 + ((j - 62) / 28) ** 2 < 1] = -850
    voxels[(i - 86) ** 2 + (j - 56) ** 2 + (1.6 * (k - _KEY_SLICE)) ** 2 < 50] = 30
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "VPTCT self-test")
    slicer.util.updateVolumeFromArray(volume, voxels)
    matrix = np.diag([2.8 * signs[0], 2.8 * signs[1], _STEP_MM * signs[2], 1.0])
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    volume.CreateDefaultDisplayNodes()
    show_volume(volume, window_centre_hu=-500.0, window_width_hu=1500.0)
    return volume


def _try_jumps(volume: Any) -> None:
    geometry = geometry_of(volume)
    _check(geometry.slices == _SLICES, f"{geometry.slices} slices instead of {_SLICES}")
    for index in (0, _KEY_SLICE, _SLICES - 1):
        jump_to(volume, geometry.z_of(index))
        slicer.app.processEvents()
        shown = current_z(volume)
        _check(
            shown is not None and abs(shown - geometry.z_of(index)) <= _STEP_MM / 2,
            f"slice {index} lies at z {geometry.z_of(index)} mm, and {shown} is shown",
        )


def _try_kept_results(volume: Any) -> None:
    said = _answer(geometry_of(volume).z_of(_KEY_SLICE))
    keep_result(volume, said, when="2026-11-20T20:31:05Z", server="")
    path = Path(slicer.util.tempDirectory()) / "self-test.mrb"
    _check(slicer.mrmlScene.WriteToMRB(str(path), None), "the scene cannot be saved")
    slicer.mrmlScene.Clear()
    _check(slicer.mrmlScene.ReadFromMRB(str(path)), "the saved scene cannot be opened")
    (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    kept = result_of(volume, "nodule", "tiny")
    _check(kept is not None and kept.result.raw == said.raw, "the saved scene has not kept the result")
    slicer.util.arrayFromVolume(volume)[0, 0, 0] += 1
    slicer.util.arrayFromVolumeModified(volume)
    _check(result_of(volume, "nodule", "tiny") is None, "a volume that was changed still has its result")


def _try_panel_without_server() -> None:
    slicer.mrmlScene.Clear()
    panel = slicer.modules.VPTCTWidget.panel
    slicer.modules.VPTCTWidget.desk.server.disconnect()
    _check(panel.widget.visible, "the panel is not on screen")
    _check(not panel.sections["StudySection"].ui.classifyButton.enabled, "Classify works without a server")


def _try_server(server: str, token: str) -> None:
    desk = slicer.modules.VPTCTWidget.desk
    volume = _volume(_ORIENTATIONS["flipped"])
    desk.server.connect(server)
    _wait(lambda: desk.server.state in ("ready", "login"), "the server does not answer")
    if desk.server.state == "login":
        desk.server.log_in_with_token(token)
    _wait(lambda: desk.server.state == "ready", "the token is not taken")
    desk.study.select(volume)
    _wait(lambda: desk.study.place is not None, "whether the server has the study is not known")
    _check(not desk.classification.can_start, desk.classification.can_start)
    slowest = _Slowest()
    slicer.modules.VPTCTWidget.panel.sections["StudySection"].ui.classifyButton.click()
    _wait(lambda: desk.classification.state == "idle", "no answer came", slowest)
    result = desk.classification.result
    _check(result is not None, "no answer came")
    shown = current_z(volume)
    key = result.findings[0].key_slice_mm
    _check(shown is not None and abs(shown - key) <= _STEP_MM / 2, f"{shown} is shown, {key} was meant")
    if desk.server.info.features.explain:
        _try_why(desk, slowest)
    _check(slowest.seconds < 0.5, f"Slicer did not answer for {slowest.seconds:.2f} s")


def _try_why(desk: Any, slowest: _Slowest) -> None:
    ui = slicer.modules.VPTCTWidget.panel.sections["EvidenceSection"].ui
    ui.whyButton.click()
    _wait(lambda: desk.classification.state == "idle", "no heat map came", slowest)
    _check(desk.heat_maps.map is not None, "the answer has no heat map")
    heat_map = desk.evidence.kept.nodes.heat_map(desk.evidence.finding)
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    ui.heatBox.click()
    _check(red.GetForegroundVolumeID() == heat_map.GetID(), "the heat map is not over its volume")
    ui.heatBox.click()
    _check(not red.GetForegroundVolumeID(), "the heat map does not go away")


class _Slowest:
    """The longest round of Slicer's events."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def note(self, seconds: float) -> None:
        self.seconds = max(self.seconds, seconds)


def _wait(condition: Callable[[], bool], problem: str, slowest: _Slowest | None = None) -> None:
    end = time.monotonic() + _SECONDS
    while not condition():
        _check(time.monotonic() < end, problem)
        began = time.monotonic()
        slicer.app.processEvents()
        if slowest is not None:
            slowest.note(time.monotonic() - began)
        time.sleep(0.01)


def _answer(key_slice_mm: float) -> Result:
    """An answer that no network gave."""
    clips = [
        {
            "first_slice": first, "last_slice": first + 31, "probability": 0.2 + first / 64,
            "z_mm": [key_slice_mm - 60 + first, key_slice_mm + first],
        }
        for first in (0, 16, 32)
    ]  # fmt: skip
    finding = {
        "name": "lung_nodule", "probability": 0.7, "threshold": 0.5, "decision": "present",
        "key_slice_mm": key_slice_mm, "clips": clips,
    }  # fmt: skip
    model = {
        "name": "tiny", "version": 1, "pretraining": "none", "trained_on": 0, "calibrated": False,
        "validation_auroc": None,
    }  # fmt: skip
    uncertainty = {"entropy": 0.9, "clip_disagreement": 0.2}
    said = {
        "schema": "vptct.result/1", "task": "nodule", "model": model, "findings": [finding],
        "uncertainty": uncertainty, "warnings": [], "seconds": {},
    }  # fmt: skip
    return read_result({"prediction": [], "vptct": said})


def _check(condition: object, problem: str) -> None:
    if not condition:
        raise AssertionError(problem)
