"""LIDC-IDRI-0001, a chest CT of 133 slices, loaded as Slicer's DICOM module does: uploaded, or named.

Named is a study that the server has: it knows it by the UID of its series, and nothing is uploaded.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from at_the_panel import AtThePanel
from relay import Relay
from server_process import ServerProcess

SLICES, SLICE_MM = 133, 2.5
BLOCKED_MS = 100


@dataclass(frozen=True)
class Series:
    """The DICOM files, from the feet to the head.

    Attributes:
        files: their paths.
        instances: their SOPInstanceUIDs.
        heights_mm: patient z of each.
        uid: of the series.
    """

    files: tuple[Path, ...]
    instances: tuple[str, ...]
    heights_mm: tuple[float, ...]
    uid: str


@pytest.fixture(scope="module")
def series(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Series:
    folder = tmp_path_factory.mktemp("lidc") / "ct"
    folder.mkdir()
    with zipfile.ZipFile(real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_dicom_133.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".dcm"):
                (folder / Path(name).name).write_bytes(archive.read(name))
    headers = [(pydicom.dcmread(path, stop_before_pixels=True), path) for path in folder.iterdir()]
    headers.sort(key=lambda each: float(each[0].ImagePositionPatient[2]))
    return Series(
        tuple(path for _, path in headers),
        tuple(str(header.SOPInstanceUID) for header, _ in headers),
        tuple(float(header.ImagePositionPatient[2]) for header, _ in headers),
        str(headers[0][0].SeriesInstanceUID),
    )


@pytest.fixture
def opened(panel: Any, series: Series) -> Callable[[AtThePanel], Any]:
    """Opens the series as Slicer's DICOM module does."""

    def opened(reader: AtThePanel) -> Any:
        import slicer

        slicer.dicomDatabase.add(series.files[0].parent)
        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "LIDC-IDRI-0001 chest")
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(series.files[0]))
        storage.ResetFileNameList()
        for file in series.files:
            storage.AddFileName(str(file))
        storage.SetSingleFile(False)
        assert storage.ReadData(volume)
        volume.SetAttribute("DICOM.instanceUIDs", " ".join(series.instances))
        volume.CreateDefaultDisplayNodes()
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        reader.until(lambda: reader.desk.study.volume is volume and reader.desk.study.place is not None)
        return volume

    return opened


@pytest.fixture
def server_that_has_it(site: Any, series: Series, tmp_path: Path) -> Iterator[Relay]:
    """A server without a login, whose studies are this one."""
    conf = {
        "tasks": "nodule", "models": "tiny", "device": "cpu", "scoring": "off",
        "models_dir": str(site.root / "models"),
    }  # fmt: skip
    environment = {"VPTCT_HOME": str(tmp_path / "home")}
    with (
        ServerProcess(series.files[0].parent.parent, conf=conf, environment=environment) as process,
        Relay(process.url) as relay,
    ):
        yield relay
        process.kill()


def classify_and_look(reader: AtThePanel, series: Series) -> float:
    """Classify by a click; the view then shows the slice that the server names. Returns its z."""
    import slicer
    from standin.lag_meter import LagMeter

    with LagMeter() as lag:
        (finding,) = reader.classify().findings
    assert lag.busiest_ms < BLOCKED_MS, lag
    print(lag)
    assert len(series.heights_mm) == SLICES
    assert np.abs(np.subtract(series.heights_mm, finding.key_slice_mm)).min() < 0.01
    # The slices are at right angles to z: where the view cuts is the offset that it tells itself.
    shown = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceOffset()
    assert shown == pytest.approx(finding.key_slice_mm, abs=SLICE_MM / 2)
    return float(finding.key_slice_mm)


def test_a_series_of_this_computer_is_uploaded(
    panel: Any,
    site: Any,
    series: Series,
    opened: Callable[[AtThePanel], Any],
    dialogs: Any,
    wait_until: Callable[..., None],
    picture: Callable[..., Path],
) -> None:
    import qt

    reader = AtThePanel(panel, wait_until)
    reader.connect(site.relay.url)
    reader.log_in(site.tokens["anna"])
    opened(reader)
    assert reader.ui("Study").placeLabel.text.startswith("Only on this computer")
    dialogs.answer(qt.QMessageBox.Yes)
    site.relay.asked.clear()
    classify_and_look(reader, series)
    assert any(each.startswith("PUT /session/") for each in site.relay.asked)
    picture("lidc-idri-0001 uploaded")


def test_a_series_that_the_server_has_is_named_and_not_uploaded(
    panel: Any,
    server_that_has_it: Relay,
    series: Series,
    opened: Callable[[AtThePanel], Any],
    wait_until: Callable[..., None],
    picture: Callable[..., Path],
) -> None:
    reader = AtThePanel(panel, wait_until)
    reader.connect(server_that_has_it.url)
    reader.until(lambda: reader.desk.server.state == "ready")
    opened(reader)
    assert reader.ui("Study").placeLabel.text.startswith("On the server as ")
    assert reader.desk.study.series_uid == series.uid
    classify_and_look(reader, series)
    sent = [each for each in server_that_has_it.asked if each.startswith(("PUT ", "POST "))]
    assert [each for each in sent if not each.startswith("POST /infer/")] == []
    (asked,) = sent
    assert "image=" in asked, "named, in the address; nothing of the study itself goes there"
    picture("lidc-idri-0001 named")
