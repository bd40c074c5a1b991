"""A reader's whole day in the panel, click by click, with the real server: nothing is lost, nothing hangs.

``VPT_SCREENSHOTS=slicer_module/Screenshots`` keeps the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from day_site import DaySite, day_site

WAIT_SECONDS = 150
# What a reader notices: so long the window's thread may compute at one go. Beside a training on the same two
# cores it waits for its turn as well, which is only printed.
BLOCKED_MS = 100


@pytest.fixture(scope="module")
def site_of_the_day(
    tmp_path_factory: pytest.TempPathFactory, spread_out: Callable[..., None], app: Any
) -> Iterator[DaySite]:
    with day_site(tmp_path_factory.mktemp("day"), spread_out) as site:
        yield site


@dataclass
class Day:
    """A reader in front of the panel; every step is a click."""

    opened: Any
    site: DaySite
    wait_until: Callable[..., None]

    def ui(self, section: str) -> Any:
        """The widgets of a section."""
        return self.opened.panel.sections[f"{section}Section"].ui

    @property
    def desk(self) -> Any:
        return self.opened.desk

    def look_at(self, section: str) -> None:
        """Scroll to a section."""
        import slicer

        slicer.util.mainWindow().scroll_to(self.opened.panel.sections[f"{section}Section"].widget)

    def until(self, condition: Callable[[], object]) -> None:
        self.wait_until(condition, WAIT_SECONDS)

    def connect(self) -> None:
        ui = self.ui("Server")
        ui.addressBox.setEditText(self.site.relay.url)
        ui.connectButton.click()
        self.until(lambda: ui.loginFrame.visible)
        ui.secretEdit.text = self.site.token
        ui.logInButton.click()
        self.until(lambda: self.desk.server.state == "ready")
        self.until(lambda: self.ui("Study").modelBox.count)

    def open_file(self, path: Path, name: str) -> Any:
        """Slicer's own File > Add Data."""
        import slicer

        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(path))
        assert storage.ReadData(volume)
        volume.CreateDefaultDisplayNodes()
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        self.until(lambda: self.desk.study.volume is volume and self.desk.study.place is not None)
        return volume

    def classify(self) -> Any:
        self.ui("Study").classifyButton.click()
        assert self.desk.classification.state != "idle"
        self.until(lambda: self.desk.classification.state == "idle")
        result = self.desk.classification.result
        assert result is not None, self.opened.panel.ui.messageLabel.text
        return result

    def next_study(self) -> str:
        before = self.desk.study.study
        self.ui("Next").nextButton.click()
        self.until(lambda: self.desk.study.study not in ("", before))
        self.until(lambda: self.desk.next_studies.state == "idle")
        return str(self.desk.study.study)

    def shown_z(self) -> float:
        from VPTCTLib.scene.jump import current_z

        z = current_z(self.desk.study.volume)
        assert z is not None
        return float(z)

    def jump_to(self, z_mm: float) -> None:
        from VPTCTLib.scene.jump import jump_to

        jump_to(self.desk.study.volume, z_mm)

    def say_present_from_to(self, low_mm: float, high_mm: float) -> None:
        form = self.opened.panel.sections["LabelSection"].rows["lung_nodule"]
        form.buttons["present"].click()
        self.jump_to(low_mm)
        form.from_button.click()
        self.jump_to(high_mm)
        form.to_button.click()

    def submit(self) -> None:
        self.ui("Label").submitButton.click()
        self.until(lambda: "Saved on the server" in self.ui("Label").statusLabel.text)

    def labels_of(self, study: str) -> list[dict[str, Any]]:
        """What the server has of a study."""
        history = self.site.ask("GET", "/datastore/label/history", params={"image": study, "task": "nodule"})
        return list(history["versions"])


@pytest.fixture
def day(panel: Any, site_of_the_day: DaySite, wait_until: Callable[..., None]) -> Iterator[Day]:
    day = Day(panel, site_of_the_day, wait_until)
    yield day
    site_of_the_day.relay.refuses = False
    for held in site_of_the_day.ask("GET", "/activelearning/")["leases"]:
        site_of_the_day.ask("DELETE", f"/activelearning/leases/{held['study']}")


