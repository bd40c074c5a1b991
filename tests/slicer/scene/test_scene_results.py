"""A result belongs to its volume: it is saved with it, and never shown with another."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standin.wheel import require_scene

slicer = require_scene()

from VPTCTLib.contract.result import Result, read_result
from VPTCTLib.scene.fingerprint import fingerprint_of, read_fingerprint, revision
from VPTCTLib.scene.results import (
    forget_results,
    keep_result,
    remove_results_of_missing_volumes,
    result_of,
    results_of,
)

CONTRACT = Path(__file__).parents[2] / "contract" / "result.json"
HOME = "http://server:8000"
NewVolume = Callable[..., Any]


def result(task: str = "pe", network: str = "swin_t", probability: float = 0.83) -> Result:
    answer = json.loads(CONTRACT.read_text())
    answer["vptct"]["task"] = task
    answer["vptct"]["model"]["name"] = network
    answer["vptct"]["findings"][0]["probability"] = probability
    return read_result(answer)


def keep(volume: Any, kept: Result, when: str = "2026-11-20T20:31:05Z") -> Any:
    return keep_result(volume, kept, server=HOME, when=when)


def voxels(value: int = 0) -> Any:
    rng = np.random.default_rng(value)
    return rng.integers(-1000, 1000, (9, 11, 13), dtype=np.int16)


def nodes_left(scene: Any) -> list[str]:
    kinds = ("vtkMRMLTextNode", "vtkMRMLTableNode", "vtkMRMLPlotSeriesNode", "vtkMRMLPlotChartNode")
    return [each.GetName() for kind in kinds for each in slicer.util.getNodesByClass(kind)]


def test_a_result_comes_back_as_the_server_gave_it(new_volume: NewVolume) -> None:
    volume = new_volume(voxels())
    keep(volume, result())

    kept = result_of(volume, "pe")

    assert kept is not None
    assert kept.result == result()
    assert (kept.server, kept.when) == (HOME, "2026-11-20T20:31:05Z")
    assert result_of(volume, "pe", "swin_t") is not None
    assert result_of(volume, "pe", "x3d_m") is None
    assert result_of(volume, "nodule") is None


def test_the_findings_are_a_table_for_people(new_volume: NewVolume) -> None:
    nodes = keep(new_volume(voxels(), name="Chest"), result())

    table = nodes.findings.GetTable()
    titles = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
    row = [table.GetColumn(column).GetValue(0) for column in range(table.GetNumberOfColumns())]
    assert titles == ["Finding", "Probability", "Threshold", "Decision", "Key slice (patient z)"]
    assert row == ["Pulmonary embolism", "0.830", "0.410", "present", "-128.0"]
    assert nodes.findings.GetColumnUnitLabel("Key slice (patient z)") == "mm"
    assert nodes.findings.GetName() == "Chest pe swin_t findings"


def test_what_the_network_is_unsure_of_stands_in_the_table_as_that(new_volume: NewVolume) -> None:
    said = json.loads(CONTRACT.read_text())
    said["vptct"]["findings"][0]["conformal"]["decision"] = "unsure"
    table = keep(new_volume(voxels()), read_result(said)).findings.GetTable()
    assert table.GetColumnByName("Decision").GetValue(0) == "unsure"


def test_the_evidence_is_a_curve_from_end_to_end_with_its_threshold(new_volume: NewVolume) -> None:
    chart = keep(new_volume(voxels()), result()).chart

    curve, line = (chart.GetNthPlotSeriesNode(index) for index in range(2))
    table = curve.GetTableNode().GetTable()
    column = lambda name: [table.GetColumnByName(name).GetValue(n) for n in range(5)]  # noqa: E731
    # The middle of the first clip: (-180 + -141.25) / 2.
    assert column(curve.GetXColumnName()) == [-180, -160.625, -130.625, -125.625, -106.25]
    assert column(curve.GetYColumnName()) == [0.12, 0.12, 0.83, 0.77, 0.77]
    assert column(line.GetYColumnName()) == [0.41] * 5
    assert (curve.GetName(), line.GetName()) == ("Pulmonary embolism", "Pulmonary embolism: threshold")
    assert list(chart.GetXAxisRange()) == [-180, -106.25]
    assert list(chart.GetYAxisRange()) == [0, 1]


def test_a_newer_result_replaces_that_of_the_same_network_alone(scene: Any, new_volume: NewVolume) -> None:
    volume, other = new_volume(voxels()), new_volume(voxels(1))
    keep(volume, result(probability=0.1))
    keep(other, result(probability=0.2))
    keep(volume, result(network="x3d_m", probability=0.3), "2026-11-20T21:00:00Z")
    before = len(nodes_left(scene))

    keep(volume, result(probability=0.4), "2026-11-20T22:00:00Z")

    assert len(nodes_left(scene)) == before
    said = [each.result.findings[0].probability for each in results_of(volume)]
    assert said == [0.4, 0.3]
    assert [each.result.findings[0].probability for each in results_of(other)] == [0.2]


def test_a_volume_that_changed_has_no_result_until_it_is_as_it_was(new_volume: NewVolume) -> None:
    volume = new_volume(voxels())
    keep(volume, result())
    array = slicer.util.arrayFromVolume(volume)
    before = revision(volume)

    array[4, 5, 6] += 1
    slicer.util.arrayFromVolumeModified(volume)
    assert revision(volume) != before
    assert results_of(volume) == ()

    array[4, 5, 6] -= 1
    slicer.util.arrayFromVolumeModified(volume)
    assert len(results_of(volume)) == 1

    volume.SetSpacing(1, 1, 1.001)
    assert results_of(volume) == ()


def test_a_result_is_kept_for_the_voxels_that_were_sent(new_volume: NewVolume) -> None:
    volume = new_volume(voxels())
    sent = fingerprint_of(volume)
    slicer.util.updateVolumeFromArray(volume, voxels(1))

    keep_result(volume, result(), server=HOME, when="", of=sent)

    assert results_of(volume) == ()
    slicer.util.updateVolumeFromArray(volume, voxels())
    assert len(results_of(volume)) == 1


def test_window_name_and_place_of_a_volume_are_no_change(scene: Any, new_volume: NewVolume) -> None:
    volume = new_volume(voxels())
    keep(volume, result())
    before = revision(volume)

    volume.SetName("Another name")
    volume.GetDisplayNode().SetWindowLevel(350, 40)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    volume.SetAndObserveTransformNodeID(transform.GetID())

    assert revision(volume) == before
    assert len(results_of(volume)) == 1


def test_another_volume_and_a_copy_have_none_of_its_results(scene: Any, new_volume: NewVolume) -> None:
    volume, other = new_volume(voxels()), new_volume(voxels())
    keep(volume, result())
    copy = slicer.vtkSlicerVolumesLogic.CloneVolume(scene, volume, "copy")

    assert results_of(other) == ()
    assert results_of(copy) == ()
    assert len(results_of(volume)) == 1


def test_results_go_with_their_volume(scene: Any, new_volume: NewVolume) -> None:
    gone, stays = new_volume(voxels()), new_volume(voxels(1))
    keep(gone, result())
    keep(stays, result())
    all_nodes = len(nodes_left(scene))
    scene.RemoveNode(gone)

    remove_results_of_missing_volumes(scene)

    assert len(nodes_left(scene)) == all_nodes / 2
    assert len(results_of(stays)) == 1
    forget_results(stays)
    assert nodes_left(scene) == []


def test_what_others_keep_in_text_and_tables_stays(scene: Any, new_volume: NewVolume) -> None:
    volume = new_volume(voxels())
    scene.AddNewNodeByClass("vtkMRMLTextNode", "notes").SetText("{}")
    scene.AddNewNodeByClass("vtkMRMLTableNode", "sizes")

    remove_results_of_missing_volumes(scene)
    forget_results(volume)

    assert nodes_left(scene) == ["notes", "sizes"]


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"schema": "vptct.kept_result/9"}', '{"schema": 1}'])
def test_a_damaged_result_is_none_and_is_told_in_the_log(
    new_volume: NewVolume, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    volume = new_volume(voxels())
    keep(volume, result(network="x3d_m"))
    keep(volume, result()).text.SetText(damaged)

    with caplog.at_level(logging.WARNING):
        assert [each.result.model.name for each in results_of(volume)] == ["x3d_m"]

    assert "cannot be read" in caplog.text


def test_a_scene_that_is_opened_again_has_its_results(
    scene: Any, new_volume: NewVolume, tmp_path: Path
) -> None:
    keep(new_volume(voxels()), result())
    save(scene, tmp_path / "day.mrb")
    scene.Clear(True)
    assert nodes_left(scene) == []

    load(scene, tmp_path / "day.mrb")

    (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    kept = result_of(volume, "pe")
    assert kept is not None
    assert kept.result == result()


@pytest.mark.parametrize("suffix", ["mrb", "mrml"])
def test_a_saved_scene_brings_results_back_to_their_volumes(
    scene: Any, new_volume: NewVolume, tmp_path: Path, suffix: str
) -> None:
    oblique = np.array(
        [[-0.71, 0.02, 0.3, 10], [0.1, -0.7, 0.4, 20], [0.1, 0.1, 2.5, -123.45678], [0, 0, 0, 1]]
    )
    first, second = new_volume(voxels(), oblique, "First"), new_volume(voxels(1), name="Second")
    keep(first, result(probability=0.1))
    keep(first, result(network="x3d_m", probability=0.2), "2026-11-20T21:00:00Z")
    keep(second, result(probability=0.3))
    saved = tmp_path / f"day.{suffix}"
    save(scene, saved)
    count = len(nodes_left(scene))

    # Into a scene that has such nodes already: all of them get other ids.
    load(scene, saved)

    assert len(nodes_left(scene)) == 2 * count
    for name, said in (("First", [0.2, 0.1]), ("Second", [0.3])):
        volumes = [
            each for each in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if each.GetName() == name
        ]
        assert len(volumes) == 2
        for volume in volumes:
            kept = results_of(volume)
            assert [each.result.findings[0].probability for each in kept] == said
            assert all(each.nodes.findings.GetTable().GetNumberOfRows() == 1 for each in kept)
            series = kept[0].nodes.chart.GetNthPlotSeriesNode(0)
            assert series.GetTableNode().GetTable().GetNumberOfRows() == 5
            assert series.GetTableNode().GetNodeReference("VPTCT.volume") is volume


def save(scene: Any, path: Path) -> None:
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    if path.suffix == ".mrb":
        assert scene.WriteToMRB(str(path), None)
        return
    folder = path.with_suffix("")
    folder.mkdir()
    assert logic.SaveSceneToSlicerDataBundleDirectory(str(folder), None)
    path.write_text(str(next(folder.glob("*.mrml"))))


def load(scene: Any, path: Path) -> None:
    if path.suffix == ".mrb":
        assert scene.ReadFromMRB(str(path), False)
        return
    scene.SetURL(path.read_text())
    assert scene.Import()


def test_a_text_that_is_no_fingerprint_is_none() -> None:
    assert [read_fingerprint(text) for text in ("", "[]", '{"dimensions": 3}')] == [None, None, None]


def test_fingerprints_tell_the_type_and_every_voxel(new_volume: NewVolume) -> None:
    one = np.zeros((3, 5, 7), np.int16)  # 210 bytes: two after the last eight
    last = one.copy()
    last[-1, -1, -1] = 1
    seen = {fingerprint_of(new_volume(each)).content for each in (one, last, one.astype(np.int32))}
    assert len(seen) == 3
