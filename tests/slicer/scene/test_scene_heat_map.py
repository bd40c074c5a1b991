"""A heat map lies on its own volume: read, shown, saved and taken away with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from heat_maps import heat_map_of, ijk_to_ras, nifti
from standin.wheel import require_scene

slicer = require_scene()

from VPTCTLib.contract.info import StudyNeeds
from VPTCTLib.contract.result import read_result
from VPTCTLib.errors import ContractError, LocalFileError
from VPTCTLib.scene.export import snapshot, write_study
from VPTCTLib.scene.heat_map import box_of, is_heat_map, read_heat_maps
from VPTCTLib.scene.jump import put_into_views
from VPTCTLib.scene.load import add_study, read_files
from VPTCTLib.scene.overlay import Overlay
from VPTCTLib.scene.refusal import refusal_of
from VPTCTLib.scene.results import forget_results, keep_result, remove_results_of_missing_volumes, results_of
from VPTCTLib.scene.volume_watch import can_be_read
from VPTCTLib.transport.cancel import Cancel
from VPTCTLib.transport.upload import no_progress

RESULT = Path(__file__).parents[2] / "contract" / "result.json"
FINDING = "pulmonary_embolism"
# Columns to the left and up, slices to the feet: none of the axes is the server's.
TURNED = np.array([[0.0, 1.5, 0, -30], [0, 0, -2.5, 60], [-1.5, 0, 0, 80], [0, 0, 0, 1]])
OBLIQUE = np.array([[-1.4, 0.3, 0, 10], [-0.3, -1.4, 0, 20], [0, 0, 3.0, -90], [0, 0, 0, 1]])

# By as much as a tenth of twelve slices allows, and a little more.
UP = np.zeros((4, 4))
UP[2, 3] = 1.3


def chest(new_volume: Callable[..., Any], matrix: Any = None, name: str = "CT", seed: int = 0) -> Any:
    voxels = np.random.default_rng(seed).integers(-1000, 400, (12, 14, 16), dtype=np.int16)
    return new_volume(voxels, matrix, name)


def keep(volume: Any, folder: Path, hottest: tuple[int, int, int] = (9, 5, 3)) -> Any:
    """An answer with a map, kept as one that came."""
    maps = read_heat_maps({FINDING: heat_map_of(volume, hottest)}, folder, box_of(volume), Cancel())
    result = read_result(json.loads(RESULT.read_text()))
    return keep_result(volume, result, server="", when="2026-11-20T20:31:05Z", maps=maps)


def in_views(scene: Any) -> list[tuple[str | None, float]]:
    composites = [scene.GetNthNodeByClass(n, "vtkMRMLSliceCompositeNode") for n in range(3)]
    return [(each.GetForegroundVolumeID(), each.GetForegroundOpacity()) for each in composites]


@pytest.mark.parametrize("matrix", [None, TURNED, OBLIQUE])
def test_a_map_lies_on_the_very_voxels_of_its_volume(new_volume, tmp_path, matrix) -> None:
    volume = chest(new_volume, matrix)
    heat_map = keep(volume, tmp_path).heat_map(FINDING)
    values = slicer.util.arrayFromVolume(heat_map)
    assert (values.dtype, values.min(), values.max()) == (np.uint8, 0, 100)
    assert np.unravel_index(values.argmax(), values.shape) == (3, 5, 9)
    there, here = (slicer.util.arrayFromVTKMatrix(ijk_to_ras(each)) for each in (heat_map, volume))
    assert there == pytest.approx(here, abs=1e-4)


def test_a_map_of_fewer_pixels_over_the_same_place_is_taken(new_volume, tmp_path) -> None:
    volume = chest(new_volume)
    half = np.diag([-2.0, -2, 1, 1])
    # The middle of the first two pixels.
    half[:2, 3] = -0.5
    content = nifti(np.full((12, 7, 8), 51, np.uint8), half)
    (read,) = read_heat_maps({FINDING: content}, tmp_path, box_of(volume), Cancel())
    assert read.study.image.GetScalarRange() == (20, 20)


def test_a_map_of_an_upload_that_was_made_square_reaches_beyond_the_volume(new_volume, tmp_path) -> None:
    voxels = np.random.default_rng(0).integers(-1000, 400, (12, 40, 90), dtype=np.int16)
    volume = new_volume(voxels)
    needs = StudyNeeds(hu_low=-1024, hu_high=3071, pixels=30)
    file = write_study(snapshot(volume), needs, tmp_path, progress=no_progress, cancel=Cancel())
    uploaded = add_study(volume.GetScene(), read_files([file]), name="as the server has it")
    slices, rows, columns = slicer.util.arrayFromVolume(uploaded).shape
    assert (slices, rows, columns) == (12, 30, 30)
    content = {FINDING: heat_map_of(uploaded, (15, 15, 6))}
    (read,) = read_heat_maps(content, tmp_path, box_of(volume), Cancel())
    assert read.study.image.GetScalarRange() == (0, 100)


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (lambda ras: nifti(np.zeros((12, 14, 16), np.uint8), ras + UP), ContractError,
         "elsewhere"),
        (lambda ras: nifti(np.full((12, 14, 16), 255, np.uint8), ras, slope=1.0), ContractError, "0 to 1"),
        (lambda ras: b"no gzip", LocalFileError, "unpacked"),
        (lambda ras: nifti(np.zeros((12, 14, 16), np.uint8), ras)[:-9], LocalFileError, "unpacked"),
    ],
)  # fmt: skip
def test_what_is_no_map_of_this_volume_is_refused(new_volume, tmp_path, content, error, words) -> None:
    volume = chest(new_volume)
    ras = slicer.util.arrayFromVTKMatrix(ijk_to_ras(volume))
    with pytest.raises(error, match=words):
        read_heat_maps({FINDING: content(ras)}, tmp_path, box_of(volume), Cancel())


def test_a_map_is_never_taken_for_a_ct(new_volume, tmp_path) -> None:
    volume = chest(new_volume)
    heat_map = keep(volume, tmp_path).heat_map(FINDING)
    assert (is_heat_map(heat_map), is_heat_map(volume)) == (True, False)
    assert (can_be_read(heat_map), can_be_read(volume)) == (False, True)
    assert refusal_of(heat_map) == "This is a heat map of an answer. Choose the CT that was asked about."


def test_a_map_is_shown_over_its_volume_and_what_was_there_comes_back(scene, new_volume, tmp_path) -> None:
    volume, other = chest(new_volume), chest(new_volume, name="PET", seed=1)
    heat_map = keep(volume, tmp_path).heat_map(FINDING)
    put_into_views(volume)
    red = scene.GetNthNodeByClass(0, "vtkMRMLSliceCompositeNode")
    red.SetForegroundVolumeID(other.GetID())
    red.SetForegroundOpacity(0.25)
    overlay = Overlay()
    overlay.use(scene)
    overlay.show(heat_map, 0.6)
    assert in_views(scene) == [(heat_map.GetID(), 0.6)] * 3
    overlay.show(heat_map, 0.3)
    overlay.show(None, 0.3)
    assert in_views(scene) == [(other.GetID(), 0.25), (None, 0.0), (None, 0.0)]
    overlay.leave()


def test_a_view_that_turns_to_another_volume_never_shows_this_ones_map(scene, new_volume, tmp_path) -> None:
    volume, other = chest(new_volume), chest(new_volume, name="CT 2", seed=1)
    heat_map = keep(volume, tmp_path).heat_map(FINDING)
    put_into_views(volume)
    overlay = Overlay()
    overlay.use(scene)
    overlay.show(heat_map, 0.6)
    # By Slicer's own selector above the view, which leaves what lies over the volume.
    scene.GetNthNodeByClass(1, "vtkMRMLSliceCompositeNode").SetBackgroundVolumeID(other.GetID())
    shown = [foreground for foreground, _ in in_views(scene)]
    assert shown == [heat_map.GetID(), None, heat_map.GetID()]
    put_into_views(other)
    overlay.show(heat_map, 0.6)
    assert in_views(scene) == [(None, 0.0)] * 3
    overlay.leave()


def test_a_map_moves_with_its_volume(scene, new_volume, tmp_path) -> None:
    volume = chest(new_volume)
    heat_map = keep(volume, tmp_path).heat_map(FINDING)
    overlay = Overlay()
    overlay.use(scene)
    overlay.show(heat_map, 0.6)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    assert heat_map.GetTransformNodeID() == transform.GetID()
    volume.SetAndObserveTransformNodeID(None)
    assert heat_map.GetTransformNodeID() is None
    overlay.leave()


def test_a_map_goes_with_its_answer_and_with_its_volume(scene, new_volume, tmp_path) -> None:
    def nodes() -> int:
        kinds = ("vtkMRMLScalarVolumeNode", "vtkMRMLScalarVolumeDisplayNode", "vtkMRMLStorageNode")
        return sum(scene.GetNumberOfNodesByClass(kind) for kind in kinds)

    volume, other = chest(new_volume), chest(new_volume, name="CT 2", seed=1)
    before = nodes()
    keep(volume, tmp_path)
    keep(volume, tmp_path)
    assert nodes() == before + 2, "a newer answer takes the place of the one before, with its map"
    forget_results(volume)
    assert nodes() == before
    keep(other, tmp_path)
    scene.RemoveNode(other)
    remove_results_of_missing_volumes(scene)
    assert not [each for each in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if is_heat_map(each)]


def test_other_voxels_have_no_map(new_volume, tmp_path) -> None:
    volume = chest(new_volume)
    keep(volume, tmp_path)
    assert results_of(volume)[0].nodes.heat_map(FINDING) is not None
    slicer.util.arrayFromVolume(volume)[0, 0, 0] += 1
    slicer.util.arrayFromVolumeModified(volume)
    assert results_of(volume) == ()


def test_a_saved_scene_brings_the_map_back_to_its_volume(scene, new_volume, tmp_path) -> None:
    volume = chest(new_volume, OBLIQUE)
    keep(volume, tmp_path)
    assert scene.WriteToMRB(str(tmp_path / "day.mrb"), None)
    scene.Clear(True)
    assert scene.ReadFromMRB(str(tmp_path / "day.mrb"), False)
    (volume,) = filter(can_be_read, slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))
    (kept,) = results_of(volume)
    heat_map = kept.nodes.heat_map(FINDING)
    assert slicer.util.arrayFromVolume(heat_map)[3, 5, 9] == 100
    assert heat_map.GetDisplayNode().GetLowerThreshold() == 20
