"""The label form: what a reader says about a study, kept with the scene until it is submitted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hand_ticker import HandTicker
from standin.wheel import require_scene

slicer = require_scene()

from VPTCTLib.contract.info import TaskInfo
from VPTCTLib.contract.label import FindingLabel, StudyLabel
from VPTCTLib.logic.label_draft import LabelDraft
from VPTCTLib.logic.messages import Messages
from VPTCTLib.logic.reading_clock import ReadingClock
from VPTCTLib.scene.kept_draft import keep_draft, kept_draft
from VPTCTLib.settings import PRESELECT, Settings
from VPTCTLib.signal import Signal

PE = TaskInfo("pe", "Pulmonary embolism", ("pulmonary_embolism",), 400, 1000, {})
CHEST = TaskInfo("chest", "Chest", ("effusion", "emphysema"), 0, 1500, {})


class Around:
    """What the form stands on: a study, a task and an answer that a test puts on screen."""

    def __init__(self) -> None:
        self.scene = slicer.vtkMRMLScene()
        self.study = SimpleNamespace(volume=None, changed=Signal())
        self.choice = SimpleNamespace(task=PE, changed=Signal())
        self.classification = SimpleNamespace(result=None, changed=Signal())
        self.settings = Settings({})
        self.messages = Messages()
        self.blind = False

    def form(self) -> LabelDraft:
        return LabelDraft(
            self.study, self.choice, self.classification, self.settings, self.messages, lambda: self.blind
        )

    def new_volume(self) -> Any:
        volume = self.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        slicer.util.updateVolumeFromArray(volume, np.zeros((20, 4, 4), np.int16))
        return volume

    def show(self, volume: Any) -> None:
        self.study.volume = volume
        self.study.changed.emit()

    def choose(self, task: TaskInfo | None) -> None:
        self.choice.task = task
        self.choice.changed.emit()

    def answer(self, decision: str | None, version: int = 3) -> None:
        finding = SimpleNamespace(name="pulmonary_embolism", decision=decision)
        suggestion = {"model": "pe/tiny", "version": version, "pulmonary_embolism": 0.83}
        self.classification.result = SimpleNamespace(
            task="pe",
            findings=(finding,),
            suggestion=lambda: suggestion,
            settled=lambda: {finding.name: decision},
        )
        self.classification.changed.emit()


@pytest.fixture
def around() -> Iterator[Around]:
    made = Around()
    before, slicer.mrmlScene = getattr(slicer, "mrmlScene", None), made.scene
    yield made
    made.scene.Clear(True)
    slicer.mrmlScene = before


@pytest.fixture
def form(around: Around) -> LabelDraft:
    made = around.form()
    around.show(around.new_volume())
    return made


def test_the_form_says_what_is_missing_until_something_is_said(around: Around) -> None:
    form = around.form()
    assert form.missing == "Show a study first."
    around.show(around.new_volume())
    assert form.missing == "Say whether it is present, absent or indeterminate: Pulmonary embolism."
    form.set_state("pulmonary_embolism", "absent")
    assert form.missing == ""
    around.choose(None)
    assert form.missing == "Choose a task first; connect to a server to see its tasks."


@pytest.mark.parametrize(
    "ends", [("from_here", -142.5, "to_here", -118.0), ("to_here", -118.0, "from_here", -142.5)]
)
@pytest.mark.parametrize("feet_first", [True, False])
def test_slices_are_marked_from_either_end_in_either_order(
    form: LabelDraft, ends: tuple[str, float, str, float], feet_first: bool
) -> None:
    first, low, second, high = ends
    if not feet_first:
        low, high = high, low
    getattr(form, first)("pulmonary_embolism", low)
    getattr(form, second)("pulmonary_embolism", high)
    label = form.to_label().findings["pulmonary_embolism"]
    assert label == FindingLabel("present", ((-142.5, -118.0),))


def test_one_end_alone_marks_one_slice_and_the_same_end_again_moves_it(form: LabelDraft) -> None:
    form.from_here("pulmonary_embolism", -100.0)
    assert form.ranges("pulmonary_embolism") == ((-100.0, -100.0),)
    form.from_here("pulmonary_embolism", -90.0)
    assert form.ranges("pulmonary_embolism") == ((-90.0, -90.0),)
    assert form.first_end("pulmonary_embolism") == "from"
    form.to_here("pulmonary_embolism", -80.0)
    form.to_here("pulmonary_embolism", -10.0)
    assert form.ranges("pulmonary_embolism") == ((-90.0, -80.0), (-10.0, -10.0))


def test_ranges_can_be_dragged_and_removed_and_overlapping_ones_are_sent_as_one(form: LabelDraft) -> None:
    form.add_range("pulmonary_embolism", 30.0, 10.0)
    form.add_range("pulmonary_embolism", 0.0, 5.0)
    form.add_range("pulmonary_embolism", 90.0, 95.0)
    form.change_range("pulmonary_embolism", 1, 0.0, 12.0)
    assert form.ranges("pulmonary_embolism") == ((0.0, 30.0), (90.0, 95.0)), "those that overlap are one"
    form.remove_range("pulmonary_embolism", 1)
    assert form.ranges("pulmonary_embolism") == ((0.0, 30.0),)
    assert form.to_label().findings["pulmonary_embolism"].slices_mm == ((0.0, 30.0),)


def test_a_slice_that_is_marked_twice_is_one_range(form: LabelDraft) -> None:
    for mark in (form.to_here, form.from_here, form.to_here):
        mark("pulmonary_embolism", -14.0)
        assert form.ranges("pulmonary_embolism") == ((-14.0, -14.0),)
    form.from_here("pulmonary_embolism", -20.0)
    assert form.ranges("pulmonary_embolism") == ((-20.0, -14.0),)


def test_an_end_within_a_range_makes_it_longer_and_the_range_stays_where_it_was(form: LabelDraft) -> None:
    form.add_range("pulmonary_embolism", 50.0, 60.0)
    form.add_range("pulmonary_embolism", 10.0, 20.0)
    form.from_here("pulmonary_embolism", 55.0)
    assert form.ranges("pulmonary_embolism") == ((50.0, 60.0), (10.0, 20.0))
    form.to_here("pulmonary_embolism", 70.0)
    assert form.ranges("pulmonary_embolism") == ((50.0, 70.0), (10.0, 20.0))


def test_ranges_count_only_for_what_is_present_and_are_not_lost_by_a_slip(form: LabelDraft) -> None:
    form.add_range("pulmonary_embolism", 10.0, 30.0)
    form.set_state("pulmonary_embolism", "absent")
    assert form.ranges("pulmonary_embolism") == ()
    assert form.to_label().findings["pulmonary_embolism"] == FindingLabel("absent")
    form.set_state("pulmonary_embolism", "present")
    assert form.ranges("pulmonary_embolism") == ((10.0, 30.0),)


def test_findings_that_were_not_looked_at_are_left_out_and_named(around: Around, form: LabelDraft) -> None:
    around.choose(CHEST)
    assert form.left_out == ()
    form.set_state("emphysema", "indeterminate")
    assert (form.missing, form.left_out, form.finding) == ("", ("effusion",), "emphysema")
    assert set(form.to_label().findings) == {"emphysema"}


def test_each_volume_and_task_has_its_own_form_which_waits_there(around: Around, form: LabelDraft) -> None:
    first, second = around.study.volume, around.new_volume()
    form.set_state("pulmonary_embolism", "present")
    form.set_comment("left lower lobe")
    around.show(second)
    assert (form.states, form.comment) == ({"pulmonary_embolism": None}, "")
    around.show(first)
    around.choose(CHEST)
    assert (form.is_touched, form.comment) == (False, "")
    around.choose(PE)
    assert (form.states, form.comment) == ({"pulmonary_embolism": "present"}, "left lower lobe")


def test_a_form_is_saved_with_the_scene_and_found_again(
    around: Around, form: LabelDraft, tmp_path: Path
) -> None:
    comment = 'größer als 5 mm; "sicher"? <ja> & 100 %: a|b\nzweite Zeile'
    form.from_here("pulmonary_embolism", -142.5)
    form.set_confidence("pulmonary_embolism", "probable")
    form.set_comment(comment)
    around.show(None)
    around.scene.SetRootDirectory(str(tmp_path))
    around.scene.SetURL(str(tmp_path / "scene.mrml"))
    assert around.scene.Commit()
    around.scene.Clear(True)
    around.scene.Connect()
    around.show(around.scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode"))
    assert form.comment == comment
    assert form.to_label().findings["pulmonary_embolism"] == FindingLabel(
        "present", ((-142.5, -142.5),), "probable"
    )
    assert form.first_end("pulmonary_embolism") == "from"


def test_what_was_kept_for_a_removed_volume_goes_with_it(around: Around, form: LabelDraft) -> None:
    form.set_comment("seen")
    around.scene.RemoveNode(around.study.volume)
    around.show(around.new_volume())
    form.set_comment("another")
    assert around.scene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode") == 1


def test_a_form_of_another_version_of_the_module_is_told_and_starts_empty(
    around: Around, form: LabelDraft
) -> None:
    volume = around.new_volume()
    keep_draft(volume, "pe", '{"schema": "vptct.draft/9"}')
    around.show(volume)
    assert form.comment == ""
    message = around.messages.current
    assert message is not None
    assert "cannot be read" in message.text
    assert kept_draft(volume, "pe") == '{"schema": "vptct.draft/9"}'


def test_the_answer_is_never_filled_in_but_the_label_says_that_it_was_seen(
    around: Around, form: LabelDraft
) -> None:
    around.answer("present")
    assert form.states == {"pulmonary_embolism": None}
    form.set_state("pulmonary_embolism", "absent")
    seen = {"model": "pe/tiny", "version": 3, "pulmonary_embolism": 0.83}
    assert form.to_label().model_suggestion == seen
    around.classification.result = None
    around.classification.changed.emit()
    assert form.to_label().model_suggestion == seen


def test_a_second_reader_has_not_seen_the_answer(around: Around, form: LabelDraft) -> None:
    around.blind = True
    around.settings.set(PRESELECT, True)
    around.answer("present")
    assert form.states == {"pulmonary_embolism": None}
    form.set_state("pulmonary_embolism", "absent")
    assert form.to_label().model_suggestion == {}


def test_where_the_reader_wants_it_the_answer_is_filled_in_and_must_be_confirmed(
    around: Around, form: LabelDraft
) -> None:
    around.settings.set(PRESELECT, True)
    around.answer("present")
    assert form.states == {"pulmonary_embolism": "present"}
    assert not form.is_touched
    assert form.missing == "Confirm or change what the network filled in: Pulmonary embolism."
    form.confirm()
    assert (form.missing, form.is_touched) == ("", True)


def test_a_newer_answer_changes_what_was_filled_in_but_nothing_that_the_reader_said(
    around: Around, form: LabelDraft
) -> None:
    around.settings.set(PRESELECT, True)
    around.answer("present")
    around.answer("absent", version=4)
    assert form.states == {"pulmonary_embolism": "absent"}
    form.set_state("pulmonary_embolism", "absent")
    around.answer("present", version=5)
    assert form.states == {"pulmonary_embolism": "absent"}
    form.set_state("pulmonary_embolism", None)
    around.classification.changed.emit()
    assert form.states == {"pulmonary_embolism": None}
    around.answer(None, version=6)
    assert form.states == {"pulmonary_embolism": None}


def test_a_submitted_label_is_not_submitted_again_until_something_changes(form: LabelDraft) -> None:
    form.set_state("pulmonary_embolism", "present")
    form.spend(70.4)
    taken = form.taken()
    assert form.to_label().seconds_spent == 70
    form.spend(1.0)
    form.kept(taken)
    assert (form.missing, form.seconds_spent, form.is_touched) == (
        "This label was submitted; change something to submit a newer one.", 0.0, False,
    )  # fmt: skip
    form.spend(5.0)
    assert form.seconds_spent == 0.0
    form.set_confidence("pulmonary_embolism", "certain")
    form.spend(3.0)
    assert (form.missing, form.seconds_spent, form.is_touched) == ("", 3.0, True)


def test_what_is_changed_while_a_label_is_being_kept_is_still_to_be_submitted(
    around: Around, form: LabelDraft
) -> None:
    form.set_state("pulmonary_embolism", "present")
    form.spend(10.0)
    taken = form.taken()
    form.set_state("pulmonary_embolism", "absent")
    form.spend(2.0)
    first = around.study.volume
    around.show(around.new_volume())
    form.kept(taken)
    around.show(first)
    assert (form.missing, form.states, form.seconds_spent) == ("", {"pulmonary_embolism": "absent"}, 2.0)


def test_the_time_counts_while_somebody_reads_and_neither_over_lunch_nor_asleep(
    around: Around, form: LabelDraft
) -> None:
    ticker, asleep = HandTicker(), [0.0]
    clock = ReadingClock(form, ticker, lambda: ticker.now + asleep[0])
    ticker.turn(10)
    assert form.seconds_spent == 0
    clock.start()
    ticker.turn(60)
    assert form.seconds_spent == pytest.approx(60)
    ticker.turn(3600)
    assert form.seconds_spent == pytest.approx(180)
    clock.note_activity()
    ticker.turn(1)
    # The computer sleeps: its clock goes on, and its timers do not.
    asleep[0] = 100.0
    ticker.turn(1)
    assert form.seconds_spent == pytest.approx(180 + 1 + 5)
    around.show(None)
    clock.note_activity()
    ticker.turn(10)
    clock.stop()
    assert form.seconds_spent == 0


def test_a_saved_label_can_be_taken_as_the_beginning_of_a_newer_one(form: LabelDraft) -> None:
    said = FindingLabel("present", ((-20.5, 11.0),), "possible")
    form.start_from(StudyLabel("pe", {"pulmonary_embolism": said}, annotator="ben", comment="faint"))
    label = form.to_label()
    assert (label.findings, label.comment, label.annotator) == ({"pulmonary_embolism": said}, "faint", "")


@pytest.mark.parametrize("call", ["set_state", "set_confidence"])
def test_no_other_word_than_those_of_the_contract_is_taken(form: LabelDraft, call: str) -> None:
    with pytest.raises(ValueError, match="choose from"):
        getattr(form, call)("pulmonary_embolism", "maybe")
