"""Labels on their way from the form to the real server: none is lost, none is saved twice, none is hidden."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from shown_volume import new_volume, show
from standin.wheel import require_scene

require_scene()

from VPTCTLib.contract.label import FindingLabel, LabelHistory, StudyLabel
from VPTCTLib.logic.desk import Desk

PRESENT = StudyLabel("nodule", {"lung_nodule": FindingLabel("present", ((-20.5, 11.0),))}, comment="faint")


@pytest.fixture
def anna(reader: Any) -> Any:
    """Logged in, with a new study of the server on screen: ``anna.study``."""
    reader.log_in()
    reader.study = reader.site.new_study()
    show(reader, reader.study)
    return reader


@pytest.fixture
def reopened(anna: Any, around: Any) -> Iterator[Callable[[], Any]]:
    """Ends the module without a word, and opens it again over the same folders; logs anna in."""
    opened = []

    def reopen() -> Any:
        anna.desk.close()
        anna.desk = Desk(around)
        opened.append(anna.desk)
        anna.desk.use_scene(anna.parameters)
        anna.log_in()
        anna.wait()
        return anna.desk

    yield reopen
    for desk in opened:
        desk.close()


def history(reader: Any) -> LabelHistory:
    """What the server has, asked past everything."""
    return reader.site.client().labels.history(reader.study, "nodule")


def states(reader: Any) -> list[str]:
    return [each.label.findings["lung_nodule"].state for each in history(reader).versions]


def say_and_submit(reader: Any, state: str = "present") -> None:
    reader.desk.draft.set_state("lung_nodule", state)
    reader.desk.submission.submit()
    reader.wait()


def told(reader: Any) -> str:
    return next((each.text for each in reader.desk.messages.all if each.about == "label"), "")


def test_a_label_is_saved_with_all_that_the_form_says(anna: Any) -> None:
    desk, saved = anna.desk, []
    desk.submission.saved.connect(lambda *values: saved.append(values))
    desk.draft.from_here("lung_nodule", 30.0)
    desk.draft.to_here("lung_nodule", 12.0)
    desk.draft.set_confidence("lung_nodule", "probable")
    desk.draft.set_comment("right upper lobe")
    desk.draft.spend(74.0)
    desk.submission.submit()
    assert desk.submission.status == "The label is being saved."
    anna.wait()
    (version,) = history(anna).versions
    label = version.label
    assert label.findings == {"lung_nodule": FindingLabel("present", ((12.0, 30.0),), "probable")}
    assert (label.annotator, label.comment, label.seconds_spent) == ("anna", "right upper lobe", 74)
    assert label.model_suggestion == {}
    ((study, answer, task),) = saved
    assert (study, answer.version, task) == (anna.study, 1, "nodule")
    assert desk.submission.status.startswith("Saved on the server as version 1, ")
    assert desk.submission.waiting == 0
    assert desk.draft.missing == "This label was submitted; change something to submit a newer one."


def test_a_label_that_is_submitted_as_the_last_thing_before_the_end_is_not_lost(
    anna: Any, reopened: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = anna.desk.outbox.keep

    def slow(*values: Any, **more: Any) -> None:
        time.sleep(0.3)
        keep(*values, **more)

    monkeypatch.setattr(anna.desk.outbox, "keep", slow)
    anna.desk.draft.set_state("lung_nodule", "present")
    anna.desk.submission.submit()
    anna.desk.close()
    assert len(list(anna.desk.outbox.kept())) == 1
    reopened()
    assert states(anna) == ["present"]


def test_a_changed_mind_is_a_newer_version_upon_ones_own(anna: Any) -> None:
    say_and_submit(anna)
    say_and_submit(anna, "absent")
    assert states(anna) == ["present", "absent"]
    assert anna.desk.kept_labels.conflicts == ()
    anna.desk.submission.submit()
    assert told(anna) == "This label was submitted; change something to submit a newer one."
    anna.wait()
    assert len(history(anna).versions) == 2


def test_a_second_mind_before_the_history_came_is_upon_the_first_and_no_conflict(anna: Any) -> None:
    """The form knows of the reader's own label what the save told, not only what the history told before."""
    desk, relay = anna.desk, anna.site.relay
    saved: list[Any] = []
    desk.submission.saved.connect(lambda *values: saved.append(values))
    anna.wait()
    assert desk.history.newest_version == 0
    relay.holds = "GET /datastore/label/history"
    try:
        for number, state in enumerate(("present", "absent"), start=1):
            desk.draft.set_state("lung_nodule", state)
            desk.submission.submit()
            anna.ticker.until(lambda wanted=number: len(saved) == wanted or desk.kept_labels.conflicts)
            assert desk.history.newest_version == 0, "it is still held"
    finally:
        relay.holds = ""
    anna.wait()
    assert desk.kept_labels.conflicts == ()
    assert states(anna) == ["present", "absent"]
    assert history(anna).set_aside == ()
    assert desk.history.newest_version == 2


