"""The section "Your label": what a reader clicks and presses there, against the real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from shown_volume import new_volume, volume_from
from VPTCTLib.contract.label import FindingLabel, LabelHistory, StudyLabel

THEIRS = StudyLabel(
    "nodule",
    {"lung_nodule": FindingLabel("present", ((24.0, 60.0),), "probable")},
    seconds_spent=74,
    comment="left lower lobe",
)


class Bench:
    """A reader before the section, with one of the server's studies on screen.

    Attributes:
        desk: the logic.
        ui: the widgets of the section.
        study: the id of the study.
    """

    def __init__(self, panel: Any, site: Any, wait_until: Callable[..., None]) -> None:
        self._panel, self._site, self._wait_until = panel, site, wait_until
        self.study = ""

    @property
    def desk(self) -> Any:
        return self._panel.desk

    @property
    def section(self) -> Any:
        return self._panel.panel.sections["LabelSection"]

    @property
    def ui(self) -> Any:
        return self.section.ui

    @property
    def row(self) -> Any:
        return self.section.rows["lung_nodule"]

    def log_in(self) -> None:
        server = self.desk.server
        server.connect(self._site.relay.url)
        self._wait_until(lambda: server.state == "login")
        server.log_in_with_token(self._site.tokens["anna"])
        self._wait_until(lambda: server.state == "ready")

    def show(self, study: str) -> None:
        volume = volume_from(self._site.relay.url, study)
        volume.CreateDefaultDisplayNodes()
        self.desk.study.select(volume)
        self._wait_until(lambda: self.desk.study.study == study)
        self.idle()
        self.study = study

    def idle(self) -> None:
        self._wait_until(lambda: self.desk.jobs.running == 0)

    def press(self, keys: str) -> None:
        """What the key does; Qt's own part is not shown by a window that is not on screen."""
        next(each for each in self.section.shortcuts() if each.keys == keys).press()

    def look_at(self, z_mm: float) -> None:
        from VPTCTLib.scene.jump import jump_to

        jump_to(self.desk.study.volume, z_mm)

    def history(self) -> LabelHistory:
        return self._site.client().labels.history(self.study, "nodule")

    def conflict(self) -> None:
        """Ben labels the study after anna saw that nobody had."""
        self._site.client("ben").labels.save(self.study, THEIRS, if_version=0)
        self.row.buttons["absent"].click()
        self.ui.submitButton.click()
        self.idle()


@pytest.fixture
def bench(panel: Any, site: Any, wait_until: Callable[..., None]) -> Iterator[Bench]:
    made = Bench(panel, site, wait_until)
    made.log_in()
    made.show(site.new_study())
    yield made
    site.relay.refuses, site.relay.loses_answers = False, 0


def texts(widget: Any) -> str:
    """All that is written in a widget."""
    import qt

    return "\n".join(label.text for label in widget.findChildren(qt.QLabel))


def button(widget: Any, text: str) -> Any:
    import qt

    return next(each for each in widget.findChildren(qt.QPushButton) if each.text == text)


def test_without_a_study_the_form_says_what_to_do_first(panel: Any) -> None:
    ui = panel.panel.sections["LabelSection"].ui
    assert (ui.emptyLabel.visible, ui.emptyLabel.text) == (True, "Show a study first.")
    assert not ui.submitButton.enabled
    assert not ui.keptFrame.visible


def test_a_mark_beside_the_study_is_not_taken_in_silence(bench: Bench) -> None:
    import slicer

    view = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    bench.row.buttons["present"].click()
    view.SetSliceOffset(500.0)
    bench.row.from_button.click()
    assert bench.desk.draft.ranges("lung_nodule") == ()
    assert "so nothing was marked" in bench.desk.messages.current.text
    bench.look_at(60.0)
    bench.row.from_button.click()
    assert bench.desk.draft.ranges("lung_nodule") == ((60.0, 60.0),)
    assert bench.desk.messages.current is None


