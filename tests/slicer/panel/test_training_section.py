"""A reviewer trains the chosen network in the panel, and chooses which version answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).resolve().parents[2] / "contract"
WAIT_SECONDS = 60


@pytest.fixture
def section(panel: Any, site: Any, wait_until: Callable[..., None]) -> Any:
    """The section of a panel at which a reviewer has chosen a network with two versions."""
    server = panel.desk.server
    server.connect(site.relay.url)
    wait_until(lambda: server.state == "login")
    server.log_in_with_token(site.tokens["rita"])
    wait_until(lambda: server.state == "ready")
    panel.desk.choice.select_task("nodule")
    wait_until(lambda: panel.desk.versions.versions is not None)
    section = panel.panel.sections["TrainingSection"]
    section.ui.trainingButton.collapsed = False
    return section


def cells(section: Any, column: int) -> list[str]:
    table = section.ui.versionsTable
    return [table.item(row, column).text() for row in range(table.rowCount)]


def test_the_versions_stand_side_by_side_and_one_of_them_answers(section: Any) -> None:
    assert cells(section, 0) == ["2 (answers)", "1"]
    assert cells(section, 1) == ["0.91 (0.83 to 0.97, n = 15)"] * 2
    assert cells(section, 2) == ["70 phantoms"] * 2
    ui = section.ui
    assert not ui.promoteButton.enabled
    assert ui.promoteButton.toolTip == "Choose a version in the table first."
    ui.versionsTable.selectRow(0)
    assert ui.promoteButton.toolTip == "This version answers already."


def test_another_version_is_made_to_answer_when_that_is_confirmed_and_rolled_back_by_a_click(
    section: Any, dialogs: Any, wait_until: Callable[..., None]
) -> None:
    import qt

    section.ui.versionsTable.selectRow(1)
    dialogs.answer(qt.QMessageBox.Cancel, qt.QMessageBox.Yes)
    section.ui.promoteButton.click()
    assert dialogs.shown[-1].title == "Let version 1 answer?"
    assert "for everybody who uses this server" in dialogs.shown[-1].text
    assert section.ui.promoteButton.enabled, "it was not ordered"
    section.ui.promoteButton.click()
    wait_until(lambda: cells(section, 0) == ["2", "1 (answers)"])
    assert not section.ui.promoteButton.enabled, "it answers already"
    section.ui.rollBackButton.click()
    wait_until(lambda: cells(section, 0) == ["2 (answers)", "1"])


def test_the_chosen_version_stays_chosen_when_a_newer_one_comes_into_the_table(
    section: Any, panel: Any
) -> None:
    versions, ui = panel.desk.versions, section.ui
    ui.versionsTable.selectRow(1)
    newest = replace(versions.newest_first[0], version=3, served=False)
    versions.versions = replace(versions.versions, versions=(*versions.versions.versions, newest))
    versions.changed.emit()
    assert cells(section, 0) == ["3", "2 (answers)", "1"]
    assert ui.versionsTable.currentRow() == 2
    assert ui.promoteButton.enabled, "version 1 does not answer; row 1 is now the version that does"


def test_only_what_differs_from_the_servers_defaults_is_asked_for(section: Any) -> None:
    assert section.settings() == {}
    ui = section.ui
    ui.epochsBox.value = ui.epochsBox.value + 1
    ui.pretrainingBox.setCurrentIndex(ui.pretrainingBox.findData("none"))
    ui.learningRateBox.setCurrentIndex(ui.learningRateBox.findData("0.001"))
    ui.foldsBox.setCurrentIndex(ui.foldsBox.findData(5))
    asked = section.settings()
    assert (asked["pretraining"], asked["learning_rate"], asked["folds"]) == ("none", 0.001, 5)
    assert set(asked) == {"epochs", "pretraining", "learning_rate", "folds"}


def test_what_the_server_refuses_is_read_in_the_panel(section: Any, panel: Any, wait_until: Any) -> None:
    panel.desk.choice.select_task("pe")
    wait_until(lambda: section.ui.noVersionsLabel.visible)
    section.ui.trainButton.click()
    assert not section.ui.trainButton.enabled
    wait_until(lambda: section.ui.trainButton.enabled)
    assert "label" in panel.panel.ui.messageLabel.text


def test_a_training_shows_its_progress_its_curve_and_its_end(
    section: Any, panel: Any, picture: Callable[[str], Path]
) -> None:
    from VPTCTLib.contract.training import TrainingState, read_trainings

    agreed = read_trainings(json.loads((GOLDEN / "training.json").read_text()))
    running = replace(agreed.running, name="nodule_tiny")
    server = panel.desk.server

    def says(training: Any) -> None:
        live = training if training.state == "running" else None
        last = () if live else (training,)
        server.info = replace(server.info, trainings=TrainingState(True, None, live, (), last))
        server.changed.emit()

    for epoch in range(1, 6):
        progress = replace(
            running.progress, epoch=epoch, step=100 * epoch, loss=0.7 / epoch, fold=0, folds=0,
            validation_auroc=0.6 + 0.05 * epoch, best_auroc=0.6 + 0.05 * epoch,
        )  # fmt: skip
        says(replace(running, progress=progress))
    ui = section.ui
    assert ui.trainingLabel.text == "Epoch 5 of 10, loss 0.140, validation AUROC 0.85, about 10 min left."
    assert (ui.trainingBar.value, ui.trainingBar.maximum, ui.stopButton.visible) == (500, 1000, True)
    assert ui.curveLabel.visible
    picture("training section")
    done = next(each for each in agreed.last if each.state == "done")
    says(replace(done, id=running.id, name="nodule_tiny"))
    assert ui.trainingLabel.text.startswith(
        "On the same 60 validation studies the new version has AUROC 0.86"
    )
    assert not ui.stopButton.visible
    assert not ui.trainingBar.visible
    _somebody_chose(panel.desk.versions, version=1, when="2026-11-20T00:00:00Z")
    assert "was chosen" not in ui.trainingLabel.text, "that was before this training"
    _somebody_chose(panel.desk.versions, version=1, when="2026-11-22T00:00:00Z")
    assert ui.trainingLabel.text.splitlines()[1] == "Version 1 was chosen to answer since."


def _somebody_chose(versions: Any, *, version: int, when: str) -> None:
    from VPTCTLib.contract.versions import Change

    change = Change(version, "promoted", "", "berta", when)
    versions.versions = replace(versions.versions, served=version, changes=(change,))
    versions.changed.emit()