@pytest.mark.parametrize("answers_lost", [1, 2, 3, 6])
def test_a_label_whose_answers_are_lost_is_saved_once(anna: Any, answers_lost: int) -> None:
    anna.site.relay.loses_answers = answers_lost
    say_and_submit(anna)
    anna.ticker.until(lambda: anna.desk.submission.waiting == 0)
    assert anna.site.relay.loses_answers == 0
    assert states(anna) == ["present"]
    assert history(anna).set_aside == ()


def test_a_part_of_the_panel_that_fails_stops_no_label_on_its_way(
    anna: Any, no_slot_errors: list[BaseException]
) -> None:
    def wrong(*values: Any) -> None:
        raise ZeroDivisionError

    desk, saved = anna.desk, []
    desk.kept_labels.saved.connect(lambda *values: saved.append(values[0]))
    for each in (desk.server.changed, desk.kept_labels.changed):
        each.connect(wrong)
    anna.site.relay.refuses = True
    say_and_submit(anna)
    anna.ticker.until(lambda: desk.server.state == "away")
    anna.site.relay.refuses = False
    anna.ticker.until(lambda: desk.server.state == "ready")
    anna.wait()
    assert (states(anna), saved) == (["present"], [anna.study])
    for each in (desk.server.changed, desk.kept_labels.changed):
        each.disconnect(wrong)
    assert {type(each) for each in no_slot_errors} == {ZeroDivisionError}
    no_slot_errors.clear()


def test_a_label_said_while_the_server_is_away_waits_and_is_sent_once_when_it_is_back(anna: Any) -> None:
    desk = anna.desk
    anna.site.relay.refuses = True
    say_and_submit(anna)
    anna.ticker.until(lambda: desk.server.state == "away")
    assert desk.submission.waiting == 1
    host = anna.site.relay.url.partition("//")[2]
    assert desk.submission.status == (f"Kept on this computer: 1 label waits for {host}, until it is back.")
    anna.site.relay.refuses = False
    assert states(anna) == []
    anna.ticker.until(lambda: desk.submission.waiting == 0)
    anna.wait()
    assert states(anna) == ["present"]


@pytest.mark.parametrize("loses", ["the answer", "the connection"])
def test_a_module_that_ends_before_it_knows_finds_the_label_and_sends_it_once(
    anna: Any, reopened: Callable[[], Any], loses: str
) -> None:
    if loses == "the answer":
        anna.site.relay.loses_answers = 3
    else:
        anna.site.relay.refuses = True
    anna.desk.draft.set_state("lung_nodule", "present")
    anna.desk.submission.submit()
    anna.ticker.until(lambda: anna.desk.outbox.kept())
    anna.ticker.until(lambda: anna.desk.draft.is_kept)
    anna.site.relay.refuses = False
    desk = reopened()
    anna.ticker.until(lambda: desk.submission.waiting == 0 and desk.outbox.kept() == [])
    assert states(anna) == ["present"]
    assert desk.draft.missing == "This label was submitted; change something to submit a newer one."


def conflict(anna: Any) -> Any:
    """Ben labels the study after anna saw that nobody had."""
    anna.site.client("ben").labels.save(anna.study, PRESENT, if_version=0)
    say_and_submit(anna, "absent")
    (conflict,) = anna.desk.kept_labels.conflicts
    return conflict


def test_in_a_conflict_both_labels_are_there_and_theirs_can_be_kept(anna: Any) -> None:
    both = conflict(anna)
    assert (both.theirs.annotator, both.theirs.findings) == ("ben", PRESENT.findings)
    assert both.kept.label.findings == {"lung_nodule": FindingLabel("absent")}
    anna.desk.kept_labels.keep_theirs(both)
    anna.wait()
    assert states(anna) == ["present"]
    assert (anna.desk.kept_labels.all, anna.desk.kept_labels.conflicts) == ((), ())


def test_in_a_conflict_ones_own_label_can_be_saved_as_the_newer_one(anna: Any) -> None:
    anna.desk.kept_labels.save_mine(conflict(anna))
    anna.wait()
    assert states(anna) == ["present", "absent"]
    assert anna.desk.kept_labels.all == ()
    assert all(each.settled for each in history(anna).set_aside)


def test_a_conflict_waits_for_a_decision_also_over_the_end_of_the_module(
    anna: Any, reopened: Callable[[], Any]
) -> None:
    both = conflict(anna)
    desk = reopened()
    (again,) = desk.kept_labels.conflicts
    assert (again.newest_version, again.theirs.findings) == (both.newest_version, both.theirs.findings)
    desk.kept_labels.save_mine(again)
    anna.wait()
    assert states(anna) == ["present", "absent"]


