"""Zip archives that may come from anyone."""

from __future__ import annotations

import random
import stat
import zipfile

import pytest

from vpt_plugin.ct.archive import unpack
from vpt_plugin.ct.reader import read_study
from vpt_plugin.errors import StudyTooLargeError, UnreadableStudyError


@pytest.fixture
def into(tmp_path):
    """The folder to unpack into, one level below a folder that must stay as it is."""
    folder = tmp_path / "outer" / "into"
    folder.mkdir(parents=True)
    return folder


def pack(file, entries):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file


def test_files_and_folders_come_out_as_they_went_in(tmp_path, into):
    unpack(pack(tmp_path / "a.zip", {"x/y/1.dcm": b"one", "2.dcm": b"two", "empty/": b""}), into)
    found = sorted(path.relative_to(into).as_posix() for path in into.rglob("*"))
    assert found == ["2.dcm", "empty", "x", "x/y", "x/y/1.dcm"]
    assert (into / "x" / "y" / "1.dcm").read_bytes() == b"one"


def test_a_zipped_dicom_folder_is_a_study(tmp_path, chest_hu, write_series):
    files = write_series(tmp_path / "series", chest_hu())
    archive = pack(tmp_path / "study.zip", {f"any/{file.name}": file.read_bytes() for file in files})
    volume = read_study(archive)
    assert (volume.hu == chest_hu()).all()
    assert volume.study == "study.zip"


@pytest.mark.parametrize("name", ["../out.dcm", "a/../../out.dcm", "/out.dcm", "C:\\out.dcm", "..\\out.dcm"])
def test_entries_that_lead_outside_are_refused_and_nothing_is_written(tmp_path, into, name):
    archive = pack(tmp_path / "a.zip", {"good.dcm": b"good", name: b"bad"})
    with pytest.raises(UnreadableStudyError, match=r"a\.zip: .*leads outside of it"):
        unpack(archive, into)
    assert list(into.parent.rglob("*")) == [into]


def test_links_are_refused(tmp_path, into):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/hostname")
    with pytest.raises(UnreadableStudyError, match="holds a link or a device"):
        unpack(tmp_path / "a.zip", into)


def test_too_many_files_and_too_many_bytes_are_refused(tmp_path, into):
    archive = pack(tmp_path / "a.zip", {f"{number}.dcm": b"0" * 1000 for number in range(11)})
    with pytest.raises(StudyTooLargeError, match="holds 11 files; 10 are allowed"):
        unpack(archive, into, max_files=10)
    with pytest.raises(StudyTooLargeError, match="unpacks to 0 MiB; 0 MiB are allowed"):
        unpack(archive, into, max_bytes=10_999)
    unpack(archive, into, max_files=11, max_bytes=11_000)


def test_a_bomb_is_refused_by_its_ratio(tmp_path, into):
    archive = pack(tmp_path / "a.zip", {"zeros.dcm": bytes(65 << 20)})
    with pytest.raises(StudyTooLargeError, match="65 MiB, more than 200 times its size"):
        unpack(archive, into)
    assert list(into.iterdir()) == []


@pytest.mark.parametrize("keep", [0.5, 0.0])
def test_an_archive_that_is_cut_short_is_refused_under_the_given_name(tmp_path, into, keep):
    archive = pack(tmp_path / "a.zip", {"1.dcm": bytes(range(256)) * 50})
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * keep)])
    with pytest.raises(UnreadableStudyError, match=r"Upload 3: the archive is cut short or damaged"):
        unpack(archive, into, study="Upload 3")


def test_a_damaged_entry_is_refused(tmp_path, into):
    archive = pack(tmp_path / "a.zip", {"1.dcm": bytes(range(256)) * 50})
    data = bytearray(archive.read_bytes())
    data[60] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(UnreadableStudyError, match="cut short or damaged"):
        unpack(archive, into)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_is_refused_however_the_archive_is_packed(tmp_path, into, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("1.dcm", random.Random(0).randbytes(2000) + bytes(5000))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[60:400] = bytes(byte ^ 0x5A for byte in data[60:400])
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(UnreadableStudyError, match=r"cut short or damaged|cannot be unpacked"):
        unpack(tmp_path / "a.zip", into)


def test_a_damaged_name_in_an_archive_is_refused(tmp_path, into):
    archive = pack(tmp_path / "a.zip", {"\u00e4.dcm": b"one"})
    archive.write_bytes(archive.read_bytes().replace("\u00e4".encode(), b"\xff\xfe"))
    with pytest.raises(UnreadableStudyError, match="cut short or damaged"):
        unpack(archive, into)


def test_an_encrypted_archive_is_refused(tmp_path, into):
    archive = pack(tmp_path / "a.zip", {"1.dcm": b"one"})
    data = bytearray(archive.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # the entry's flag in the directory at the end
    archive.write_bytes(data)
    with pytest.raises(UnreadableStudyError, match="the archive is encrypted"):
        unpack(archive, into)


def test_nothing_of_a_zipped_study_stays_in_the_temporary_folder(
    tmp_path, monkeypatch, chest_hu, write_series
):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    files = write_series(tmp_path / "series", chest_hu((2, 8, 10)))
    archive = pack(tmp_path / "study.zip", {file.name: file.read_bytes() for file in files})
    with pytest.raises(UnreadableStudyError):
        read_study(pack(tmp_path / "bad.zip", {"../x": b""}))
    with pytest.raises(Exception, match="only 2"):
        read_study(archive)
    assert list((tmp_path / "tmp").iterdir()) == []
