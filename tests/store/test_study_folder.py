"""StudyFolder finds studies, and nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from vpt_plugin.errors import StudyNotFoundError
from vpt_plugin.store.studies import StudyFolder

DICOM = bytes(128) + b"DICM" + bytes(50)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def put(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_files_of_a_volume_and_folders_of_dicom_are_studies(tmp_path: Path) -> None:
    put(tmp_path / "a.nii.gz")
    put(tmp_path / "deep" / "er" / "b.NRRD")
    put(tmp_path / "c.mha")
    put(tmp_path / "p1" / "series" / "IM0001", DICOM)
    put(tmp_path / "p2" / "1.dcm", DICOM)
    put(tmp_path / "readme.txt")
    put(tmp_path / "reports" / "1.dcm", b"this is no DICOM")
    assert StudyFolder(tmp_path).scan() == {
        "a.nii.gz": tmp_path / "a.nii.gz",
        "c.mha": tmp_path / "c.mha",
        "deep--er--b.NRRD": tmp_path / "deep" / "er" / "b.NRRD",
        "p1--series": tmp_path / "p1" / "series",
        "p2": tmp_path / "p2",
    }


def test_a_client_learns_the_name_the_kind_and_the_place_of_a_study(tmp_path: Path) -> None:
    put(tmp_path / "deep" / "er" / "b.NRRD")
    put(tmp_path / "p1.nii" / "IM0001", DICOM)  # a folder, whatever it is called
    folder = StudyFolder(tmp_path, fresh_seconds=100)
    file = {"name": "b.NRRD", "kind": "nrrd", "place": "deep/er/b.NRRD"}
    assert folder.facts("deep--er--b.NRRD") == file
    assert folder.facts("p1.nii") == {"name": "p1.nii", "kind": "dicom", "place": "p1.nii"}
    with pytest.raises(StudyNotFoundError):
        folder.facts("b.NRRD")


def test_a_study_is_told_of_though_it_cannot_be_read_at_the_moment(tmp_path: Path) -> None:
    put(tmp_path / "p1" / "IM0001", DICOM)
    folder = StudyFolder(tmp_path, fresh_seconds=100)
    assert folder.ids() == ["p1"]
    (tmp_path / "p1").rename(tmp_path / ".away")
    assert folder.facts("p1")["place"] == "p1"


def test_a_dicom_folder_that_is_the_whole_root_has_a_place_too(tmp_path: Path) -> None:
    put(tmp_path / "1.dcm", DICOM)
    folder = StudyFolder(tmp_path)
    (study,) = folder.ids()
    assert folder.facts(study) == {"name": tmp_path.name, "kind": "dicom", "place": "."}


def test_what_lies_below_a_dicom_folder_belongs_to_it(tmp_path: Path) -> None:
    put(tmp_path / "p1" / "scout.dcm", DICOM)
    put(tmp_path / "p1" / "thin" / "1.dcm", DICOM)
    assert StudyFolder(tmp_path).ids() == ["p1"]


def dicom_of(examination: str) -> bytes:
    """A DICOM file with a StudyInstanceUID of an even number of characters and nothing else."""
    syntax, uid = b"1.2.840.10008.1.2.1\0", examination.encode()
    meta = b"\2\0\x10\0UI" + len(syntax).to_bytes(2, "little") + syntax
    return bytes(128) + b"DICM" + meta + b"\x20\0\x0d\0UI" + len(uid).to_bytes(2, "little") + uid


def test_the_series_of_one_examination_side_by_side_are_one_study(tmp_path: Path) -> None:
    study = tmp_path / "LIDC-1" / "CT"
    put(study / "localizer" / "1.dcm", dicom_of("1.2.34"))
    put(study / "reports" / "report.txt")
    folder = StudyFolder(tmp_path, fresh_seconds=0)
    assert folder.ids() == ["LIDC-1--CT--localizer"]
    put(study / "thin" / "1.dcm", dicom_of("1.2.34"))
    put(tmp_path / "RSNA" / "a" / "1.dcm", dicom_of("0c1d2e"))  # hashed, as anonymised files have it
    put(tmp_path / "RSNA" / "b" / "1.dcm", dicom_of("0c1d2e"))
    put(tmp_path / "LIDC-1" / "DX" / "series" / "1.dcm", dicom_of("1.2.56"))
    assert folder.scan() == {
        "LIDC-1--CT": study,
        "LIDC-1--DX--series": tmp_path / "LIDC-1" / "DX" / "series",
        "RSNA": tmp_path / "RSNA",
    }


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("b/1.dcm", dicom_of("1.2.56")),
        ("b/1.dcm", DICOM),
        ("b.nii", b"x"),
        ("b/c.nii", b"x"),
        ("b/c/1.dcm", dicom_of("1.2.34")),
    ],
)
def test_an_examination_with_anything_else_to_read_beside_it_swallows_nothing(
    tmp_path: Path, name: str, data: bytes
) -> None:
    for series in ("a1", "a2"):
        put(tmp_path / "p1" / series / "1.dcm", dicom_of("1.2.34"))
    put(tmp_path / "p1" / name, data)
    assert len(StudyFolder(tmp_path).ids()) == 3


def test_examinations_without_a_uid_are_not_taken_for_one(tmp_path: Path) -> None:
    for series in ("a1", "a2"):
        put(tmp_path / "p1" / series / "1.dcm", DICOM)
    assert StudyFolder(tmp_path).ids() == ["p1--a1", "p1--a2"]


def test_the_root_is_never_one_of_several_series_lest_ids_change_when_a_study_comes(tmp_path: Path) -> None:
    for series in ("a1", "a2"):
        put(tmp_path / series / "1.dcm", dicom_of("1.2.34"))
    assert StudyFolder(tmp_path).ids() == ["a1", "a2"]


def test_the_headers_of_a_folder_that_did_not_change_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for series in ("a1", "a2"):
        put(tmp_path / "p1" / series / "1.dcm", dicom_of("1.2.34"))
    folder = StudyFolder(tmp_path, fresh_seconds=0)
    assert folder.ids() == ["p1"]

    def refuse(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr("vpt_plugin.store.folder_scan.read_uids", refuse)
    assert folder.ids() == ["p1"]


def test_a_dicomdir_does_not_make_its_folder_a_study(tmp_path: Path) -> None:
    put(tmp_path / "cd" / "DICOMDIR", DICOM)
    put(tmp_path / "cd" / "IMAGES" / "I1", DICOM)
    assert StudyFolder(tmp_path).ids() == ["cd--IMAGES"]


def test_hidden_folders_and_our_own_labels_are_left_out(tmp_path: Path) -> None:
    put(tmp_path / ".vptct" / "a.nii")
    put(tmp_path / ".b.nii")
    put(tmp_path / "labels" / "final" / "c.nii.gz")
    put(tmp_path / "p1" / "labels" / "d.nii")
    assert StudyFolder(tmp_path).ids() == ["p1--labels--d.nii"]


def test_dicom_files_in_the_root_are_a_study_only_where_there_is_no_other(tmp_path: Path) -> None:
    root = tmp_path / "LIDC-IDRI-0001"
    put(root / "1.dcm", DICOM)
    folder = StudyFolder(root, fresh_seconds=0)
    assert folder.scan() == {"LIDC-IDRI-0001": root}
    put(root / "p1" / "1.dcm", DICOM)
    assert folder.scan() == {"p1": root / "p1"}


def test_a_study_that_is_copied_in_or_removed_later_is_noticed(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, fresh_seconds=0)
    assert folder.ids() == []
    put(tmp_path / "new" / "a.nii")
    assert folder.ids() == ["new--a.nii"]
    (tmp_path / "new" / "a.nii").unlink()
    assert folder.ids() == []


def test_a_file_that_comes_within_the_same_tick_of_the_clock_is_noticed(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, fresh_seconds=0)
    stamp = tmp_path.stat().st_mtime
    assert folder.ids() == []
    put(tmp_path / "a.nii")
    os.utime(tmp_path, (stamp, stamp))
    assert folder.ids() == ["a.nii"]


def test_a_folder_that_did_not_change_is_not_listed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "p1" / "a.nii")
    clock = Clock()
    folder = StudyFolder(tmp_path, fresh_seconds=0, clock=clock)
    assert folder.ids() == ["p1--a.nii"]
    clock.seconds += 4
    assert folder.ids() == ["p1--a.nii"]

    def refuse(path: object) -> None:
        raise AssertionError(f"{path} was listed again")

    monkeypatch.setattr("vpt_plugin.store.folder_scan.os.scandir", refuse)
    assert folder.ids() == ["p1--a.nii"]


def test_dicom_whose_bytes_come_after_their_name_is_noticed(tmp_path: Path) -> None:
    slice_file = put(tmp_path / "p1" / "1.dcm", b"")
    an_hour_ago = time.time() - 3600
    os.utime(tmp_path / "p1", (an_hour_ago, an_hour_ago))
    folder = StudyFolder(tmp_path, fresh_seconds=0)
    assert folder.ids() == []
    slice_file.write_bytes(DICOM)
    os.utime(tmp_path / "p1", (an_hour_ago, an_hour_ago))
    assert folder.ids() == ["p1"]


def test_an_id_leads_to_its_path_even_when_the_last_scan_is_fresh_and_too_old(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, fresh_seconds=3600)
    assert folder.ids() == []
    path = put(tmp_path / "a.nii")
    assert folder.path("a.nii") == path
    path.rename(tmp_path / "b.nii")
    with pytest.raises(StudyNotFoundError, match=r"'a\.nii': there is no study of this id"):
        folder.path("a.nii")


@pytest.mark.parametrize("text", ["../secret", "/etc", "secret.nii", "", ".", "labels", "\0", "x" * 9999])
def test_text_of_a_caller_never_becomes_a_path(tmp_path: Path, text: str) -> None:
    put(tmp_path / "studies" / "a.nii")
    put(tmp_path / "secret" / "1.dcm", DICOM)
    with pytest.raises(StudyNotFoundError) as caught:
        StudyFolder(tmp_path / "studies").path(text)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="links need special rights on Windows")
def test_links_to_folders_are_followed_and_circles_end(tmp_path: Path) -> None:
    put(tmp_path / "archive" / "1.dcm", DICOM)
    root = tmp_path / "studies"
    root.mkdir()
    (root / "p1").symlink_to(tmp_path / "archive")
    (root / "circle").symlink_to(root)
    assert StudyFolder(root).ids() == ["p1"]


@pytest.mark.skipif(os.name == "nt", reason="links and pipes are made otherwise on Windows")
def test_a_link_to_nowhere_and_a_pipe_hide_nothing(tmp_path: Path) -> None:
    put(tmp_path / "a.nii")
    (tmp_path / "latest").symlink_to(tmp_path / "gone")
    (tmp_path / "b.nii").symlink_to(tmp_path / "gone.nii")
    (tmp_path / "c.nii").symlink_to(put(tmp_path / "elsewhere" / "c.nii"))
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for ever
    os.mkfifo(tmp_path / "pipe.nii")
    assert StudyFolder(tmp_path).ids() == ["a.nii", "c.nii", "elsewhere--c.nii"]


def test_a_file_that_cannot_be_read_hides_nothing_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path / "a.nii")
    put(tmp_path / "NOTES")
    put(tmp_path / "p1" / "1", DICOM)
    put(tmp_path / "p1" / "0")
    real = Path.open

    def deny(path: Path, *arguments: str) -> object:
        if path.name in ("NOTES", "0"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments)

    monkeypatch.setattr(Path, "open", deny)
    assert StudyFolder(tmp_path).ids() == ["a.nii", "p1"]
    assert "NOTES is not looked at: " in caplog.text