def test_what_the_server_never_takes_is_told_in_its_words_until_it_is_dropped(anna: Any) -> None:
    desk = anna.desk
    desk.outbox.keep(desk.server.address, "anna", "s99.nii", PRESENT)
    desk.kept_labels.send()
    anna.wait()
    (refused,) = desk.submission.refused
    assert "s99.nii" in refused.refused
    assert (desk.submission.waiting, desk.kept_labels.conflicts) == (0, ())
    desk.kept_labels.drop(refused)
    anna.wait()
    assert desk.kept_labels.all == ()


def test_labels_of_others_and_for_other_servers_stay_where_they_are(anna: Any) -> None:
    desk = anna.desk
    desk.outbox.keep(desk.server.address, "ben", anna.study, PRESENT)
    desk.outbox.keep("https://elsewhere.example.org", "anna", anna.study, PRESENT)
    desk.kept_labels.send()
    anna.wait()
    assert states(anna) == []
    assert [each.reader for each in desk.kept_labels.of_others] == ["ben"]
    assert [each.server for each in desk.kept_labels.elsewhere] == ["https://elsewhere.example.org"]
    assert (desk.submission.waiting, desk.submission.status) == (0, "")


def test_labels_of_a_server_that_has_moved_are_offered_and_sent_to_its_new_address(anna: Any) -> None:
    desk = anna.desk
    moved = {"server_id": desk.server.info.server_id, "if_version": 0}
    desk.outbox.keep("https://old.example.org", "anna", anna.study, PRESENT, **moved)
    desk.outbox.keep("https://other.example.org", "anna", anna.study, PRESENT, server_id="another")
    desk.kept_labels.send()
    anna.wait()
    assert [each.server for each in desk.kept_labels.moved] == ["https://old.example.org"]
    assert states(anna) == []
    desk.kept_labels.send_here(desk.kept_labels.moved)
    anna.wait()
    assert states(anna) == ["present"]
    assert [each.server for each in desk.kept_labels.elsewhere] == ["https://other.example.org"]


def test_labels_of_another_server_that_was_at_this_address_stay_until_the_reader_says(anna: Any) -> None:
    desk, address = anna.desk, anna.desk.server.address
    desk.outbox.keep(address, "anna", anna.study, PRESENT, server_id="another", if_version=0)
    desk.kept_labels.send()
    anna.wait()
    assert (states(anna), desk.submission.waiting) == ([], 0)
    assert [each.server for each in desk.kept_labels.elsewhere] == [address]
    desk.kept_labels.send_here(desk.kept_labels.elsewhere)
    anna.wait()
    assert states(anna) == ["present"]
    assert desk.kept_labels.all == ()


def test_a_study_of_this_computer_is_added_to_the_server_whole_and_labelled(anna: Any) -> None:
    desk = anna.desk
    desk.study.select(new_volume(body_hu=41))
    anna.ticker.until(lambda: desk.study.place is not None)
    assert desk.study.study == ""
    anna.answers.yes = False
    say_and_submit(anna)
    assert (desk.study.study, desk.kept_labels.all, len(anna.answers.asked)) == ("", (), 1)
    anna.answers.yes = True
    desk.submission.submit()
    assert desk.submission.status == "The study is being added to the server."
    anna.ticker.until(lambda: desk.study.study)
    anna.wait()
    assert len(anna.answers.asked) == 2
    anna.study = desk.study.study
    assert states(anna) == ["present"]
    assert desk.submission.status.startswith("Saved on the server as version 1, ")


def test_a_server_that_goes_while_a_study_is_added_leaves_the_form_as_it_is(anna: Any) -> None:
    desk = anna.desk
    desk.study.select(new_volume(body_hu=44))
    anna.ticker.until(lambda: desk.study.place is not None)
    desk.draft.set_state("lung_nodule", "present")
    anna.site.relay.refuses = True
    desk.submission.submit()
    anna.ticker.until(lambda: desk.server.state == "away" and not desk.adding.is_busy)
    assert (desk.draft.is_touched, desk.study.study, desk.kept_labels.all) == (True, "", ())
    assert desk.submission.why_not.startswith("The study is not on the server yet;")
    anna.site.relay.refuses = False
    anna.ticker.until(lambda: desk.submission.why_not == "")
    # The server has the study by then; the same bytes once more are the same study.
    anna.site.relay.loses_answers = 2
    desk.submission.submit()
    anna.ticker.until(lambda: desk.study.study and desk.draft.is_kept and not desk.submission.waiting)
    anna.wait()
    anna.study = desk.study.study
    assert states(anna) == ["present"]
    assert len(anna.answers.asked) == 2


