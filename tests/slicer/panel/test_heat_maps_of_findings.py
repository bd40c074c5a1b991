"""Heat maps of several findings: the chosen one's is shown, and nothing is drawn where next to nothing is."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from heat_maps import heat_map_of
from made_up_answers import FEET_MM, STEP_MM, made_up_answer, made_up_volume

HOT, FAINT = (65, 42, 41), (30, 60, 12)


@pytest.fixture
def chest(panel: Any, tmp_path: Path) -> Any:
    """An answer for two findings with their maps: one hot in slice 41, one of a tenth in slice 12."""
    from VPTCTLib.contract.info import ModelInfo, TaskInfo
    from VPTCTLib.contract.result import read_result
    from VPTCTLib.scene.heat_map import box_of, read_heat_maps
    from VPTCTLib.scene.results import keep_result
    from VPTCTLib.transport.cancel import Cancel

    desk = panel.desk
    task = TaskInfo("chest", "Chest", ("effusion", "lung_nodule"), -500, 1500, {})
    model = ModelInfo(
        "chest_tiny", "chest", "tiny", "Tiny", True, None, 3, "kinetics", 212, False, False, {}, {}, {}
    )
    desk.choice.tasks, desk.choice.task, desk.choice.model = (task,), task, model
    volume = made_up_volume()
    desk.study.select(volume)
    desk.choice.changed.emit()
    said = copy.deepcopy(made_up_answer(effusion=(41, 0.83, 0.41), lung_nodule=(12, 0.05, 0.5)).raw)
    said["vptct"]["heat_map"] = {
        "method": "by hand",
        "findings": [_facts("effusion", HOT), _facts("lung_nodule", FAINT)],
    }
    contents = {
        "effusion": heat_map_of(volume, HOT),
        "lung_nodule": heat_map_of(volume, FAINT, hottest=0.1),
    }
    maps = read_heat_maps(contents, tmp_path, box_of(volume), Cancel())
    result = read_result(said)
    keep_result(volume, result, server="", when="2026-11-20T20:31:05Z", maps=maps)
    desk.classification.finished.emit(volume, result)
    desk.classification.changed.emit()
    ui = panel.panel.sections["EvidenceSection"].ui
    return SimpleNamespace(desk=desk, volume=volume, ui=ui, kept=lambda: desk.evidence.kept)


def _facts(finding: str, ijk: tuple[int, int, int]) -> dict[str, Any]:
    z_mm = FEET_MM + ijk[2] * STEP_MM
    return {"name": finding, "part": finding, "key_slice_mm": z_mm, "hottest_mm": [0.0, 0.0, z_mm]}


def shown_map() -> Any:
    import slicer

    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    return slicer.mrmlScene.GetNodeByID(red.GetForegroundVolumeID() or "")


def test_the_map_of_the_chosen_finding_is_shown_and_its_slice_a_click_away(chest: Any) -> None:
    maps = chest.kept().nodes
    chest.ui.heatBox.click()
    assert shown_map() is maps.heat_map("effusion")
    assert chest.ui.heatLabel.text == "Hottest at z = 2.5 mm. (by hand)"
    chest.desk.evidence.choose("lung_nodule")
    assert shown_map() is maps.heat_map("lung_nodule")
    chest.ui.hottestButton.click()
    assert chest.desk.evidence.here == pytest.approx(FEET_MM + 12 * STEP_MM)


def test_that_next_to_nothing_speaks_for_a_finding_is_said_where_nothing_is_drawn(chest: Any) -> None:
    chest.desk.evidence.choose("lung_nodule")
    assert chest.ui.heatLabel.text == (
        "So little speaks for it that nothing is drawn; most at z = −70.0 mm. (by hand)"
    )


def test_a_key_lays_the_map_over_the_ct_and_takes_it_away(panel: Any, chest: Any) -> None:
    section = panel.panel.sections["EvidenceSection"]
    keys = {each.keys: each for each in section.shortcuts()}
    keys["Ctrl+Shift+H"].press()
    assert shown_map() is chest.kept().nodes.heat_map("effusion")
    assert chest.ui.heatBox.checked
    keys["Ctrl+Shift+H"].press()
    assert shown_map() is None


def test_a_map_leaves_the_scene_with_its_volume(chest: Any, wait_until: Any) -> None:
    import slicer

    chest.ui.heatBox.click()
    slicer.mrmlScene.RemoveNode(chest.volume)
    wait_until(lambda: slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0, 2)
    assert shown_map() is None


def test_the_scene_closes_while_a_map_is_shown(chest: Any) -> None:
    import slicer

    chest.ui.heatBox.click()
    slicer.mrmlScene.Clear()
    assert chest.desk.heat_maps.map is None
    assert shown_map() is None
