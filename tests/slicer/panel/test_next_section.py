"""The section "Next study": what a reader clicks and reads there, against the real server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

WAIT_SECONDS = 20


@pytest.fixture
def section(panel: Any) -> Any:
    return panel.panel.sections["NextSection"]


@pytest.fixture
def ui(section: Any) -> Any:
    """The widgets of the section."""
    return section.ui


@pytest.fixture
def ready(panel: Any, site: Any, wait_until: Callable[..., None]) -> Iterator[Any]:
    """The desk, connected to the server as ben, who holds nothing before and after."""
    desk = panel.desk
    desk.server.connect(site.relay.url)
    wait_until(lambda: desk.server.state == "login", WAIT_SECONDS)
    desk.server.log_in_with_token(site.tokens["ben"])
    wait_until(lambda: desk.held.worklists is not None and desk.jobs.running == 0, WAIT_SECONDS)
    yield desk
    site.relay.refuses, site.relay.holds = False, ""
    worklist = site.client("ben").worklist
    for held in worklist.state().leases:
        worklist.give_back(held.study)


@pytest.fixture
def settled(ready: Any, wait_until: Callable[..., None]) -> Callable[[], None]:
    """Waits until no study is on its way and nothing is asked."""
    return lambda: wait_until(
        lambda: ready.next_studies.state == "idle" and ready.jobs.running == 0, WAIT_SECONDS
    )


@pytest.fixture
def look(section: Any, panel: Any, window: Any, tmp_path: Path) -> Callable[[str], None]:
    """Pictures of the section in a panel as narrow as it may be, and in a usual one; nothing may be wider."""
    import qt

    for name, each in panel.panel.sections.items():
        each.widget.visible = name == section.name
    area = next(each for each in window.findChildren(qt.QWidget) if each.className() == "QScrollArea")
    folder = Path(os.environ.get("VPT_SCREENSHOTS") or tmp_path)

    def take(name: str) -> None:
        from standin.waiting import let_events_go_on

        usual = area.width
        for width in (320, 460):
            area.setFixedWidth(width)
            let_events_go_on(0.05)
            assert section.widget.width <= width
            folder.mkdir(parents=True, exist_ok=True)
            assert section.widget.grab().save(str(folder / f"{name} {width}.png"))
        area.setFixedWidth(usual)

    return take


def test_a_study_comes_by_a_click_and_says_why(
    ui: Any, ready: Any, settled: Callable[[], None], look: Callable[[str], None]
) -> None:
    assert ui.worklistLabel.text.endswith(" labelled") or "skipped" in ui.worklistLabel.text
    assert ui.labelCountsLabel.text.startswith("Lung nodule: ")
    look("next-ready")
    ui.strategyBox.setCurrentIndex(ui.strategyBox.findData("random"))
    ui.nextButton.click()
    assert not ui.nextButton.enabled
    assert ui.cancelNextButton.visible
    assert ui.nextStateLabel.text == "The server is asked."
    look("next-asked")
    settled()
    study = ready.study.study
    assert ui.proposalTitleLabel.text == study
    assert ui.proposalWhyLabel.text == "By chance, so that what is found can be told of all studies."
    assert ui.proposalKeptLabel.text.startswith("Kept for you until ")
    assert not ui.cancelNextButton.visible
    assert not ui.heldFrame.visible, "the one on screen is told above"
    look("next-shown")


def test_the_key_asks_for_the_next_study(
    panel: Any, ready: Any, settled: Callable[[], None], section: Any
) -> None:
    (shortcut,) = section.shortcuts()
    assert shortcut.keys == "Ctrl+Shift+N"
    shortcut.press()
    settled()
    assert ready.next_studies.proposal is not None


def test_a_study_is_skipped_with_a_reason_and_another_reason_wants_words(
    ui: Any, ready: Any, panel: Any, settled: Callable[[], None], look: Callable[[str], None]
) -> None:
    ui.nextButton.click()
    settled()
    study = ready.study.study
    assert not ui.skipButton.enabled
    assert ui.skipButton.toolTip == "Choose first why you do not label this study"
    assert not ui.skipCommentEdit.visible
    ui.skipReasonBox.setCurrentIndex(ui.skipReasonBox.findData("other"))
    assert not ui.skipButton.enabled
    ui.skipCommentEdit.text = "a phantom"
    assert ui.skipButton.enabled
    look("next-skip")
    ui.skipButton.click()
    settled()
    assert panel.panel.ui.messageLabel.text == f"Study {study} was skipped: you will not get it again."
    assert not ui.skipButton.visible
    assert ui.proposalKeptLabel.text.startswith("No longer kept for you")


def test_what_the_network_said_is_closed_until_the_reader_opens_it(
    ui: Any,
    ready: Any,
    settled: Callable[[], None],
    look: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from VPTCTLib.contract.next_study import Cluster, Nearest

    worklist = ready.server.client.worklist
    ask = worklist.next

    def scored(*args: Any, **options: Any) -> Any:
        offer = ask(*args, **options)
        proposal = replace(
            offer.proposals[0], strategy="diverse-uncertain", study_date="20260301", reading="second",
            why="One of the model's least sure answers: lung_nodule 52%.",
            probabilities={"lung_nodule": 0.52},
            nearest_labelled=Nearest("p17--ct", 0.41), cluster=Cluster(4, 12, 3),
        )  # fmt: skip
        return replace(offer, proposals=(proposal,), warnings=("12 studies are not scored yet.",))

    monkeypatch.setattr(worklist, "next", scored)
    ui.nextButton.click()
    settled()
    proposal = ready.next_studies.proposal
    assert ui.proposalTitleLabel.text == f"{proposal.study}, 2026-03-01, second reading"
    assert "52" not in ui.proposalWhyLabel.text
    assert ui.proposalWhyLabel.text.startswith("Uncertain and diverse: ")
    assert ui.proposalWarningsLabel.text == "12 studies are not scored yet."
    assert ui.proposalDetailsBox.visible
    assert ui.proposalDetailsBox.collapsed
    assert not ui.proposalDetailsLabel.visible
    look("next-details-closed")
    ui.proposalDetailsBox.collapsed = False
    assert ui.proposalDetailsLabel.visible
    assert "52%" in ui.proposalDetailsLabel.text
    assert "Lung nodule: probability 0.52" in ui.proposalDetailsLabel.text
    look("next-details-open")


def test_a_study_that_is_held_is_listed_opened_and_given_back(
    ui: Any, ready: Any, settled: Callable[[], None], look: Callable[[str], None]
) -> None:
    import slicer

    ui.nextButton.click()
    settled()
    study = ready.study.study
    slicer.mrmlScene.Clear(False)
    settled()
    assert not ui.proposalFrame.visible
    assert ui.heldList.item(0).text().startswith(f"{study} (Lung nodule), until ")
    look("next-held")
    ui.openHeldButton.click()
    settled()
    assert (ready.study.study, ui.proposalTitleLabel.text) == (study, study)
    slicer.mrmlScene.Clear(False)
    settled()
    ui.giveBackHeldButton.click()
    settled()
    assert not ui.heldFrame.visible
    assert ready.held.all == ()


def test_a_download_is_cancelled_by_a_click(
    ui: Any, ready: Any, site: Any, settled: Callable[[], None], wait_until: Callable[..., None]
) -> None:
    site.relay.holds = "GET /datastore/image"
    ui.nextButton.click()
    wait_until(lambda: ready.next_studies.state == "downloading", WAIT_SECONDS)
    assert ui.nextStateLabel.text == f"{ready.next_studies.coming} is fetched."
    assert ui.nextBar.visible
    ui.cancelNextButton.click()
    settled()
    assert not ui.nextBar.visible
    assert ui.heldFrame.visible
    assert "can be opened there" in ready.messages.current.hint


def test_words_that_were_not_submitted_are_not_left_by_mistake(
    ui: Any, ready: Any, dialogs: Any, settled: Callable[[], None]
) -> None:
    import qt

    ui.nextButton.click()
    settled()
    study = ready.study.study
    ready.draft.set_state("lung_nodule", "present")
    dialogs.answer(qt.QMessageBox.Cancel)
    ui.nextButton.click()
    settled()
    assert ready.study.study == study
    assert dialogs.shown[-1].title == "Leave this study?"
    dialogs.answer(qt.QMessageBox.Yes)
    ui.nextButton.click()
    settled()
    assert ready.study.study != study


def test_a_strategy_that_lacks_something_says_what_and_is_not_asked_for(ui: Any, ready: Any) -> None:
    index = ui.strategyBox.findData("typical")
    assert ui.strategyBox.itemText(index) == "Typical (needs studies that the network has looked at)"
    ui.strategyBox.setCurrentIndex(index)
    assert not ui.nextButton.enabled
    assert ui.nextButton.toolTip == (
        "Typical needs studies that the network has looked at: choose another way."
    )
    ui.strategyBox.setCurrentIndex(0)
    assert ui.nextButton.enabled


def test_a_moved_mouse_and_a_marked_finding_are_signs_of_the_reader_and_nothing_else_is(
    ready: Any, ui: Any, settled: Callable[[], None]
) -> None:
    import qt

    sign = ready.leases.sign_of_reader
    ui.nextButton.click()
    settled()
    before = sign()
    ready.server.changed.emit()
    ready.next_studies.changed.emit()
    assert sign() == before
    qt.QCursor.setPos(before[0] + 7, before[1] + 7)
    assert (moved := sign()) != before
    ready.draft.set_state("lung_nodule", "absent")
    assert sign() != moved


def test_an_advised_training_is_one_click_away(
    ui: Any, ready: Any, panel: Any, look: Callable[[str], None]
) -> None:
    known = ready.held.worklists
    nodule = next(each for each in known.tasks if each.task == "nodule")

    def told(due: bool, why: str) -> None:
        advice = replace(nodule.retrain, due=due, why=why)
        ready.held.see(replace(known, tasks=(replace(nodule, retrain=advice),)))

    # Whatever tests before this one labelled.
    told(False, "")
    assert not ui.retrainFrame.visible
    why = "20 new labels since version 2 of nodule_tiny: train it."
    told(True, why)
    assert ui.retrainLabel.text == why
    look("next-retrain")
    training = panel.panel.sections["TrainingSection"].ui.trainingButton
    assert training.collapsed
    ui.retrainButton.click()
    assert not training.collapsed


def test_without_a_server_the_section_says_what_to_do_first(ui: Any) -> None:
    assert not ui.nextButton.enabled
    assert ui.nextStateLabel.text == "Connect to a server first."
    assert not ui.worklistLabel.visible