def test_a_whole_day(day: Day, dialogs: Any, picture: Callable[..., Path]) -> None:
    import qt
    from standin.lag_meter import LagMeter

    picture("panel-empty", panel_only=True)
    with LagMeter() as lag:
        day.connect()
        dialogs.answer(qt.QMessageBox.Yes)
    mine = day.open_file(day.site.root / "mine.nii", "Chest CT of this computer")
    with LagMeter() as lag_of_upload:
        result = day.classify()
    (finding,) = result.findings
    assert finding.name == "lung_nodule"
    rows = day.ui("Findings").rows
    assert rows.visible
    # The slice that speaks most for the answer is on screen, to half a slice of 5 mm.
    assert day.shown_z() == pytest.approx(finding.key_slice_mm, abs=2.5)
    day.ui("Evidence").plotBox.click()
    picture("classified")
    with LagMeter() as lag_of_why:
        _asks_why(day)
    day.look_at("Findings")
    picture("heat-map")
    day.ui("Evidence").heatBox.click()

    with LagMeter() as lag_of_next:
        study = day.next_study()
    assert study in day.site.truth
    assert day.desk.study.volume is not mine
    assert day.desk.classification.result is None, "the answer of the other study is not shown with this one"
    assert not dialogs.unused()
    with LagMeter() as lag_of_infer:
        day.classify()
    low, high = day.site.truth[study]["findings"]["lung_nodule"]["slices_mm"][0]
    day.say_present_from_to(low, high)
    day.look_at("Label")
    picture("labelled", panel_only=True)
    with LagMeter() as lag_of_label:
        day.submit()
    (saved,) = day.labels_of(study)
    said = saved["label"]["findings"]["lung_nodule"]
    assert (said["state"], saved["annotator"]) == ("present", "rita")
    # Marked from slice to slice, which are 5 mm apart.
    assert said["slices_mm"] == [[pytest.approx(low, abs=5.0), pytest.approx(high, abs=5.0)]]
    assert saved["label"]["model_suggestion"]["model"] == "nodule/tiny"

    skipped = day.next_study()
    ui = day.ui("Next")
    ui.skipReasonBox.setCurrentIndex(ui.skipReasonBox.findData("poor_quality"))
    ui.skipButton.click()
    day.until(lambda: f"{skipped} was skipped".lower() in day.opened.panel.ui.messageLabel.text.lower())
    (skip,) = day.site.ask("GET", "/activelearning/")["skips"]
    assert (skip["study"], skip["reason"]) == (skipped, "poor_quality")
    last = day.next_study()
    assert last not in (study, skipped)
    _server_goes_away(day, picture)
    first_answer = day.classify()

    version = _train(day, dialogs, picture)
    again = day.classify()
    assert again.model.version == version
    assert again.findings[0].probability != first_answer.findings[0].probability
    day.ui("Training").rollBackButton.click()
    day.until(lambda: day.desk.choice.model.version == 1)
    assert day.classify().findings[0].probability == pytest.approx(first_answer.findings[0].probability)
    for name, meter in {
        "connect": lag, "upload and infer": lag_of_upload, "next study": lag_of_next, "infer": lag_of_infer,
        "why": lag_of_why,
        "label": lag_of_label,
    }.items():  # fmt: skip
        _was_never_blocked(name, meter)


def _asks_why(day: Day) -> None:
    """Have the answer explained, lay its heat map over the CT, and go to where it is hottest."""
    ui = day.ui("Evidence")
    ui.plotBox.click()
    ui.whyButton.click()
    day.until(lambda: day.desk.classification.state == "idle")
    told = day.desk.heat_maps.map
    assert told is not None, day.opened.panel.ui.messageLabel.text
    ui.heatBox.click()
    if told.key_slice_mm is not None:
        ui.hottestButton.click()
        assert day.shown_z() == pytest.approx(told.key_slice_mm, abs=2.5)


def _server_goes_away(day: Day, picture: Callable[..., Path]) -> None:
    """In the middle of Classify; it is told, and with the server comes the end of that."""
    relay = day.site.relay
    relay.holds = "POST /infer/"
    day.ui("Study").classifyButton.click()
    day.until(lambda: relay.asked[-1].startswith(relay.holds))
    relay.refuses = True
    day.until(lambda: day.desk.server.state == "away" and day.desk.classification.state == "idle")
    assert day.desk.classification.result is None
    assert day.opened.panel.ui.messageFrame.visible
    picture("error", day.opened.panel.widget)
    relay.refuses, relay.holds = False, ""
    day.until(lambda: day.desk.server.state == "ready")
    day.until(lambda: day.ui("Study").classifyButton.enabled)


def _was_never_blocked(name: str, meter: Any) -> None:
    print(f"{name}: {meter}")
    assert meter.busiest_ms < BLOCKED_MS, f"{name}: {meter}"


def _train(day: Day, dialogs: Any, picture: Callable[..., Path]) -> int:
    """Train by clicks until another version answers; its number."""
    import qt
    from standin.lag_meter import LagMeter

    ui = day.ui("Training")
    day.opened.panel.sections["TrainingSection"].open()
    ui.epochsBox.value, ui.stepsBox.value, ui.batchBox.value = 6, 30, 8
    ui.learningRateBox.setCurrentIndex(ui.learningRateBox.findData("0.001"))
    ui.foldsBox.setCurrentIndex(ui.foldsBox.findData(0))
    ended: list[Any] = []
    day.desk.trainings.finished.connect(ended.append)
    with LagMeter() as lag:
        ui.trainButton.click()
        day.until(lambda: day.desk.trainings.curve)
        assert ui.trainingLabel.text.startswith(("Epoch", "Validates"))
        assert ui.stopButton.visible
    with LagMeter() as lag_of_rest:
        day.until(lambda: len(day.desk.trainings.curve) > 2)
    day.look_at("Training")
    picture("training", panel_only=True)
    with LagMeter() as lag_of_end:
        day.until(lambda: ended)
    _was_never_blocked("training begins", lag)
    _was_never_blocked("training goes on", lag_of_rest)
    _was_never_blocked("training ends", lag_of_end)
    assert ended[0].state == "done", ended[0].failure
    version = int(ended[0].outcome.version)
    day.until(lambda: version in [each.version for each in day.desk.versions.newest_first])
    if not ended[0].outcome.served:
        ui.versionsTable.selectRow(0)
        dialogs.answer(qt.QMessageBox.Yes)
        ui.promoteButton.click()
    day.until(lambda: day.desk.choice.model.version == version)
    day.look_at("Training")
    picture("trained", panel_only=True)
    return version
