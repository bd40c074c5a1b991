"""The section "Evidence": the strip, the jumps and the boxes, by the hand of a reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_up_answers import FEET_MM, STEP_MM, made_up_answer, made_up_volume


@pytest.fixture
def ui(panel: Any) -> Any:
    """The widgets of the section."""
    return panel.panel.sections["EvidenceSection"].ui


@pytest.fixture
def chest(panel: Any, wait_until: Callable[..., None]) -> Any:
    """A task of two findings that a server offers, and a volume on screen."""
    from VPTCTLib.contract.info import ModelInfo, TaskInfo

    desk = panel.desk
    task = TaskInfo("chest", "Chest", ("effusion", "lung_nodule"), -500, 1500, {})
    model = ModelInfo(
        "chest_tiny", "chest", "tiny", "Tiny", True, None, 3, "kinetics", 212, False, False, {}, {}, {}
    )
    desk.choice.tasks, desk.choice.task, desk.choice.model = (task,), task, model
    volume = made_up_volume()
    desk.study.select(volume)
    desk.choice.changed.emit()

    def hear(result: Any) -> None:
        from VPTCTLib.scene.results import keep_result

        keep_result(volume, result, server="", when="2026-11-20T20:31:05Z")
        desk.classification.finished.emit(volume, result)
        desk.classification.changed.emit()

    return SimpleNamespace(desk=desk, volume=volume, hear=hear)


def slice_on_screen(chest: Any) -> int:
    from VPTCTLib.scene.jump import current_z

    return round((current_z(chest.volume) - FEET_MM) / STEP_MM)


def test_without_a_study_there_is_a_line_and_no_buttons(ui: Any) -> None:
    assert ui.emptyLabel.text == "Show a chest CT to see its slices here."
    assert not any(widget.visible for widget in (ui.strip, ui.jumps, ui.views))


def test_a_study_without_an_answer_can_be_marked(ui: Any, panel: Any, chest: Any) -> None:
    assert ui.strip.visible
    assert not ui.keySliceButton.enabled
    panel.panel.sections["EvidenceSection"].strip.marked.emit(-50.0, -30.0)
    assert chest.desk.draft.ranges("effusion") == ((-50.0, -30.0),)
    assert panel.panel.sections["EvidenceSection"].strip.profile.ranges == ((-50.0, -30.0),)


def test_an_answer_is_shown_with_its_key_slice_and_peaks_a_click_away(
    ui: Any, panel: Any, chest: Any, wait_until: Callable[..., None], picture: Callable[[str], Path]
) -> None:
    chest.hear(made_up_answer(effusion=(41, 0.83, 0.41), lung_nodule=(12, 0.3, 0.5)))
    assert slice_on_screen(chest) == 41
    picture("evidence")
    chest.desk.evidence.jump(FEET_MM)
    wait_until(lambda: ui.nextPeakButton.enabled and not ui.previousPeakButton.enabled, 2)
    ui.nextPeakButton.click()
    assert abs(slice_on_screen(chest) - 41) <= 2
    chest.desk.evidence.step(-5)
    ui.keySliceButton.click()
    assert slice_on_screen(chest) == 41


def test_a_key_shows_the_key_slice(panel: Any, chest: Any) -> None:
    chest.hear(made_up_answer(effusion=(41, 0.83, 0.41)))
    chest.desk.evidence.jump(FEET_MM)
    keys = {each.keys: each for each in panel.panel.sections["EvidenceSection"].shortcuts()}
    keys["Ctrl+Shift+K"].press()
    assert slice_on_screen(chest) == 41


def test_the_cursor_follows_when_the_reader_scrolls_the_view(
    panel: Any, chest: Any, wait_until: Callable[..., None]
) -> None:
    import slicer

    chest.hear(made_up_answer(effusion=(41, 0.83, 0.41)))
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    red.SetSliceOffset(FEET_MM + 7 * STEP_MM)
    strip = panel.panel.sections["EvidenceSection"].strip
    wait_until(lambda: strip.here == pytest.approx(FEET_MM + 7 * STEP_MM), 2)


def test_one_chooses_among_several_findings_in_the_box_or_by_their_row(
    ui: Any, panel: Any, chest: Any
) -> None:
    import qt

    chest.hear(made_up_answer(effusion=(41, 0.83, 0.41), lung_nodule=(12, 0.3, 0.5)))
    assert [ui.findingBox.itemText(index) for index in range(2)] == ["Effusion", "Lung nodule"]
    ui.findingBox.setCurrentIndex(1)
    ui.findingBox.activated.emit(1)
    assert chest.desk.draft.finding == "lung_nodule"
    assert panel.panel.sections["EvidenceSection"].strip.profile.threshold == 0.5
    row = panel.panel.sections["FindingsSection"].rows[0]
    place = qt.QPointF(5, 5)
    click = qt.QMouseEvent(
        qt.QEvent.MouseButtonPress, place, place, qt.Qt.LeftButton, qt.Qt.LeftButton, qt.Qt.NoModifier
    )
    qt.QApplication.sendEvent(row.widget, click)
    assert (chest.desk.draft.finding, ui.findingBox.currentIndex) == ("effusion", 0)


def test_boxes_in_the_views_come_and_go_with_their_check_marks(ui: Any, chest: Any) -> None:
    import slicer

    def boxes() -> int:
        return slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsROINode")

    chest.hear(made_up_answer(effusion=(41, 0.83, 0.41)))
    assert (ui.marksBox.checked, ui.foundBox.checked, boxes()) == (True, False, 0)
    chest.desk.evidence.mark(-50.0, -30.0)
    assert boxes() == 1
    ui.foundBox.click()
    assert boxes() == 2
    ui.foundBox.click()
    ui.marksBox.click()
    assert boxes() == 0


def test_without_a_threshold_the_network_has_no_slices_to_draw(ui: Any, chest: Any) -> None:
    chest.hear(made_up_answer(effusion=(41, 0.83, None)))
    assert not ui.foundBox.enabled
    assert ui.plotBox.enabled


def test_the_plot_view_has_the_curves_under_the_slices(
    ui: Any, chest: Any, picture: Callable[[str], Path]
) -> None:
    import slicer

    chest.hear(made_up_answer(effusion=(41, 0.83, 0.41)))
    ui.plotBox.click()
    selection = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSelectionNode")
    if selection is not None:
        assert selection.GetActivePlotChartID() == chest.desk.evidence.kept.nodes.chart.GetID()
    picture("evidence-plot")
    ui.plotBox.click()
    assert not chest.desk.evidence_views.shows_plot


def test_the_scene_closes_while_an_answer_is_on_screen(ui: Any, chest: Any) -> None:
    import slicer

    chest.hear(made_up_answer(effusion=(41, 0.83, 0.41)))
    chest.desk.evidence.mark(-50.0, -30.0)
    ui.foundBox.click()
    slicer.mrmlScene.Clear()
    assert chest.desk.evidence.profile is None
    assert ui.emptyLabel.visible