def test_a_label_is_said_marked_and_submitted_by_clicks(bench: Bench, picture: Callable[..., Path]) -> None:
    ui, row = bench.ui, bench.row
    assert ui.hintLabel.text == "Say whether it is present, absent or indeterminate: Lung nodule."
    assert not row.confidence_box.visible
    row.buttons["absent"].click()
    assert (row.from_button.visible, row.confidence_box.visible) == (False, True)
    row.buttons["present"].click()
    assert (row.from_button.visible, ui.hintLabel.visible) == (True, False)
    bench.look_at(60.0)
    row.from_button.click()
    assert "One slice so far; “To here” makes it a range." in texts(row.widget)
    bench.look_at(24.0)
    row.to_button.click()
    assert "z 24.0 to 60.0 mm, 7 slices" in texts(row.widget)
    row.confidence_box.setCurrentIndex(1)
    row.confidence_box.activated.emit(1)
    ui.commentEdit.setPlainText("left lower lobe")
    picture("label-form", ui.labelButton)
    ui.submitButton.click()
    bench.idle()
    (version,) = bench.history().versions
    said = {"lung_nodule": FindingLabel("present", ((24.0, 60.0),), "probable")}
    assert (version.label.findings, version.label.comment) == (said, "left lower lobe")
    assert ui.statusLabel.text.startswith("Saved on the server as version 1, ")
    assert not ui.keptFrame.visible
    picture("label-saved", ui.labelButton)


def test_a_label_is_said_marked_and_submitted_by_keys(bench: Bench) -> None:
    bench.press("Ctrl+Shift+P")
    bench.look_at(12.0)
    bench.press("Ctrl+Shift+F")
    bench.look_at(30.0)
    bench.press("Ctrl+Shift+E")
    bench.press("Ctrl+Shift+S")
    bench.idle()
    (version,) = bench.history().versions
    assert version.label.findings == {"lung_nodule": FindingLabel("present", ((12.0, 30.0),))}
    for key, state in (("B", "absent"), ("I", "indeterminate")):
        bench.press(f"Ctrl+Shift+{key}")
        assert bench.desk.draft.states == {"lung_nodule": state}


def test_the_same_button_again_takes_it_back_and_one_alone_is_pressed(bench: Bench) -> None:
    row = bench.row
    row.buttons["absent"].click()
    row.buttons["indeterminate"].click()
    assert [state for state, each in row.buttons.items() if each.checked] == ["indeterminate"]
    row.buttons["indeterminate"].click()
    assert [state for state, each in row.buttons.items() if each.checked] == []


def test_the_wheel_over_the_form_scrolls_and_says_nothing(bench: Bench) -> None:
    import qt
    import slicer

    bench.row.buttons["absent"].click()
    box = bench.row.confidence_box
    middle = qt.QPointF(5.0, 5.0)
    down = qt.QPoint(0, -120)
    wheel = qt.QWheelEvent(
        middle, middle, qt.QPoint(0, 0), down, qt.Qt.NoButton, qt.Qt.NoModifier, qt.Qt.NoScrollPhase, False
    )
    slicer.app.sendEvent(box, wheel)
    assert bench.desk.draft.confidence("lung_nodule") == ""
    assert not wheel.isAccepted()


def test_submitting_an_empty_form_says_what_is_missing(bench: Bench) -> None:
    bench.press("Ctrl+Shift+S")
    (message,) = [each for each in bench.desk.messages.all if each.about == "label"]
    assert message.text == "Say whether it is present, absent or indeterminate: Lung nodule."


def test_a_range_is_shown_and_removed_in_its_row(bench: Bench) -> None:
    import qt

    bench.desk.draft.add_range("lung_nodule", 0.0, 12.0)
    bench.desk.draft.add_range("lung_nodule", 60.0, 60.0)
    assert "z 60.0 mm, 1 slice" in texts(bench.row.widget)
    show, remove = bench.row.range_rows[0].findChildren(qt.QToolButton)
    show.click()
    assert bench.section._here() == pytest.approx(6.0)
    remove.click()
    assert bench.desk.draft.ranges("lung_nodule") == ((60.0, 60.0),)
    assert len(bench.row.range_rows) == 1


def test_the_time_counts_only_while_the_module_is_open(bench: Bench, wait_until: Callable[..., None]) -> None:
    import slicer

    wait_until(lambda: bench.desk.draft.seconds_spent > 0, 3)
    slicer.util.selectModule("Welcome")
    spent = bench.desk.draft.seconds_spent
    assert bench.desk.reading_clock._timer is None
    slicer.util.selectModule("VPTCT")
    wait_until(lambda: bench.desk.draft.seconds_spent > spent, 3)
    assert bench.ui.timeLabel.text.endswith(" s")


