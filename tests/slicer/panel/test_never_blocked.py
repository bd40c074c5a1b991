"""The window answers while a whole CT of 300 slices of 512 x 512 is uploaded, classified, drawn and labelled.

What counts is the time that the window's thread computes at one go. Also beside an event loop that keeps
Python's lock, as Slicer's does, uploads go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from at_the_panel import AtThePanel
from numpy.typing import NDArray

BLOCKED_MS = 100
SLICES, PIXELS = 300, 512


@pytest.fixture(scope="module")
def whole_ct() -> NDArray[np.int16]:
    """A body with two lungs and the noise of a scanner, int16: 157 MB."""
    y, x = np.mgrid[0:PIXELS, 0:PIXELS]
    section = np.full((PIXELS, PIXELS), -1000, np.int16)
    section[((x - 256) / 230) ** 2 + ((y - 256) / 170) ** 2 < 1] = 40
    for side in (150, 362):
        section[((x - side) / 75) ** 2 + ((y - 250) / 115) ** 2 < 1] = -850
    noise = np.random.default_rng(0).integers(-30, 31, (7, PIXELS, PIXELS), dtype=np.int16)
    return np.stack([section + noise[number % 7] for number in range(SLICES)])


@contextmanager
def measured(name: str) -> Iterator[Any]:
    """Nothing in here computes so long in the window's thread that a reader notices; figures are printed."""
    from standin.lag_meter import LagMeter

    start = time.monotonic()
    with LagMeter() as lag:
        yield lag
    seconds = time.monotonic() - start
    print(f"{name}: {seconds:.1f} s, {lag}")
    assert lag.busiest_ms < BLOCKED_MS, f"{name}: {lag}"


@pytest.fixture
def reader(panel: Any, site: Any, wait_until: Callable[..., None]) -> AtThePanel:
    """Connected to the server itself: a relay would be threads of this process, too."""
    reader = AtThePanel(panel, wait_until)
    reader.connect(site.process.url)
    reader.log_in(site.tokens["anna"])
    reader.idle()
    return reader


def open_ct(reader: AtThePanel, voxels: NDArray[np.int16]) -> Any:
    """Put the CT into the scene, which is Slicer's own work, and let the panel meet it, which is ours."""
    import slicer

    volume = slicer.util.addVolumeFromArray(
        voxels.copy(), ijkToRAS=np.diag([-0.7, -0.7, 1.25, 1.0]), name="Whole CT"
    )
    with measured("the panel meets a volume"):
        reader.until(lambda: reader.desk.study.volume is volume and reader.desk.study.place is not None)
        reader.idle()
    return volume


def test_uploading_classifying_drawing_and_labelling(
    reader: AtThePanel, dialogs: Any, whole_ct: NDArray[np.int16]
) -> None:
    import qt

    volume = open_ct(reader, whole_ct)
    dialogs.answer(qt.QMessageBox.Yes)
    with measured("upload and infer"):
        reader.ui("Study").classifyButton.click()
        reader.until(lambda: reader.desk.classification.state == "idle", 120)
    assert reader.desk.classification.result is not None, reader.message
    with measured("infer again"):
        reader.ui("Study").classifyButton.click()
        reader.until(lambda: reader.desk.classification.state == "idle")
    with measured("boxes and plot"):
        for box in ("foundBox", "plotBox"):
            getattr(reader.ui("Evidence"), box).click()
        reader.until(lambda: reader.desk.evidence_views.shows_plot)
        reader.turn_through(volume)
    form = reader.section("Label").rows["lung_nodule"]
    with measured("label"):
        form.buttons["present"].click()
        form.from_button.click()
        reader.desk.evidence.step(9)
        form.to_button.click()
        reader.ui("Label").commentEdit.setPlainText("left lower lobe")
        reader.idle()
    with measured("another volume and back"):
        reader.ui("Study").volumeSelector.setCurrentNode(None)
        reader.idle()
        reader.ui("Study").volumeSelector.setCurrentNode(volume)
        reader.idle()


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "reduced"])
def test_uploads_go_on_beside_slicers_own_event_loop(
    whole: bool, reader: AtThePanel, dialogs: Any, whole_ct: NDArray[np.int16]
) -> None:
    import qt
    from standin.slicer_event_loop import run_until
    from VPTCTLib.settings import UPLOAD_WHOLE

    open_ct(reader, whole_ct)
    reader.desk.settings.set(UPLOAD_WHOLE, whole)
    dialogs.answer(qt.QMessageBox.Yes)
    with measured(f"beside Slicer's loop, {'whole' if whole else 'reduced'}") as lag:
        reader.ui("Study").classifyButton.click()
        run_until(lambda: reader.desk.classification.state == "idle", 120)
    assert reader.desk.classification.result is not None, reader.message
    assert lag.ticks > 20


def test_a_study_that_was_fetched_is_read_and_put_into_the_scene(
    panel: Any, wait_until: Callable[..., None], tmp_path: Path, whole_ct: NDArray[np.int16]
) -> None:
    import SimpleITK
    import slicer
    from VPTCTLib.scene.load import add_study, read_files

    file = tmp_path / "whole.nrrd"
    image = SimpleITK.GetImageFromArray(whole_ct)
    image.SetSpacing((0.7, 0.7, 1.25))
    SimpleITK.WriteImage(image, str(file), useCompression=True)
    del image
    came: list[Any] = []
    with measured("a study is read in a worker"):
        panel.desk.jobs.start(lambda work: read_files([file]), came.append, came.append)
        wait_until(lambda: came, 60)
    with measured("a study is put into the scene and shown"):
        volume = add_study(slicer.mrmlScene, came[0], name="Whole CT")
        panel.desk.study.select(volume)
        wait_until(lambda: panel.desk.evidence.profile is not None, 10)
    assert slicer.util.arrayFromVolume(volume).shape == (SLICES, PIXELS, PIXELS)
    # Told apart: what a reader opens by Slicer's own File > Add Data, Slicer reads in the window's thread.
    start = time.monotonic()
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(file))
    assert storage.ReadData(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode"))
    print(f"Slicer's own reader, in the window's thread: {time.monotonic() - start:.1f} s")
