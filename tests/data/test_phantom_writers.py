"""A phantom is written as any scanner's study would be, and read back as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK

from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.volume import Provenance, Volume, canonical
from vpt_plugin.data.phantom import (
    PhantomConfig,
    make_phantom,
    write_dicom,
    write_mha,
    write_nifti,
    write_nrrd,
)
from vpt_plugin.digest import uid_of
from vpt_plugin.errors import ConfigurationError


@pytest.fixture(scope="module")
def volume() -> Volume:
    config = PhantomConfig(pixels=48, slice_spacings_mm=(6.0,))
    return make_phantom(11, config=config, nodule=True, contrast=True, emboli=False).volume


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("series", write_dicom),
        ("chest.nii.gz", write_nifti),
        ("chest.nii", write_nifti),
        ("chest.nrrd", write_nrrd),
        ("chest.mha", write_mha),
    ],
)
def test_every_format_is_read_back_with_the_same_voxels_at_the_same_place(
    volume: Volume, tmp_path: Path, name: str, write: Callable[[Volume, Path], None]
) -> None:
    write(volume, tmp_path / name)
    back = read_study(tmp_path / name)
    assert np.array_equal(back.hu, volume.hu)
    assert np.allclose(back.spacing_mm, volume.spacing_mm, atol=1e-6)
    assert np.allclose(back.origin_mm, volume.origin_mm, atol=1e-4)
    assert np.allclose(back.direction, volume.direction)
    assert np.allclose(back.slice_z_mm, volume.slice_z_mm, atol=1e-4)
    # The file of a phantom says that it is one; what comes from a scanner does not.
    assert back.provenance.synthetic
    scanned = replace(volume, provenance=Provenance("nifti", patient_id="P1"))
    write(scanned, tmp_path / "scanned" / name)
    assert not read_study(tmp_path / "scanned" / name).provenance.synthetic


def test_a_volume_in_any_orientation_is_written_with_its_own_geometry(volume: Volume, tmp_path: Path) -> None:
    # Columns first, and the feet up: the same anatomy, stored another way.
    turned = replace(
        volume,
        hu=np.ascontiguousarray(volume.hu.transpose(2, 1, 0)[:, ::-1]),
        spacing_mm=volume.spacing_mm[::-1],
        direction=volume.direction[:, ::-1] * np.array([1, -1, 1]),
        origin_mm=(
            volume.origin_mm[0],
            volume.origin_mm[1] + volume.spacing_mm[1] * (volume.hu.shape[1] - 1),
            volume.origin_mm[2],
        ),
    )
    write_nrrd(turned, tmp_path / "turned.nrrd")
    write_dicom(turned, tmp_path / "turned")
    assert np.array_equal(canonical(turned).hu, volume.hu)
    for name in ("turned.nrrd", "turned"):
        back = read_study(tmp_path / name)
        assert np.array_equal(back.hu, volume.hu)
        assert np.allclose(back.slice_z_mm, volume.slice_z_mm, atol=1e-4)


def test_simpleitk_by_itself_reads_the_series_with_the_same_hounsfield_units(
    volume: Volume, tmp_path: Path
) -> None:
    write_dicom(volume, tmp_path / "series")
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "series")))
    image = reader.Execute()
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), volume.hu)
    assert np.allclose(image.GetSpacing(), volume.spacing_mm[::-1], atol=1e-6)
    assert np.allclose(image.GetOrigin(), volume.origin_mm, atol=1e-4)


def test_the_series_is_a_valid_ct_that_says_it_is_a_phantom(volume: Volume, tmp_path: Path) -> None:
    write_dicom(volume, tmp_path / "series")
    files = sorted((tmp_path / "series").iterdir())
    slices = [pydicom.dcmread(file) for file in files]
    assert len(files) == volume.slices
    first = slices[0]
    assert first.SOPClassUID == pydicom.uid.CTImageStorage
    assert (first.Modality, first.Manufacturer) == ("CT", "VPTCT phantom")
    assert list(first.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL"]
    assert (first.PatientID, first.PatientIdentityRemoved) == ("PHANTOM-11", "YES")
    assert first.RescaleIntercept == -1024
    assert first.SeriesInstanceUID == volume.provenance.series_uid
    assert len({item.SOPInstanceUID for item in slices}) == len(slices)
    assert len({item.SeriesInstanceUID for item in slices}) == 1
    z = [float(item.ImagePositionPatient[2]) for item in slices]
    assert np.allclose(z, volume.slice_z_mm, atol=1e-6)
    # Every attribute that the CT image and its modules require, with a value or empty (PS3.3 A.3.3).
    for keyword in (
        "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime",
        "ReferringPhysicianName", "StudyID", "AccessionNumber", "SeriesNumber", "PatientPosition",
        "FrameOfReferenceUID", "PositionReferenceIndicator", "PixelSpacing", "ImageOrientationPatient",
        "SliceThickness", "InstanceNumber", "SamplesPerPixel", "PhotometricInterpretation", "BitsStored",
        "HighBit", "PixelRepresentation", "RescaleSlope", "KVP", "AcquisitionNumber",
    ):  # fmt: skip
        assert keyword in first, keyword


def test_writing_twice_gives_the_same_bytes(volume: Volume, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_dicom(volume, tmp_path / folder)
        write_nrrd(volume, tmp_path / folder / "chest.nrrd")
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_a_series_is_not_written_into_a_folder_that_holds_something(volume: Volume, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_dicom(volume, tmp_path / "empty")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigurationError, match=r"empty is not empty; choose a new folder"):
        write_dicom(volume, tmp_path / "empty")
    assert sorted(tmp_path.rglob("*")) == before


def test_uids_are_valid_and_differ() -> None:
    uids = {uid_of(str(number)) for number in range(200)}
    assert len(uids) == 200
    assert all(len(uid) <= 64 and pydicom.uid.UID(uid).is_valid for uid in uids)
    assert uid_of("7") == uid_of("7")
