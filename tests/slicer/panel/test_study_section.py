"""The section "Study": what a reader chooses, clicks and reads there, against the real server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def ui(panel: Any) -> Any:
    """The widgets of the section."""
    return panel.panel.sections["StudySection"].ui


@pytest.fixture
def ready(panel: Any, site: Any, wait_until: Callable[..., None]) -> Any:
    """The desk, connected to the server as anna."""
    server = panel.desk.server
    server.connect(site.relay.url)
    wait_until(lambda: server.state == "login", 10)
    server.log_in_with_token(site.tokens["anna"])
    wait_until(lambda: server.state == "ready", 10)
    return panel.desk


@pytest.fixture
def load(site: Any) -> Callable[..., Any]:
    """Loads a phantom from this computer's disk and shows it."""

    def load(name: str, study: str = "s00.nii", *, marked: bool = False) -> Any:
        import slicer

        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(site.root / "studies" / study))
        assert storage.ReadData(volume)
        volume.CreateDefaultDisplayNodes()
        if marked:
            from VPTCTLib.scene.origin import mark_origin

            mark_origin(volume, server=site.relay.url, study=study)
        return volume

    return load


def test_without_a_server_the_section_says_what_to_do_first(ui: Any, picture: Callable[[str], Path]) -> None:
    assert not ui.classifyButton.enabled
    assert ui.classifyStateLabel.text == "Connect to a server first."
    assert not ui.taskBox.enabled
    assert not ui.classifyBar.visible
    picture("study-empty")


@pytest.fixture
def choose(ui: Any) -> Callable[[str, str], None]:
    """Chooses an entry of a list by its beginning."""

    def choose(box: str, text: str) -> None:
        widget = getattr(ui, box)
        titles = [widget.itemText(index) for index in range(widget.count)]
        widget.setCurrentIndex(next(i for i, title in enumerate(titles) if title.startswith(text)))

    return choose


@pytest.fixture
def held(site: Any) -> Iterator[Callable[[str], None]]:
    """Holds requests that begin like this between here and the server, until the test ends."""

    def hold(beginning: str) -> None:
        site.relay.holds = beginning

    yield hold
    site.relay.holds, site.relay.refuses = "", False


def test_a_study_of_the_server_is_classified_by_a_click(
    ui: Any,
    ready: Any,
    load: Callable[..., Any],
    wait_until: Callable[..., None],
    picture: Callable[[str], Path],
) -> None:
    volume = load("CT of p17", marked=True)
    wait_until(lambda: ready.study.place is not None, 10)
    assert ui.volumeSelector.currentNode() is volume
    assert ui.placeLabel.text == "On the server as s00.nii."
    assert ui.modelBox.currentText.endswith("version 2")
    assert "0.91 (0.83 to 0.97, n = 15)" in ui.modelFactsLabel.text
    assert "phantoms" in ui.modelFactsLabel.text
    picture("study-ready")
    ui.classifyButton.click()
    assert ui.classifyButton.text == "Cancel"
    assert ui.classifyBar.visible
    wait_until(lambda: ready.classification.state == "idle", 20)
    assert ui.classifyButton.text == "Classify"
    assert ready.classification.result.task == "nodule"
    picture("study-classified")


def test_a_network_that_was_never_trained_stands_at_the_end_and_says_how_to_train_it(
    ui: Any,
    ready: Any,
    load: Callable[..., Any],
    choose: Callable[..., None],
    wait_until: Callable[..., None],
    picture: Callable[[str], Path],
) -> None:
    load("CT of p17", marked=True)
    wait_until(lambda: ready.study.volume is not None, 10)
    choose("taskBox", "Pulmonary embolism")
    assert ready.choice.task.name == "pe"
    assert ui.modelBox.currentText == "Tiny (not trained)"
    assert not ui.classifyButton.enabled
    assert ui.classifyStateLabel.text == ui.classifyButton.toolTip
    assert "Label studies, then train it below." in ui.classifyStateLabel.text
    assert not ui.modelFactsLabel.visible
    picture("study-untrained")
    choose("taskBox", "Lung nodule")
    assert ui.modelBox.currentText == "Tiny, version 2"


