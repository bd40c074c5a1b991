"""Where in the patient an answer comes from: what is shown of it, the jumps, the marks, on a real scene."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hand_ticker import HandTicker
from standin.wheel import require_scene

require_scene()

from VPTCTLib.contract.info import TaskInfo
from VPTCTLib.contract.result import read_result
from VPTCTLib.logic.evidence import Evidence
from VPTCTLib.logic.evidence_views import EvidenceViews
from VPTCTLib.logic.label_draft import LabelDraft
from VPTCTLib.logic.messages import Messages
from VPTCTLib.scene.jump import current_z
from VPTCTLib.scene.marks import show_ranges
from VPTCTLib.scene.results import keep_result, result_of
from VPTCTLib.settings import JUMP_TO_KEY_SLICE, Settings
from VPTCTLib.signal import Signal

slicer = require_scene()

FINDINGS = ("effusion", "emphysema")
CHEST = TaskInfo("chest", "Chest", FINDINGS, 0, 1500, {})
SLICES, STEP_MM, FEET_MM = 60, 2.5, -100.0


def answer(version: int = 3, **peaks: int) -> Any:
    """Clips of 8 slices, every 4; each finding is likeliest around one slice, counted from the feet."""
    findings = []
    for name, peak in peaks.items():
        clips = [
            {
                "first_slice": first, "last_slice": first + 7,
                "z_mm": [FEET_MM + first * STEP_MM, FEET_MM + (first + 7) * STEP_MM],
                "probability": round(0.1 + 0.8 * math.exp(-(((first + 3.5 - peak) / 6) ** 2)), 6),
            }
            for first in range(0, SLICES - 7, 4)
        ]  # fmt: skip
        findings.append({
            "name": name, "probability": 0.9, "threshold": 0.5, "decision": "present",
            "key_slice_mm": FEET_MM + peak * STEP_MM, "clips": clips,
        })  # fmt: skip
    model = {
        "name": "tiny", "version": version, "pretraining": "none", "trained_on": 70, "calibrated": True,
        "validation_auroc": None,
    }  # fmt: skip
    return read_result({
        "prediction": [],
        "vptct": {
            "schema": "vptct.result/1", "task": "chest", "model": model, "findings": findings,
            "uncertainty": {"entropy": 0.5, "clip_disagreement": 0.2}, "warnings": [], "seconds": {},
        },
    })  # fmt: skip


class Desk:
    """What the evidence stands on: a scene with a view, and what a test puts on screen."""

    def __init__(self, scene: Any) -> None:
        self.scene = scene
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
        self.view = scene.AddNewNodeByClass("vtkMRMLSliceNode")
        self.view.SetLayoutName("Red")
        self.view.SetOrientation("Axial")
        scene.AddNode(slicer.vtkMRMLSliceCompositeNode()).SetLayoutName("Red")
        self.ticker, self.settings, self.blind = HandTicker(), Settings({}), False
        self.study = SimpleNamespace(
            volume=None, changed=Signal(), watch=SimpleNamespace(went=Signal()), refusal="", is_not_seen=""
        )
        self.choice = SimpleNamespace(task=CHEST, changed=Signal())
        self.classification = Answers(self.study)
        self.draft = LabelDraft(
            self.study, self.choice, self.classification, self.settings, Messages(), lambda: self.blind
        )
        self.evidence = Evidence(
            self.study, self.classification, self.draft, self.settings, self.ticker, lambda: self.blind
        )
        self.views = EvidenceViews(self.evidence)

    def new_volume(self, name: str = "CT", *, flipped: bool = False) -> Any:
        volume = self.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        voxels = np.repeat(np.arange(SLICES, dtype=np.int16), 30).reshape(SLICES, 5, 6)
        matrix = np.diag([-3.0, -3.0, STEP_MM, 1.0])
        matrix[2, 3] = FEET_MM
        if flipped:
            # The head first in the file, and left and right the other way: the same patient.
            matrix[2, 2], matrix[2, 3] = -STEP_MM, FEET_MM + (SLICES - 1) * STEP_MM
            matrix[0, 0], matrix[0, 3] = 3.0, -15.0
            voxels = voxels[::-1]
        slicer.util.updateVolumeFromArray(volume, np.ascontiguousarray(voxels))
        volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
        volume.CreateDefaultDisplayNodes()
        return volume

    def show(self, volume: Any) -> None:
        self.study.volume = volume
        self.study.changed.emit()
        self.classification.changed.emit()

    def hear(self, volume: Any, result: Any) -> None:
        keep_result(volume, result, server="http://a", when=f"2026-11-20T20:31:{result.model.version:02d}Z")
        self.classification.finished.emit(volume, result)
        self.classification.changed.emit()

    def slice_on_screen(self) -> int:
        return round((current_z(self.study.volume) - FEET_MM) / STEP_MM)


class Answers:
    """The classification: its answers are those of the scene."""

    def __init__(self, study: Any) -> None:
        self.changed, self.finished, self._study = Signal(), Signal(), study

    @property
    def kept(self) -> Any:
        volume = self._study.volume
        return None if volume is None else result_of(volume, "chest", "tiny")

    @property
    def result(self) -> Any:
        return None if self.kept is None else self.kept.result


@pytest.fixture
def desk() -> Iterator[Desk]:
    scene = slicer.vtkMRMLScene()
    before, slicer.mrmlScene = getattr(slicer, "mrmlScene", None), scene
    made = Desk(scene)
    yield made
    made.evidence.close()
    scene.Clear(True)
    slicer.mrmlScene = before


@pytest.mark.parametrize("flipped", [False, True])
def test_an_answer_brings_its_curve_and_the_views_to_its_key_slice(desk: Desk, flipped: bool) -> None:
    volume = desk.new_volume(flipped=flipped)
    desk.show(volume)
    assert (desk.evidence.profile.curve, desk.evidence.result) == (None, None)
    desk.hear(volume, answer(effusion=41, emphysema=12))
    assert desk.slice_on_screen() == 41
    assert desk.evidence.profile.curve.axis == desk.evidence.profile.axis
    assert desk.evidence.profile.curve.at(FEET_MM + 41 * STEP_MM) > 0.8


def test_the_reader_may_choose_not_to_be_taken_there(desk: Desk) -> None:
    desk.settings.set(JUMP_TO_KEY_SLICE, False)
    volume = desk.new_volume()
    desk.show(volume)
    desk.evidence.jump(FEET_MM)
    desk.hear(volume, answer(effusion=41))
    assert desk.slice_on_screen() == 0
    desk.evidence.jump_to_key_slice()
    assert desk.slice_on_screen() == 41


def test_an_answer_for_a_volume_that_is_off_screen_moves_nothing_and_shows_nothing(desk: Desk) -> None:
    first, second = desk.new_volume("first"), desk.new_volume("second")
    desk.show(second)
    desk.evidence.jump(FEET_MM + 3 * STEP_MM)
    desk.hear(first, answer(effusion=41))
    assert desk.slice_on_screen() == 3
    assert (desk.evidence.result, desk.evidence.profile.curve) == (None, None)
    desk.show(first)
    assert desk.evidence.result is not None
    desk.show(second)
    assert desk.evidence.result is None


def test_the_finding_that_is_chosen_in_the_form_is_the_one_that_is_shown(desk: Desk) -> None:
    volume = desk.new_volume()
    desk.show(volume)
    desk.hear(volume, answer(effusion=41, emphysema=12))
    assert desk.evidence.finding == "effusion"
    desk.evidence.choose("emphysema")
    assert desk.draft.finding == "emphysema"
    desk.evidence.jump_to_key_slice()
    assert desk.slice_on_screen() == 12


def test_without_a_server_a_saved_answer_can_be_looked_at_but_not_marked(desk: Desk) -> None:
    volume = desk.new_volume()
    desk.choice.task = None
    desk.show(volume)
    desk.hear(volume, answer(effusion=41, emphysema=12))
    assert (desk.evidence.finding, desk.evidence.may_mark) == ("effusion", False)
    assert desk.slice_on_screen() == 41
    desk.evidence.choose("emphysema")
    desk.evidence.jump_to_key_slice()
    assert desk.slice_on_screen() == 12


def test_one_goes_from_peak_to_peak_and_slice_by_slice_to_the_ends(desk: Desk) -> None:
    volume = desk.new_volume()
    desk.show(volume)
    desk.hear(volume, answer(effusion=30))
    desk.evidence.jump(FEET_MM)
    assert desk.evidence.peak(-1) is None
    desk.evidence.jump_to_peak(+1)
    key = desk.slice_on_screen()
    assert 27 <= key <= 33
    desk.evidence.step(-2)
    assert desk.slice_on_screen() == key - 2
    desk.evidence.step(1000)
    assert desk.slice_on_screen() == SLICES - 1


def test_marks_are_those_of_the_form(desk: Desk) -> None:
    desk.show(desk.new_volume())
    desk.evidence.mark(-50.0, -30.0)
    desk.evidence.change(0, -60.0, -30.0)
    assert desk.draft.ranges("effusion") == desk.evidence.profile.ranges == ((-60.0, -30.0),)
    desk.evidence.remove(0)
    assert desk.evidence.profile.ranges == ()


def test_scrolling_is_told_not_more_often_than_it_can_be_drawn(desk: Desk) -> None:
    desk.show(desk.new_volume())
    told: list[float | None] = []
    desk.evidence.moved.connect(lambda: told.append(desk.evidence.here))
    for index in range(20):
        desk.view.SetSliceOffset(FEET_MM + index * STEP_MM)
    desk.ticker.turn(0.1)
    assert told == [FEET_MM + 19 * STEP_MM]
    desk.view.SetSliceOffset(FEET_MM + 5 * STEP_MM)
    desk.ticker.turn(0.1)
    assert told[1:] == [FEET_MM + 5 * STEP_MM]


def test_a_study_that_is_read_blind_shows_no_answer_until_it_may(desk: Desk) -> None:
    desk.blind = True
    volume = desk.new_volume()
    desk.show(volume)
    desk.evidence.jump(FEET_MM)
    desk.hear(volume, answer(effusion=41))
    assert (desk.evidence.is_hidden, desk.evidence.result, desk.evidence.profile.curve) == (True, None, None)
    assert desk.slice_on_screen() == 0
    desk.blind = False
    desk.evidence.look()
    assert not desk.evidence.is_hidden
    assert desk.evidence.profile.key_slice_mm == FEET_MM + 41 * STEP_MM


def test_nothing_is_told_twice_and_the_answer_is_not_read_again_for_a_word_in_the_form(desk: Desk) -> None:
    volume = desk.new_volume()
    desk.show(volume)
    desk.hear(volume, answer(effusion=41))
    told: list[str] = []
    desk.evidence.changed.connect(lambda: told.append("changed"))
    curve = desk.evidence.profile.curve
    desk.classification.changed.emit()
    desk.draft.set_comment("small")
    assert told == []
    desk.evidence.mark(-50.0, -30.0)
    assert told == ["changed"]
    assert desk.evidence.profile.curve is curve


def test_a_volume_that_goes_takes_all_with_it(desk: Desk) -> None:
    volume = desk.new_volume()
    desk.show(volume)
    desk.hear(volume, answer(effusion=41))
    desk.evidence.mark(-50.0, -30.0)
    desk.scene.RemoveNode(volume)
    desk.study.volume = None
    desk.study.changed.emit()
    desk.study.watch.went.emit(volume.GetID())
    desk.classification.changed.emit()
    assert (desk.evidence.profile, desk.evidence.here, desk.evidence.result) == (None, None, None)
    assert desk.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsROINode") == 0
    desk.view.SetSliceOffset(FEET_MM)
    desk.ticker.turn(1)
    desk.evidence.step(1)
    desk.evidence.jump(0.0)


def boxes_of(volume: Any, finding: str = "") -> list[Any]:
    """The boxes of a volume in the scene, of one finding or of all."""
    scene = slicer.mrmlScene
    name = "vtkMRMLMarkupsROINode"
    every = [scene.GetNthNodeByClass(index, name) for index in range(scene.GetNumberOfNodesByClass(name))]
    return [
        box
        for box in every
        if box.GetNodeReference("VPTCT.volume") is volume
        and finding in ("", box.GetAttribute("VPTCT.markedFinding"))
    ]


def sizes_along_z(boxes: list[Any]) -> list[float]:
    return [round(box.GetSize()[2], 3) for box in boxes]


def test_boxes_are_drawn_around_marked_slices_and_on_wish_around_the_networks(desk: Desk) -> None:
    volume = desk.new_volume()
    desk.show(volume)
    desk.hear(volume, answer(effusion=41, emphysema=12))
    assert boxes_of(volume) == []
    desk.evidence.mark(FEET_MM, FEET_MM + 3 * STEP_MM)
    assert sizes_along_z(boxes_of(volume, "effusion")) == [4 * STEP_MM]
    desk.views.show_found(True)
    low, high = desk.evidence.profile.found[0]
    assert sizes_along_z(boxes_of(volume, "effusion (network)")) == [round(high - low + STEP_MM, 3)]
    desk.evidence.choose("emphysema")
    assert boxes_of(volume, "effusion") == []
    assert len(boxes_of(volume)) == 1
    desk.views.show_found(False)
    desk.views.show_marks(False)
    assert boxes_of(volume) == []


def test_boxes_stay_with_their_volume(desk: Desk) -> None:
    first, second = desk.new_volume("first"), desk.new_volume("second")
    desk.show(first)
    desk.evidence.mark(-50.0, -30.0)
    desk.show(second)
    assert boxes_of(first) == boxes_of(second) == []
    desk.show(first)
    assert len(boxes_of(first)) == 1
    desk.show(None)
    assert boxes_of(first) == []


def test_boxes_that_a_saved_scene_brought_are_drawn_only_where_they_belong_and_are_wished(
    desk: Desk,
) -> None:
    first, second = desk.new_volume("first"), desk.new_volume("second")
    for volume in (first, second):
        for name in ("effusion", "effusion (network)"):
            show_ranges(volume, name, [(-50.0, -30.0)], colour=(1, 0, 0))
    desk.show(first)
    assert boxes_of(second) == []
    # Nothing is marked in the form, and the network's slices are not wished.
    assert boxes_of(first) == []


def test_the_plot_view_shows_the_answer_on_screen_and_goes_as_it_came(desk: Desk) -> None:
    layout = desk.scene.AddNode(slicer.vtkMRMLLayoutNode())
    layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    plot = desk.scene.AddNewNodeByClass("vtkMRMLPlotViewNode")
    volume = desk.new_volume()
    desk.show(volume)
    desk.hear(volume, answer(effusion=41))
    desk.views.show_plot(True)
    assert plot.GetPlotChartNode() is desk.evidence.kept.nodes.chart
    desk.hear(volume, answer(version=4, effusion=12))
    assert plot.GetPlotChartNode() is desk.evidence.kept.nodes.chart is not None
    assert layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView
    desk.show(desk.new_volume("another"))
    assert plot.GetPlotChartNode() is None
    # Nothing was said of the other volume: a plot without a curve would be a blank field.
    assert layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    desk.show(volume)
    assert plot.GetPlotChartNode() is desk.evidence.kept.nodes.chart is not None
    assert layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView
    desk.views.show_plot(False)
    assert layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView


def test_a_chart_that_a_saved_scene_shows_goes_when_another_volume_comes(desk: Desk) -> None:
    plot = desk.scene.AddNewNodeByClass("vtkMRMLPlotViewNode")
    volume = desk.new_volume()
    desk.show(volume)
    desk.hear(volume, answer(effusion=41))
    own = desk.scene.AddNewNodeByClass("vtkMRMLPlotChartNode")
    plot.SetPlotChartNodeID(desk.evidence.kept.nodes.chart.GetID())
    desk.show(desk.new_volume("another"))
    assert plot.GetPlotChartNode() is None
    # A chart of the reader's own is none of ours.
    plot.SetPlotChartNodeID(own.GetID())
    desk.show(volume)
    assert plot.GetPlotChartNode() is own
