"""A volume has an origin only for as long as it is as it came; what is no CT is refused in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from standin.wheel import require_scene

slicer = require_scene()

from VPTCTLib.scene.origin import mark_origin, note_arrival, origin_of
from VPTCTLib.scene.refusal import refusal_of
from VPTCTLib.which_study import Origin

NewVolume = Callable[..., Any]
HOME, STUDY = "http://server:8000", "s01.nii"
SERIES, EXAMINATION = "1.2.840.5", "1.2.840.7"


def chest(shape: tuple[int, int, int] = (6, 8, 10)) -> Any:
    voxels = np.full(shape, -900, np.int16)
    voxels[:, 2:5] = 40
    return voxels


def series_of(uid: str) -> str:
    return SERIES if uid.startswith("1.2.840.5.") else ""


def origin(volume: Any) -> Origin:
    return origin_of(volume, series_of, lambda series: EXAMINATION if series == SERIES else "")


def from_server(new_volume: NewVolume) -> Any:
    volume = new_volume(chest())
    mark_origin(volume, server=HOME, study=STUDY, server_id="abc")
    return volume


def test_a_volume_as_it_came_has_its_origin(new_volume: NewVolume) -> None:
    assert origin(from_server(new_volume)) == Origin(server=HOME, study=STUDY, server_id="abc")
    assert origin(new_volume(chest())) == Origin()


def test_one_that_was_changed_has_none(new_volume: NewVolume) -> None:
    volume = from_server(new_volume)
    slicer.util.arrayFromVolume(volume)[0, 0, 0] = 5
    slicer.util.arrayFromVolumeModified(volume)
    assert origin(volume) == Origin()

    cropped = from_server(new_volume)
    slicer.util.updateVolumeFromArray(cropped, chest()[:4])
    assert origin(cropped) == Origin()

    moved = from_server(new_volume)
    moved.SetOrigin(0, 0, 1)
    assert origin(moved) == Origin()


def test_being_shown_elsewhere_or_otherwise_is_no_change(scene: Any, new_volume: NewVolume) -> None:
    volume = from_server(new_volume)
    volume.GetDisplayNode().SetWindowLevel(1500, -600)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    volume.SetAndObserveTransformNodeID(transform.GetID())

    assert origin(volume).study == STUDY

    volume.HardenTransform()
    assert origin(volume).study == STUDY  # by nothing
    volume.SetAndObserveTransformNodeID(transform.GetID())
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([1.0, 1, -1, 1])))
    volume.HardenTransform()
    assert origin(volume).study == ""


def test_a_copy_is_the_same_study_until_it_is_changed(scene: Any, new_volume: NewVolume) -> None:
    copy = slicer.vtkSlicerVolumesLogic.CloneVolume(scene, from_server(new_volume), "copy")
    assert origin(copy).study == STUDY

    slicer.util.arrayFromVolume(copy)[:] = 0
    slicer.util.arrayFromVolumeModified(copy)
    assert origin(copy).study == ""


def of_a_series(volume: Any, instances: int = 6) -> Any:
    """As Slicer's DICOM module leaves a volume: with the UIDs of its instances, and no file to go by."""
    volume.SetAttribute("DICOM.instanceUIDs", " ".join(f"{SERIES}.{number}" for number in range(instances)))
    return volume


def test_a_dicom_series_is_known_by_the_database(new_volume: NewVolume) -> None:
    volume = of_a_series(new_volume(chest()))
    volume.GetDisplayNode().SetWindowLevel(1500, -600)

    assert origin(volume) == Origin(series_uid=SERIES, examination=EXAMINATION)
    assert origin_of(volume, lambda uid: "") == Origin()
    assert origin_of(volume, lambda uid: "no uid") == Origin()
    assert origin_of(volume, lambda uid: f"1.2.{uid[-1]}") == Origin()