def test_a_study_is_not_added_to_another_server_that_came_to_the_address(anna: Any) -> None:
    desk = anna.desk
    desk.study.select(new_volume("mine", body_hu=71))
    anna.wait()
    desk.server.info = replace(desk.server.info, server_id="the-one-before")
    before = len(anna.site.relay.asked)
    say_and_submit(anna)
    assert any(each.text.startswith("another server answers at ") for each in desk.messages.all)
    assert not any(line.startswith("PUT ") for line in anna.site.relay.asked[before:])
    assert (desk.draft.is_kept, desk.draft.states) == (False, {"lung_nodule": "present"})


def test_a_study_that_turns_out_to_be_labelled_already_is_a_conflict_and_no_silent_correction(
    anna: Any,
) -> None:
    desk = anna.desk
    for state in ("present", "absent"):
        volume = new_volume(body_hu=42)
        desk.study.select(volume)
        anna.ticker.until(lambda: desk.study.place is not None)
        say_and_submit(anna, state)
        anna.ticker.until(lambda: desk.study.study)
        anna.wait()
        anna.study = desk.study.study
    assert states(anna) == ["present"]
    ((kept, theirs),) = [(each.kept, each.theirs) for each in desk.kept_labels.conflicts]
    assert kept.label.findings["lung_nodule"].state == "absent"
    assert theirs.findings["lung_nodule"].state == "present"


def test_nobody_is_asked_twice_who_agreed_to_uploads_before(anna: Any) -> None:
    desk = anna.desk
    desk.questions.may_upload(desk.server.address, "", "")
    desk.study.select(new_volume())
    anna.ticker.until(lambda: desk.study.place is not None)
    anna.answers.yes = False
    say_and_submit(anna)
    assert anna.answers.asked == [desk.server.address, "Add this study to the server?"]


def test_why_a_label_cannot_be_submitted_is_said(reader: Any) -> None:
    desk = reader.desk
    desk.submission.submit()
    assert told(reader) == "Show a study first."
    reader.log_in("uwe")
    show(reader, reader.site.new_study())
    desk.draft.set_state("lung_nodule", "absent")
    desk.submission.submit()
    assert told(reader) == "Your login does not allow it: labelling takes the role annotator."
    desk.server.log_out()
    reader.wait()
    assert desk.submission.why_not == "Choose a task first; connect to a server to see its tasks."
    assert desk.kept_labels.all == ()


def test_what_was_missing_is_told_until_it_is_there(anna: Any) -> None:
    anna.desk.submission.submit()
    assert told(anna) == "Say whether it is present, absent or indeterminate: Lung nodule."
    anna.desk.draft.set_state("lung_nodule", "absent")
    assert told(anna) == ""


def test_what_was_missing_of_one_study_is_not_told_of_the_next(anna: Any, open_study: Any) -> None:
    anna.desk.submission.submit()
    assert told(anna).startswith("Say whether")
    anna.desk.study.select(None)
    assert told(anna) == ""
    anna.desk.submission.submit()
    assert told(anna) == "Show a study first."
    show(anna, "s01.nii")
    assert told(anna) == ""


def test_that_a_label_was_submitted_is_told_no_longer_than_its_study_is_on_screen(anna: Any) -> None:
    say_and_submit(anna)
    anna.desk.submission.submit()
    assert told(anna).startswith("This label was submitted")
    show(anna, "s01.nii")
    assert told(anna) == ""
    anna.desk.submission.submit()
    anna.desk.leave_scene()
    assert told(anna) == ""


def test_a_label_for_a_study_that_is_not_in_the_views_is_submitted_only_if_the_reader_says_so(
    anna: Any, answers: Any, scene: Any
) -> None:
    import slicer

    red = slicer.vtkMRMLSliceCompositeNode()
    red.SetLayoutName("Red")
    scene.AddNode(red)
    anna.desk.draft.set_state("lung_nodule", "present")
    answers.asked.clear()
    answers.yes = False
    anna.desk.submission.submit()
    anna.wait()
    assert answers.asked == ["Submit for a study that is not in the views?"]
    assert anna.desk.draft.is_touched
    answers.yes = True
    anna.desk.submission.submit()
    anna.ticker.until(lambda: anna.desk.draft.is_kept)


def test_a_label_that_cannot_be_kept_stays_in_the_form_and_is_told(anna: Any, around: Any) -> None:
    around.outbox_folder.write_text("")
    anna.desk.draft.set_state("lung_nodule", "present")
    anna.desk.submission.submit()
    anna.wait()
    assert "labels cannot be kept in" in anna.desk.messages.current.text
    assert (anna.desk.draft.missing, anna.desk.draft.is_touched) == ("", True)
