"""The section "Study": what a reader chooses, clicks and reads there, against the real server."""

from __future__ import annotations

from collections.abc import Callable
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