def test_a_part_of_a_series_or_a_changed_one_is_not_the_series(scene: Any, new_volume: NewVolume) -> None:
    assert origin(of_a_series(new_volume(chest()), instances=5)) == Origin()
    assert origin(of_a_series(new_volume(chest()), instances=1)) == Origin()
    volume = of_a_series(new_volume(chest()))
    note_arrival(volume)
    copy = slicer.vtkSlicerVolumesLogic.CloneVolume(scene, volume, "copy")
    slicer.util.arrayFromVolume(volume)[0, 0, 0] = 5
    slicer.util.arrayFromVolumeModified(volume)

    note_arrival(volume)

    assert origin(volume) == Origin()
    assert origin(copy).series_uid == SERIES
    slicer.util.updateVolumeFromArray(copy, chest()[:, :4])
    assert origin(copy) == Origin()


def test_a_changed_volume_that_becomes_a_study_of_the_server_is_that_and_no_series(
    new_volume: NewVolume,
) -> None:
    volume = of_a_series(new_volume(chest()))
    note_arrival(volume)
    slicer.util.updateVolumeFromArray(volume, chest() + 1)

    mark_origin(volume, server=HOME, study=STUDY)

    assert origin(volume) == Origin(server=HOME, study=STUDY)


def test_a_volume_that_was_changed_since_it_was_read_from_files_is_not_what_they_hold(
    scene: Any, tmp_path: Path
) -> None:
    file = tmp_path / "study.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(chest()), str(file))
    logic = slicer.vtkSlicerVolumesLogic()
    logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    logic.SetMRMLScene(scene)
    as_read, changed = (
        of_a_series(logic.AddArchetypeScalarVolume(str(file), "CT", 0, None)) for _ in range(2)
    )
    slicer.util.arrayFromVolume(changed)[0, 0, 0] = 5
    slicer.util.arrayFromVolumeModified(changed)

    assert origin(as_read).series_uid == SERIES
    assert origin(changed) == Origin()


def test_a_chest_ct_is_not_refused(new_volume: NewVolume) -> None:
    assert refusal_of(new_volume(chest())) == ""
    assert refusal_of(new_volume(chest().astype(np.float32))) == ""


@pytest.mark.parametrize(
    ("voxels", "words"),
    [
        (chest((2, 8, 10)), "2 slices"),
        (chest().astype(np.uint8), "8 bits"),
        (np.zeros((6, 8, 10), np.int16), "run from 0 to 0"),
        (np.where(chest() < 0, np.nan, 1.0), "not numbers"),
        (np.linspace(0, 1, 480).reshape(6, 8, 10), "not the Hounsfield units"),
    ],
)
def test_what_is_no_ct_is_refused_in_words(new_volume: NewVolume, voxels: Any, words: str) -> None:
    assert words in refusal_of(new_volume(voxels))


def test_grids_that_the_server_does_not_take_are_refused(new_volume: NewVolume) -> None:
    tilted = np.diag([-1.0, -1, 2, 1])
    tilted[1, 2] = 0.3
    assert "right angles" in refusal_of(new_volume(chest(), tilted))


def test_other_kinds_of_volumes_are_refused(scene: Any, new_volume: NewVolume) -> None:
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert "no voxels" in refusal_of(empty)
    labels = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    slicer.util.updateVolumeFromArray(labels, chest())
    assert "label map" in refusal_of(labels)
    colours = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode")
    slicer.util.updateVolumeFromArray(colours, np.zeros((6, 8, 10, 3), np.uint8))
    assert "colours" in refusal_of(colours)


def test_a_moment_of_a_sequence_is_refused(scene: Any, new_volume: NewVolume) -> None:
    volume = new_volume(chest())
    sequence = scene.AddNode(slicer.vtkMRMLSequenceNode())
    sequence.SetDataNodeAtValue(volume, "0")
    browser = scene.AddNode(slicer.vtkMRMLSequenceBrowserNode())
    browser.AddSynchronizedSequenceNode(sequence)
    browser.AddProxyNode(volume, sequence, False)

    assert "sequence" in refusal_of(volume)
    assert refusal_of(new_volume(chest())) == ""
