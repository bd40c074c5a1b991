"""Downloaded studies come into the scene with the geometry that the server sees."""

from __future__ import annotations

import gzip
import random
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from standin.wheel import require_scene

slicer = require_scene()

from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import PhantomConfig, make_phantom, write_dicom
from VPTCTLib.errors import CancelledError, LocalFileError
from VPTCTLib.scene import unpack
from VPTCTLib.scene.export import snapshot
from VPTCTLib.scene.load import add_study, read_files
from VPTCTLib.scene.unpack import ready_to_load
from VPTCTLib.transport.cancel import Cancel


@pytest.fixture(scope="module")
def phantom() -> Volume:
    config = PhantomConfig(pixels=40, slice_spacings_mm=(8.0,), nodule_diameters_mm=(34.0, 48.0))
    return make_phantom(0, config=config, nodule=True, contrast=False, emboli=False).volume


@pytest.fixture(scope="module")
def dicom(phantom: Volume, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files in an order that says nothing."""
    folder = tmp_path_factory.mktemp("dicom")
    write_dicom(phantom, folder)
    files = sorted(folder.rglob("*.dcm"))
    random.Random(0).shuffle(files)
    return files


def zipped(files: Sequence[Path], path: Path, names: Callable[[int], str] = "s/{}.dcm".format) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number, file in enumerate(files):
            archive.write(file, names(number))
    return path


def ready(file: Path, cancel: Cancel | None = None) -> tuple[Path, ...]:
    return ready_to_load(file, progress=lambda done, total: None, cancel=cancel or Cancel())


def assert_as_the_server(volume: Any, server: Volume) -> None:
    taken = snapshot(volume)
    z_mm = [taken.geometry.z_of(index) for index in range(taken.geometry.slices)]
    assert z_mm == pytest.approx(server.slice_z_mm.tolist(), abs=1e-3)
    assert taken.geometry.origin_mm == pytest.approx(server.origin_mm, abs=1e-3)
    np.testing.assert_array_equal(np.clip(taken.voxels, -1024, 3071), server.hu)


def test_a_zip_of_shuffled_slices_is_the_study_of_the_server(
    scene: Any, dicom: list[Path], tmp_path: Path
) -> None:
    packed = zipped(dicom, tmp_path / "study.zip")

    volume = add_study(scene, read_files(ready(packed)), name="1.2.840.1")

    assert_as_the_server(volume, read_study(packed))
    assert volume.GetName() == "1.2.840.1"
    # Loaded files go; the volume stays, and is saved like one that was made here.
    shutil.rmtree(tmp_path / "slices")
    assert volume.GetStorageNode() is None
    assert slicer.util.arrayFromVolume(volume).max() > 0
    assert slicer.util.getNodesByClass("vtkMRMLVolumeArchetypeStorageNode") == []


def oblique_and_flipped() -> sitk.Image:
    angle = np.radians(25)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    rng = np.random.default_rng(0)
    image = sitk.GetImageFromArray(rng.integers(-1000, 1000, (9, 11, 13), dtype=np.int16))
    image.SetSpacing((0.7, 2.5, 0.9))
    image.SetOrigin((-100.25, 60.5, -212.125))
    image.SetDirection((turn @ np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])).ravel().tolist())
    return image


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_a_file_of_any_format_is_the_study_of_the_server(scene: Any, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"study{ending}"
    sitk.WriteImage(oblique_and_flipped(), str(file))

    volume = add_study(scene, read_files(ready(file)), name="study 7")

    assert_as_the_server(volume, read_study(file))
    assert volume.GetDisplayNode().GetColorNode() is not None


def test_names_in_a_zip_point_nowhere(dicom: list[Path], tmp_path: Path) -> None:
    packed = zipped(dicom[:3], tmp_path / "study.zip", lambda number: f"../../evil{number}.dcm")

    files = ready(packed)

    assert {file.parent for file in files} == {tmp_path / "slices"}
    assert not list(tmp_path.parent.rglob("evil*.dcm"))


def test_of_several_series_the_largest_is_taken_and_of_each_place_one_slice(
    dicom: list[Path], tmp_path: Path
) -> None:
    other, again = [], tmp_path / "again.dcm"
    for number, file in enumerate(dicom[:5]):
        header = pydicom.dcmread(file)
        header.SeriesInstanceUID = "1.2.3"
        other.append(tmp_path / f"other{number}.dcm")
        header.save_as(other[-1])
    shutil.copy(dicom[0], again)
    text = tmp_path / "README"
    text.write_text("no slice")

    files = ready(zipped([text, *other, again, *dicom], tmp_path / "study.zip"))

    places = [float(pydicom.dcmread(file).ImagePositionPatient[2]) for file in files]
    assert len(files) == len(dicom)
    assert places == sorted(places)


def test_what_is_damaged_is_told_in_words(dicom: list[Path], tmp_path: Path) -> None:
    zip_file, gz_file = tmp_path / "a.zip", tmp_path / "b.nii.gz"
    zip_file.write_bytes(zipped(dicom, tmp_path / "whole.zip").read_bytes()[:-100])
    gz_file.write_bytes(gzip.compress(bytes(100_000))[:-20])
    for file in (zip_file, gz_file):
        with pytest.raises(LocalFileError, match="cannot be unpacked"):
            ready(file)
    with pytest.raises(LocalFileError, match="no slices"):
        ready(zipped([Path(__file__)], tmp_path / "c.zip"))


def test_a_zip_that_unpacks_to_more_than_any_ct_is_left(
    dicom: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = zipped(dicom, tmp_path / "study.zip")
    monkeypatch.setattr(unpack, "_MOST_BYTES", 10_000)
    with pytest.raises(LocalFileError, match="more than any CT"):
        ready(packed)
    monkeypatch.setattr(unpack, "_MOST_FILES", 3)
    with pytest.raises(LocalFileError, match=f"{len(dicom)} files"):
        ready(packed)


def test_unpacking_can_be_cancelled(dicom: list[Path], tmp_path: Path) -> None:
    cancel = Cancel()
    cancel.ask()
    with pytest.raises(CancelledError):
        ready(zipped(dicom, tmp_path / "study.zip"), cancel)


def test_what_slicer_cannot_read_is_told_in_words(scene: Any, tmp_path: Path, capfd: Any) -> None:
    file = tmp_path / "study.nrrd"
    file.write_bytes(b"NRRD0004\n")
    with pytest.raises(LocalFileError, match="cannot read the downloaded study"):
        add_study(scene, read_files([file]), name="7")
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    capfd.readouterr()