def test_a_study_that_is_only_here_is_uploaded_after_a_question_with_its_progress(
    ui: Any,
    ready: Any,
    load: Callable[..., Any],
    dialogs: Any,
    held: Callable[[str], None],
    wait_until: Callable[..., None],
    picture: Callable[[str], Path],
) -> None:
    import qt

    load("Outside CT")
    wait_until(lambda: ready.study.place is not None, 10)
    assert ui.placeLabel.text == "Only on this computer: will be uploaded (about 1 MB, no names)."
    dialogs.answer(qt.QMessageBox.Cancel, qt.QMessageBox.Yes)
    ui.classifyButton.click()
    wait_until(lambda: ready.classification.state == "idle", 10)
    assert ready.classification.result is None
    held("PUT /session/")
    ui.classifyButton.click()
    wait_until(lambda: ui.classifyStateLabel.text.startswith("Uploading"), 10)
    assert ui.classifyStateLabel.text == "Uploading: 0.2 of 0.2 MB"
    picture("study-uploading")
    held("POST /infer/")
    wait_until(lambda: ui.classifyStateLabel.text == "The server computes …", 10)
    assert (ui.classifyBar.maximum, ui.classifyButton.text) == (0, "Cancel")
    picture("study-computing")
    held("")
    wait_until(lambda: ready.classification.result is not None, 10)
    assert not ui.classifyBar.visible
    assert [each.title for each in dialogs.shown] == ["Upload patient data"] * 2
    forgotten = time.strftime("%H:%M", time.localtime(ready.classification.uploaded_until))
    assert ui.placeLabel.text == (
        f"Only on this computer. Uploaded for now: the server forgets it at {forgotten}."
    )
    ready.study.volume.GetImageData().Modified()
    ready.study.changed.emit()
    # It is another one now.
    wait_until(lambda: ui.placeLabel.text.startswith("Only on this computer: will be uploaded"), 10)


def test_another_volume_is_chosen_while_one_is_classified_and_waits_in_line(
    ui: Any,
    ready: Any,
    load: Callable[..., Any],
    held: Callable[[str], None],
    wait_until: Callable[..., None],
    picture: Callable[[str], Path],
) -> None:
    first, second = load("CT 1", marked=True), load("CT 2", marked=True)
    held("POST /infer/")
    ui.volumeSelector.setCurrentNode(first)
    wait_until(lambda: ready.study.place is not None, 10)
    ui.classifyButton.click()
    ui.volumeSelector.setCurrentNode(second)
    assert (ui.classifyButton.text, ui.othersLabel.text) == ("Classify", "Also under way: CT 1.")
    ui.classifyButton.click()
    assert ui.classifyStateLabel.text == "Waits until CT 1 is classified."
    picture("study-waiting-in-line")
    ui.volumeSelector.setCurrentNode(first)
    assert ui.classifyButton.text == "Cancel"
    ui.classifyButton.click()
    assert (ui.classifyButton.text, ui.othersLabel.text) == ("Classify", "Also under way: CT 2.")
    held("")
    wait_until(lambda: not ready.classification.others, 10)
    assert not ui.othersLabel.visible
    assert ready.classification.result is None
    ui.volumeSelector.setCurrentNode(second)
    assert ready.classification.result.task == "nodule"


def test_a_server_that_goes_away_is_said_and_its_button_comes_back_with_it(
    ui: Any,
    ready: Any,
    site: Any,
    load: Callable[..., Any],
    held: Callable[[str], None],
    wait_until: Callable[..., None],
    picture: Callable[[str], Path],
) -> None:
    load("CT 1", marked=True)
    wait_until(lambda: ready.study.place is not None, 10)
    held("POST /infer/")
    ui.classifyButton.click()
    wait_until(lambda: site.relay.asked[-1].startswith("POST /infer/"), 10)
    site.relay.refuses = True
    wait_until(lambda: ready.server.state == "away" and ready.classification.state == "idle", 10)
    assert not ui.classifyButton.enabled
    assert ui.classifyStateLabel.text == "The server does not answer. The panel keeps looking for it."
    picture("study-server-away")
    site.relay.refuses = False
    held("")
    wait_until(lambda: ui.classifyButton.enabled, 15)
    ui.classifyButton.click()
    wait_until(lambda: ready.classification.result is not None, 10)


def test_the_key_classifies(
    panel: Any, ready: Any, load: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    load("CT 1", marked=True)
    wait_until(lambda: ready.study.place is not None, 10)
    (key,) = [
        each for each in panel.panel.sections["StudySection"].shortcuts() if each.keys == "Ctrl+Shift+C"
    ]
    key.press()
    wait_until(lambda: ready.classification.result is not None, 10)


def test_the_section_is_whole_in_300_pixels(
    panel: Any, ui: Any, ready: Any, load: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    load("A CT with a very long name as archives give them 1.2.840.113619.2.55.3", marked=True)
    wait_until(lambda: ready.study.place is not None, 10)
    assert panel.panel.sections["StudySection"].widget.minimumSizeHint().width() <= 300
