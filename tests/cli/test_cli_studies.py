"""Which studies the paths on the command line stand for."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from vpt_plugin.cli.studies import expand


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_header(path: Path, examination: str) -> None:
    """A DICOM file with a StudyInstanceUID and nothing else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.StudyInstanceUID = examination
    dataset.save_as(path)


def test_a_file_stands_for_itself_even_if_it_is_not_there(tmp_path: Path) -> None:
    assert expand([tmp_path / "gone.nii"]) == [tmp_path / "gone.nii"]


def test_a_folder_of_files_stands_for_all_of_them_in_order(tmp_path: Path) -> None:
    files = [tmp_path / "a.nii.gz", tmp_path / "b.nrrd", tmp_path / "deeper" / "c.mha"]
    touch(*files, tmp_path / "readme.txt")
    assert expand([tmp_path]) == files


def test_a_study_named_twice_is_answered_once(tmp_path: Path) -> None:
    touch(tmp_path / "a.nii", tmp_path / "b.nii")
    assert expand([tmp_path / "b.nii", tmp_path]) == [tmp_path / "b.nii", tmp_path / "a.nii"]


def test_a_folder_of_dicom_files_is_one_study(tmp_path: Path) -> None:
    write_header(tmp_path / "1.dcm", "1.2.1")
    write_header(tmp_path / "2.dcm", "1.2.1")
    assert expand([tmp_path]) == [tmp_path]


def test_the_series_of_one_examination_are_one_study(tmp_path: Path) -> None:
    touch(tmp_path / "scout" / "00-readme.txt")
    write_header(tmp_path / "scout" / "1.dcm", "1.2.1")
    write_header(tmp_path / "thin" / "1.dcm", "1.2.1")
    assert expand([tmp_path]) == [tmp_path]


def test_examinations_of_several_series_each_are_one_study_each(tmp_path: Path) -> None:
    for patient, examination in (("anna", "1.2.1"), ("otto", "1.2.2")):
        write_header(tmp_path / patient / "scout" / "1.dcm", examination)
        write_header(tmp_path / patient / "thin" / "1.dcm", examination)
    assert expand([tmp_path]) == [tmp_path / "anna", tmp_path / "otto"]


def test_several_examinations_are_several_studies(tmp_path: Path) -> None:
    write_header(tmp_path / "anna" / "1.dcm", "1.2.1")
    write_header(tmp_path / "otto" / "1.dcm", "1.2.2")
    assert expand([tmp_path]) == [tmp_path / "anna", tmp_path / "otto"]


def test_an_examination_beside_a_file_is_not_swallowed(tmp_path: Path) -> None:
    write_header(tmp_path / "anna" / "1.dcm", "1.2.1")
    touch(tmp_path / "b.nii")
    assert expand([tmp_path]) == [tmp_path / "anna", tmp_path / "b.nii"]


def test_an_empty_folder_stands_for_itself_so_that_reading_it_says_what_is_wrong(tmp_path: Path) -> None:
    assert expand([tmp_path]) == [tmp_path]
