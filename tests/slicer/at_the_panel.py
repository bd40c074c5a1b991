"""A reader in front of the panel, for the tests of trouble: every step is a click, as in Slicer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WAIT_SECONDS = 60


@dataclass
class AtThePanel:
    """A reader, and what they see.

    Attributes:
        opened: the module, as the fixture ``panel`` opens it.
        wait_until: lets Qt's events go on until a condition holds.
    """

    opened: Any
    wait_until: Callable[..., None]

    @property
    def desk(self) -> Any:
        return self.opened.desk

    @property
    def message(self) -> str:
        """What the panel tells above its sections; "" for nothing."""
        ui = self.opened.panel.ui
        return str(ui.messageLabel.text) if ui.messageFrame.visible else ""

    def section(self, name: str) -> Any:
        return self.opened.panel.sections[f"{name}Section"]

    def ui(self, name: str) -> Any:
        """The widgets of a section."""
        return self.section(name).ui

    def until(self, condition: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
        self.wait_until(condition, seconds)

    def idle(self) -> None:
        """Wait until nothing is asked."""
        self.until(lambda: self.desk.jobs.running == 0)

    def connect(self, address: str) -> None:
        ui = self.ui("Server")
        ui.addressBox.setEditText(address)
        ui.connectButton.click()

    def log_in(self, token: str) -> None:
        ui = self.ui("Server")
        self.until(lambda: ui.loginFrame.visible)
        ui.secretEdit.text = token
        ui.logInButton.click()
        self.until(lambda: self.desk.server.state == "ready" and self.ui("Study").modelBox.count)

    def open_file(self, path: Path, name: str) -> Any:
        """Slicer's own File > Add Data."""
        import slicer

        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(path))
        assert storage.ReadData(volume)
        volume.CreateDefaultDisplayNodes()
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        self.until(lambda: self.desk.study.volume is volume)
        return volume

    def classify(self) -> Any:
        """Click, and wait for the answer."""
        self.until(lambda: self.desk.study.place is not None)
        self.ui("Study").classifyButton.click()
        self.until(lambda: self.desk.classification.state == "idle")
        result = self.desk.classification.result
        assert result is not None, self.message
        return result

    def turn_through(self, volume: Any) -> None:
        """Let the views go through twenty slices, a turn of the event loop each."""
        import slicer
        from VPTCTLib.scene.geometry import geometry_of

        geometry = geometry_of(volume)
        for number in range(20):
            self.desk.evidence.jump(geometry.z_of(number * geometry.slices // 20))
            slicer.app.processEvents()