def test_what_the_network_filled_in_is_marked_until_it_is_confirmed(
    bench: Bench, picture: Callable[..., Path]
) -> None:
    from VPTCTLib.settings import PRESELECT

    bench.desk.settings.set(PRESELECT, True)
    bench.desk.classification.start()
    bench._wait_until(lambda: bench.desk.classification.result is not None, 30)
    decision = bench.desk.classification.result.findings[0].decision
    assert bench.row.buttons[decision].checked
    assert "From the network: confirm it" in texts(bench.row.widget)
    assert bench.ui.hintLabel.text == "Confirm or change what the network filled in: Lung nodule."
    picture("label-filled-in", bench.ui.labelButton)
    assert bench.ui.confirmButton.visible
    bench.row.buttons[decision].click()
    assert bench.row.buttons[decision].checked
    assert not bench.ui.confirmButton.visible
    assert not bench.ui.hintLabel.visible
    bench.ui.submitButton.click()
    bench.idle()
    (version,) = bench.history().versions
    assert version.label.model_suggestion["model"] == "nodule/tiny"


def test_labels_wait_in_sight_while_the_server_is_away_and_go_when_it_is_back(
    bench: Bench, site: Any, wait_until: Callable[..., None], picture: Callable[..., Path]
) -> None:
    site.relay.refuses = True
    bench.row.buttons["absent"].click()
    bench.ui.submitButton.click()
    wait_until(lambda: bench.desk.server.state == "away")
    bench.idle()
    assert "1 label waits for 127.0.0.1" in bench.ui.statusLabel.text
    assert bench.ui.keptFrame.visible
    assert f"{bench.study}, " in texts(bench.ui.keptRows)
    picture("label-waits", bench.ui.labelButton)
    site.relay.refuses = False
    wait_until(lambda: not bench.ui.keptFrame.visible, 15)
    bench.idle()
    assert len(bench.history().versions) == 1


def test_a_label_outlives_a_reload_of_the_module(
    bench: Bench, site: Any, wait_until: Callable[..., None]
) -> None:
    site.relay.refuses = True
    bench.row.buttons["present"].click()
    bench.ui.submitButton.click()
    wait_until(lambda: bench.desk.draft.is_kept)
    bench._panel.onReload()
    site.relay.refuses = False
    bench.log_in()
    wait_until(lambda: bench.desk.kept_labels.all == () and not bench.desk.kept_labels.sending)
    bench.idle()
    assert [each.annotator for each in bench.history().versions] == ["anna"]


def test_a_conflict_shows_both_labels_and_the_reader_decides(
    bench: Bench, picture: Callable[..., Path]
) -> None:
    bench.conflict()
    words = texts(bench.ui.conflictRows)
    assert "was labelled by somebody else meanwhile" in words
    assert "Version 1, which counts now\nben, " in words
    assert "Lung nodule: present, probable, z 24.0 to 60.0 mm" in words
    assert "Yours\nanna, " in words
    picture("label-conflict", bench.ui.conflictRows)
    button(bench.ui.conflictRows, "Save mine as the newer one").click()
    bench.idle()
    assert not bench.ui.conflictRows.visible
    assert [each.annotator for each in bench.history().versions] == ["ben", "anna"]


def test_a_refused_label_is_copied_and_dropped_after_a_question(bench: Bench, dialogs: Any) -> None:
    import qt
    import slicer

    bench.desk.outbox.keep(bench.desk.server.address, "anna", "s99.nii", THEIRS)
    bench.desk.kept_labels.send()
    bench.idle()
    assert "The server does not take it: " in texts(bench.ui.keptRows)
    button(bench.ui.keptRows, "Copy").click()
    assert "left lower lobe" in slicer.app.clipboard().text()
    dialogs.answer(qt.QMessageBox.Cancel, qt.QMessageBox.Yes)
    button(bench.ui.keptRows, "Drop…").click()
    bench.idle()
    assert len(bench.desk.kept_labels.all) == 1
    button(bench.ui.keptRows, "Drop…").click()
    bench.idle()
    assert bench.desk.kept_labels.all == ()
    assert not bench.ui.keptFrame.visible


def test_labels_for_an_address_of_before_are_sent_here_when_the_reader_says_so(
    bench: Bench, dialogs: Any, picture: Callable[..., Path]
) -> None:
    import qt

    desk = bench.desk
    moved = {"if_version": 0, "server_id": desk.server.info.server_id}
    desk.outbox.keep("https://old.example.org", "anna", bench.study, THEIRS, **moved)
    desk.outbox.keep("https://far.example.org", "anna", bench.study, THEIRS, if_version=1)
    desk.outbox.keep(desk.server.address, "ben", bench.study, THEIRS)
    desk.kept_labels.send()
    bench.idle()
    assert "1 label waits until ben works here again." in texts(bench.ui.keptRows)
    picture("label-elsewhere", bench.ui.keptFrame)
    button(bench.ui.keptRows, "Send here").click()
    bench.idle()
    dialogs.answer(qt.QMessageBox.Yes)
    button(bench.ui.keptRows, "It has moved here…").click()
    bench.idle()
    assert [each.annotator for each in bench.history().versions] == ["anna", "anna"]


