"""A study that is added is there whole, once, and only if it is a chest CT."""

from __future__ import annotations

import hashlib
import io
import os
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import write_mha, write_nifti, write_nrrd
from vpt_plugin.errors import NotHounsfieldError, UnreadableStudyError
from vpt_plugin.store.adding import PatientInHeaderError, add_study, sweep_unfinished
from vpt_plugin.store.studies import StudyFolder

DAY, NEXT_DAY = date(2026, 11, 21), date(2026, 11, 22)


@pytest.fixture(scope="module", params=[".nii", ".nii.gz", ".nrrd", ".mha"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str]:
    """A small CT, half air and half tissue, in each of the formats."""
    hu = np.full((4, 8, 8), 40, dtype=np.int16)
    hu[:, :4] = -900
    volume = Volume(hu, (2.5, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "p")
    path = tmp_path_factory.mktemp("file") / f"Müller^Anna{request.param}"
    write = {".nrrd": write_nrrd, ".mha": write_mha}.get(request.param, write_nifti)
    write(volume, path)
    return path.read_bytes(), request.param


def left(root: Path) -> list[str]:
    return [path.name for path in root.iterdir() if not path.name.startswith("upload-")]


def test_what_is_added_is_a_study_under_a_name_that_tells_nothing(
    tmp_path: Path, file: tuple[bytes, str]
) -> None:
    content, suffix = file
    added = add_study(tmp_path, io.BytesIO(content), suffix, day=DAY)
    digest = hashlib.sha256(content).hexdigest()
    assert (added.path.name, added.sha256, added.new) == (
        f"upload-20261121-{digest[:12]}{suffix}",
        digest,
        True,
    )
    assert added.path.read_bytes() == content
    assert StudyFolder(tmp_path).ids() == [added.path.name]
    assert left(tmp_path) == []


def test_the_same_bytes_are_the_same_study_on_another_day_too(
    tmp_path: Path, file: tuple[bytes, str]
) -> None:
    content, suffix = file
    first = add_study(tmp_path, io.BytesIO(content), suffix, day=DAY)
    again = add_study(tmp_path, io.BytesIO(content), suffix, day=NEXT_DAY)
    assert (again.path, again.new) == (first.path, False)
    # A name alone proves nothing: another file may have taken it.
    first.path.write_bytes(b"other")
    another = add_study(tmp_path, io.BytesIO(content), suffix, day=DAY)
    assert (another.new, another.path.name) == (True, f"upload-20261121-{first.sha256}{suffix}")
    assert first.path.read_bytes() == b"other"


@pytest.mark.parametrize("content", [b"", b"x" * 1000, bytes(100_000)])
def test_what_cannot_be_read_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    for suffix in (".nii", ".nii.gz", ".nrrd", ".mha"):
        with pytest.raises(UnreadableStudyError):
            add_study(tmp_path, io.BytesIO(content), suffix, day=DAY)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_ct_leaves_nothing(tmp_path: Path) -> None:
    hu = np.full((4, 8, 8), 40, dtype=np.int16)
    volume = Volume(hu, (2.5, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "p")
    write_nrrd(volume, tmp_path / "soft.nrrd")
    root = tmp_path / "studies"
    root.mkdir()
    with (tmp_path / "soft.nrrd").open("rb") as content, pytest.raises(NotHounsfieldError):
        add_study(root, content, ".nrrd", day=DAY)
    assert StudyFolder(root).ids() == left(root) == []


def test_a_pointer_to_another_file_is_not_followed(tmp_path: Path) -> None:
    for suffix in (".mhd", ".dcm", ".zip", ""):
        with pytest.raises(ValueError, match=r"choose from \.nii"):
            add_study(tmp_path, io.BytesIO(b"x"), suffix, day=DAY)
    header = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nencoding: raw\ndata file: /etc/passwd\n\n"
    with pytest.raises(UnreadableStudyError):
        add_study(tmp_path, io.BytesIO(header), ".nrrd", day=DAY)


class Broken(io.BytesIO):
    """A disk, or a connection, that fails after the first piece."""

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(10)
        if not piece:
            raise OSError(28, "No space left on device")
        return piece


def test_a_full_disk_leaves_nothing_and_what_a_killed_server_leaves_is_swept(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        add_study(tmp_path, Broken(b"x" * 100), ".nrrd", day=DAY)
    assert left(tmp_path) == []
    killed, new = tmp_path / ".vptct-upload-01.tmp", tmp_path / ".vptct-upload-02.tmp"
    new.mkdir()
    killed.mkdir()
    (killed / "study.nrrd").write_bytes(b"half")
    os.utime(killed, (0, 0))
    assert StudyFolder(tmp_path).ids() == []
    assert sweep_unfinished(tmp_path) == [killed]
    assert left(tmp_path) == [new.name]
    assert sweep_unfinished(tmp_path / "away") == []


def test_a_folder_that_is_away_is_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        add_study(tmp_path / "share", io.BytesIO(b"x"), ".nrrd", day=DAY)
    assert list(tmp_path.iterdir()) == []


def with_key(path: Path, key: str) -> bytes:
    """A whole CT whose header has this key, too."""
    hu = np.full((4, 8, 8), 40, dtype=np.int16)
    hu[:, :4] = -900
    volume = Volume(hu, (2.5, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "p")
    if path.suffix == ".nrrd":
        write_nrrd(volume, path)
        return path.read_bytes().replace(b"\n", f"\n{key}:=Doe^Jane\n".encode(), 1)
    write_mha(volume, path)
    return f"{key} = Doe^Jane\n".encode() + path.read_bytes()


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize(
    "key",
    [
        "0010|0010", "0010_0030", "DICOM_0010_0020", "dicom_0010_0010", "PatientName", "PATIENTID",
        "patientbirthdate", "DICOM.PatientName", "Patient's Birth Date",
    ],
)  # fmt: skip
def test_a_header_that_tells_who_the_patient_is_is_refused_and_leaves_nothing(
    tmp_path: Path, key: str, suffix: str
) -> None:
    root = tmp_path / "studies"
    root.mkdir()
    with pytest.raises(PatientInHeaderError) as refused:
        add_study(root, io.BytesIO(with_key(tmp_path / f"x{suffix}", key)), suffix, day=DAY)
    assert key in str(refused.value)
    assert "Doe" not in str(refused.value)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("key", ["VPTCT_pixels_mm", "DICOM_0008_0060", "PatientIdentityRemoved", "A00100020"])
def test_other_keys_of_a_header_are_kept(tmp_path: Path, key: str, suffix: str) -> None:
    root = tmp_path / "studies"
    root.mkdir()
    content = with_key(tmp_path / f"x{suffix}", key)
    assert add_study(root, io.BytesIO(content), suffix, day=DAY).path.read_bytes() == content