def test_a_study_of_this_computer_is_added_after_one_question(
    bench: Bench, dialogs: Any, wait_until: Callable[..., None]
) -> None:
    import qt

    bench.desk.study.select(new_volume(body_hu=43))
    wait_until(lambda: bench.desk.study.place is not None)
    dialogs.answer(qt.QMessageBox.Yes)
    bench.row.buttons["absent"].click()
    bench.ui.submitButton.click()
    assert bench.ui.cancelButton.visible
    wait_until(lambda: bench.desk.study.study != "", 20)
    bench.idle()
    assert not bench.ui.progressBar.visible
    bench.study = bench.desk.study.study
    assert len(bench.history().versions) == 1


def test_the_history_of_a_study_is_read_and_taken_as_a_beginning(
    bench: Bench, picture: Callable[..., Path]
) -> None:
    bench._site.client("ben").labels.save(bench.study, THEIRS, if_version=0)
    bench.desk.history.refresh()
    bench.idle()
    ui = bench._panel.panel.sections["HistorySection"].ui
    ui.historyButton.collapsed = False
    table = ui.historyTable
    assert [table.item(0, column).text().splitlines()[0] for column in range(3)] == [
        "1", "ben", "Lung nodule: present, probable, z 24.0 to 60.0 mm",
    ]  # fmt: skip
    assert not ui.useButton.enabled
    table.selectRow(0)
    picture("label-history", ui.historyButton)
    ui.showButton.click()
    assert bench.section._here() == pytest.approx(24.0)
    bench.look_at(0.0)
    table.cellDoubleClicked.emit(0, 2)
    assert bench.section._here() == pytest.approx(24.0)
    ui.useButton.click()
    assert bench.desk.draft.ranges("lung_nodule") == ((24.0, 60.0),)
    assert bench.ui.commentEdit.plainText == "left lower lobe"


def test_the_chosen_label_of_the_history_stays_chosen_when_a_newer_one_comes(bench: Bench) -> None:
    ben = bench._site.client("ben")
    ben.labels.save(bench.study, THEIRS, if_version=0)
    bench.desk.history.refresh()
    bench.idle()
    table = bench._panel.panel.sections["HistorySection"].ui.historyTable
    table.selectRow(0)
    ben.labels.save(bench.study, replace(THEIRS, comment="on second thoughts"), if_version=1)
    bench.desk.history.refresh()
    bench.idle()
    assert [table.item(row, 0).text() for row in range(2)] == ["2", "1"]
    assert table.currentRow() == 1
    assert [item.row() for item in table.selectedItems()] == [1, 1, 1]


def test_of_several_findings_the_framed_one_is_meant(bench: Bench, picture: Callable[..., Path]) -> None:
    findings = ("pleural_effusion", "emphysema", "pulmonary_embolism")
    bench.desk.choice.task = replace(bench.desk.choice.task, name="chest", findings=findings)
    bench.desk.choice.changed.emit()
    assert tuple(bench.section.rows) == findings
    bench.press("Ctrl+Shift+B")
    bench.section.rows["pulmonary_embolism"].buttons["present"].click()
    bench.press("Ctrl+Shift+F")
    assert bench.desk.draft.states == {
        "pleural_effusion": "absent", "emphysema": None, "pulmonary_embolism": "present",
    }  # fmt: skip
    assert len(bench.desk.draft.ranges("pulmonary_embolism")) == 1
    assert bench.ui.hintLabel.text == "Left out of the label, as not looked at: Emphysema."
    framed = [name for name, row in bench.section.rows.items() if "highlight" in row.widget.styleSheet]
    assert framed == ["pulmonary_embolism"]
    picture("label-several-findings", bench.ui.labelButton)


@pytest.mark.parametrize("width", [320, 460])
def test_nothing_is_cut_in_a_narrow_panel(
    bench: Bench, width: int, tmp_path: Path, picture: Callable[..., Path]
) -> None:
    import slicer

    bench.conflict()
    bench.row.buttons["present"].click()
    bench.desk.draft.add_range("lung_nodule", 24.0, 60.0)
    bench.desk.draft.from_here("lung_nodule", 12.0)
    widget = bench.section.widget
    assert widget.minimumSizeHint().width() <= width
    panel = picture("ignored").parent
    widget.setParent(None)
    widget.resize(width, widget.heightForWidth(width) if widget.hasHeightForWidth() else 700)
    widget.show()
    slicer.app.processEvents()
    assert widget.width <= width
    assert widget.grab().save(str(panel / f"label-{width}.png"))
