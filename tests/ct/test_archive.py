"""Archives, .zip and .tar, that may come from anyone."""

from __future__ import annotations

import errno
import gzip
import io
import random
import shutil
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from vpt_plugin.ct.archive import unpack
from vpt_plugin.ct.reader import read_study
from vpt_plugin.errors import StudyTooLargeError, UnreadableStudyError

SUFFIXES = [".zip", ".tar", ".tar.gz", ".tgz"]
NOISE = random.Random(0).randbytes(20_000)  # cannot be packed any smaller
TAR_END = bytes(2 * tarfile.BLOCKSIZE)

every_suffix = pytest.mark.parametrize("suffix", SUFFIXES)


@pytest.fixture
def into(tmp_path):
    """The folder to unpack into, one level below a folder that must stay as it is."""
    folder = tmp_path / "outer" / "into"
    folder.mkdir(parents=True)
    return folder


def pack(file: Path, entries: Iterable[tuple[str, bytes]]) -> Path:
    """An archive of the kind that the file's name says; a name that ends in a slash is a folder."""
    if file.suffix == ".zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile warns of duplicate names.
            for name, content in entries:
                archive.writestr(name, content)
    else:
        with tarfile.open(file, "w" if file.suffix == ".tar" else "w:gz") as archive:
            for name, content in entries:
                member = tarfile.TarInfo(name.rstrip("/"))
                member.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return file


def header(name: str = "1.dcm", size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    """One block of a tar, which may lie."""
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def pax(*records: bytes) -> bytes:
    """What stands before a file's header: records ``key=value``, as POSIX.1-2001 has them."""
    lines = b"".join(b"%d %s\n" % (len(record) + 4, record) for record in records)
    assert all(10 <= len(record) + 4 <= 99 for record in records)
    return header("pax", len(lines), tarfile.XHDTYPE) + lines.ljust(512, b"\0")


def unpacked(folder: Path) -> dict[str, bytes | None]:
    """What came out: the content of files; None for folders."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@every_suffix
def test_files_and_folders_come_out_as_they_went_in(tmp_path, into, suffix):
    unpack(pack(tmp_path / f"a{suffix}", [("x/y/1.dcm", b"one"), ("2.dcm", b"two"), ("empty/", b"")]), into)
    assert unpacked(into) == {"x": None, "x/y": None, "x/y/1.dcm": b"one", "2.dcm": b"two", "empty": None}


@every_suffix
def test_a_packed_dicom_folder_is_a_study(tmp_path, chest_hu, write_series, suffix):
    files = write_series(tmp_path / "series", chest_hu())
    archive = pack(tmp_path / f"study{suffix}", [(f"any/{file.name}", file.read_bytes()) for file in files])
    volume = read_study(archive)
    assert (volume.hu == chest_hu()).all()
    assert volume.study == f"study{suffix}"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_of_every_packer_keeps_long_and_foreign_names(tmp_path, into, form):
    names = ["f" * 90 + "/" + "n" * 90 + ".dcm", "Thor\u00e4x/1.dcm"]
    names += [] if form == tarfile.USTAR_FORMAT else ["f" * 130 + "/" + "n" * 130 + ".dcm"]
    with tarfile.open(tmp_path / "a.tar", "w", format=form, pax_headers={"comment": "for all"}) as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size, member.mtime = 3, 1.5
            archive.addfile(member, io.BytesIO(b"one"))
    unpack(tmp_path / "a.tar", into)
    assert {name: content for name, content in unpacked(into).items() if content} == dict.fromkeys(
        names, b"one"
    )


@pytest.mark.parametrize("name", ["inflated-on-the-way.tar.gz", "packed.tar"])
def test_a_tar_is_known_by_what_it_is_not_by_its_name(tmp_path, into, name):
    other = pack(tmp_path / ("other.tar" if name.endswith("gz") else "other.tgz"), [("1.dcm", NOISE)])
    other.rename(tmp_path / name)
    unpack(tmp_path / name, into)
    assert unpacked(into) == {"1.dcm": NOISE}


@every_suffix
def test_no_file_takes_the_place_of_another(tmp_path, into, suffix):
    names = ["a.dcm", "a.dcm", "A.DCM", "f", "f/g.dcm", "d/e.dcm", "d", "d/", "f/"]
    files = [(name, str(number).encode()) for number, name in enumerate(names)]
    unpack(pack(tmp_path / f"a{suffix}", [(n, b"" if n.endswith("/") else c) for n, c in files]), into)
    contents = sorted(content for content in unpacked(into).values() if content is not None)
    assert contents == [b"0", b"1", b"2", b"3", b"4", b"5", b"6"]
    assert unpacked(into)["a.dcm"] == b"0"
    assert unpacked(into)["00001/a.dcm"] == b"1"


def test_names_that_only_windows_cannot_hold_are_made_plain(tmp_path, into):
    names = ["con.dcm", "ab:c?.dcm", "dots. .", "x\\y.dcm", "tab\there", "nul/1"]
    unpack(pack(tmp_path / "a.tar", [(name, b"x") for name in names]), into)
    found = sorted(name for name, content in unpacked(into).items() if content)
    assert found == ["_con.dcm", "_nul/1", "ab_c_.dcm", "dots_", "tab_here", "x/y.dcm"]


OUTSIDE = [
    "../out.dcm", "a/../../out.dcm", "/out.dcm", "//host/out.dcm", "C:\\out.dcm", "C:out.dcm", "..\\out.dcm",
    "\\\\host\\share\\out.dcm",
]  # fmt: skip


@every_suffix
@pytest.mark.parametrize("name", OUTSIDE)
def test_entries_that_lead_outside_are_refused_and_nothing_is_left(tmp_path, into, suffix, name):
    archive = pack(tmp_path / f"a{suffix}", [("x/good.dcm", b"good"), (name, b"bad")])
    with pytest.raises(UnreadableStudyError, match=rf"a\{suffix}: .*leads outside of it"):
        unpack(archive, into)
    assert list(into.parent.rglob("*")) == [into]


@pytest.mark.parametrize("name", ["d/" * 3000 + "1.dcm", "d/" * 65 + "1.dcm", "n" * 5000])
@every_suffix
def test_names_without_measure_are_refused(tmp_path, into, suffix, name):
    archive = pack(tmp_path / f"a{suffix}", [("good.dcm", b"good"), (name, b"bad")])
    with pytest.raises(UnreadableStudyError, match=r"in more than 64 folders|cannot be unpacked") as error:
        unpack(archive, into)
    assert str(tmp_path) not in str(error.value)
    assert list(into.iterdir()) == []


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, into, mode):
    link = zipfile.ZipInfo("link")
    link.external_attr = (mode | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/hostname")
    with pytest.raises(UnreadableStudyError, match="holds a link or a device"):
        unpack(tmp_path / "a.zip", into)
    assert list(into.iterdir()) == []


SPARSE = [pax(b"GNU.sparse.size=9", b"GNU.sparse.map=0,1") + header(size=1), header(kind=b"S")]
SPECIAL = {
    "symbolic link": header(kind=tarfile.SYMTYPE), "hard link": header(kind=tarfile.LNKTYPE),
    "long link": header(kind=tarfile.GNUTYPE_LONGLINK), "device": header(kind=tarfile.CHRTYPE),
    "disk": header(kind=tarfile.BLKTYPE), "pipe": header(kind=tarfile.FIFOTYPE),
    "sparse": SPARSE[0], "old sparse": SPARSE[1], "of another volume": header(kind=b"M"),
}  # fmt: skip


@pytest.mark.parametrize("entry", SPECIAL.values(), ids=SPECIAL.keys())
def test_what_is_no_plain_file_in_a_tar_is_refused(tmp_path, into, entry):
    (tmp_path / "a.tar").write_bytes(header("good.dcm") + entry + TAR_END)
    with pytest.raises(UnreadableStudyError, match="holds a link or a device"):
        unpack(tmp_path / "a.tar", into)
    assert list(into.iterdir()) == []


@every_suffix
def test_too_many_files_and_too_many_bytes_are_refused(tmp_path, into, suffix):
    archive = pack(tmp_path / f"a{suffix}", [(f"{number}.dcm", b"0" * 1000) for number in range(11)])
    with pytest.raises(StudyTooLargeError, match="holds more than 10 files and folders"):
        unpack(archive, into, max_files=10)
    with pytest.raises(StudyTooLargeError, match=r"unpacks to more than 0\.0104\d* MiB"):
        unpack(archive, into, max_bytes=10_999)
    assert list(into.iterdir()) == []
    # A tar's own headers count, too: it is filled up to 20 * 512 bytes.
    unpack(archive, into, max_files=11, max_bytes=11_000 if suffix == ".zip" else 20_480)
    assert len(list(into.iterdir())) == 11


@every_suffix
def test_folders_count_also_where_only_names_speak_of_them(tmp_path, into, suffix):
    archive = pack(tmp_path / f"a{suffix}", [("a/b/c/1.dcm", b"one"), ("a/b/d/2.dcm", b"two")])
    with pytest.raises(StudyTooLargeError, match="holds more than 5 files and folders"):
        unpack(archive, into, max_files=5)
    unpack(archive, into, max_files=6)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tgz"])
def test_a_bomb_is_refused_by_its_ratio(tmp_path, into, suffix):
    archive = pack(tmp_path / f"a{suffix}", [("zeros.dcm", bytes(65 << 20))])
    with pytest.raises(StudyTooLargeError, match="unpacks to more than 200 times its size"):
        unpack(archive, into)
    assert list(into.iterdir()) == []


def test_a_gzip_bomb_is_stopped_while_it_unpacks(tmp_path, into, monkeypatch):
    """Of 300 MiB so much is read as shows the ratio: 64 MiB, and what gzip reads ahead."""
    read = []
    plain = gzip.GzipFile.read
    monkeypatch.setattr(
        gzip.GzipFile, "read", lambda file, size=-1: (read.append(size), plain(file, size))[1]
    )
    archive = tmp_path / "a.tgz"
    archive.write_bytes(gzip.compress(header(size=300 << 20) + bytes(300 << 20), 6))
    with pytest.raises(StudyTooLargeError):
        unpack(archive, into)
    assert 64 << 20 < sum(read) <= 66 << 20


@pytest.mark.parametrize("where", ["after the end", "in a folder's entry"])
def test_a_bomb_is_stopped_where_no_file_is(tmp_path, into, where):
    start = TAR_END if where == "after the end" else header("d", 1 << 30, tarfile.DIRTYPE)
    (tmp_path / "a.tgz").write_bytes(gzip.compress(start + bytes(70 << 20), 1))
    with pytest.raises(StudyTooLargeError, match="200 times"):
        unpack(tmp_path / "a.tgz", into)


def test_a_million_entries_are_stopped_early(tmp_path, into):
    (tmp_path / "a.tgz").write_bytes(gzip.compress(header("d", kind=tarfile.DIRTYPE) * 100_000, 1))
    with pytest.raises(StudyTooLargeError, match="more than 20000 files"):
        unpack(tmp_path / "a.tgz", into)
    entry = b"PK\x01\x02" + bytes(42) + b"x"
    entry = entry[:28] + struct.pack("<H", 1) + entry[30:]
    table = entry * 1_000_000
    end = b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, 0xFFFE, 0xFFFE, len(table), 0, 0)
    (tmp_path / "a.zip").write_bytes(table + end)
    with pytest.raises(StudyTooLargeError, match="too large a table of contents"):
        unpack(tmp_path / "a.zip", into)


LIES = {
    "a name of a gigabyte": header("././@LongLink", 1 << 30, tarfile.GNUTYPE_LONGNAME) + bytes(1 << 20),
    "remarks of a gigabyte": header("pax", 1 << 30, tarfile.XHDTYPE) + bytes(1 << 20),
    "remarks without end": (header("pax", 1 << 20, tarfile.XGLTYPE) + (b"9 a=bcde\n" * 117_000)[: 1 << 20])
    * 65,
    "a size below zero": header(size=-5),
    "a remark of a size below zero": pax(b"size=-1000") + header(),
    "a size that is no number": pax(b"size=manyyy") + header(),
    "a record that is longer than all": header("pax", 9, tarfile.XHDTYPE) + b"99 a=bcd\n".ljust(512, b"\0"),
    "a record that leads back": header("pax", 9, tarfile.XHDTYPE) + b"-9 a=bcd\n".ljust(512, b"\0"),
    "a record without a length": header("pax", 9, tarfile.XHDTYPE) + b"path=bcd\n".ljust(512, b"\0"),
    "a file that is longer than the archive": header(size=1 << 20) + bytes(1024),
}


@pytest.mark.parametrize("data", LIES.values(), ids=LIES.keys())
def test_a_tar_that_lies_is_damaged(tmp_path, into, data):
    (tmp_path / "a.tar").write_bytes(header("good.dcm", 1) + b"x".ljust(512) + data + TAR_END)
    with pytest.raises(UnreadableStudyError, match="cut short or damaged"):
        unpack(tmp_path / "a.tar", into)
    assert list(into.iterdir()) == []


@pytest.mark.parametrize("size", [pax(b"size=1000000000000") + header(), header(size=1 << 40)])
def test_a_tar_whose_header_says_too_much_is_refused_before_it_is_unpacked(tmp_path, into, size):
    (tmp_path / "a.tar").write_bytes(size + bytes(1024))
    with pytest.raises(StudyTooLargeError, match="unpacks to more than 8192 MiB"):
        unpack(tmp_path / "a.tar", into)


@pytest.mark.parametrize("says", [10, 60_000])
def test_a_zip_that_lies_about_a_size_does_no_harm(tmp_path, into, says):
    """What is cut off at the size is refused; data that ends before it is all there was."""
    archive = pack(tmp_path / "a.zip", [("1.dcm", NOISE)])
    data = bytearray(archive.read_bytes())
    struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + 24, says)
    archive.write_bytes(data)
    if says < len(NOISE):
        with pytest.raises(UnreadableStudyError, match="cut short or damaged"):
            unpack(archive, into)
    else:
        unpack(archive, into)
    assert unpacked(into) == ({} if says < len(NOISE) else {"1.dcm": NOISE})


@every_suffix
@pytest.mark.parametrize("keep", [0.9, 0.5, 0.0])
def test_an_archive_that_is_cut_short_is_refused_under_the_given_name(tmp_path, into, suffix, keep):
    archive = pack(tmp_path / f"a{suffix}", [("1.dcm", NOISE), ("2.dcm", NOISE[::-1])])
    # More than 40,000 bytes are the files; a tar is filled up with zeros, which nobody would miss.
    archive.write_bytes(archive.read_bytes()[: int(40_000 * keep)])
    with pytest.raises(UnreadableStudyError, match=r"Upload 3: the archive is cut short or damaged"):
        unpack(archive, into, study="Upload 3")
    assert list(into.iterdir()) == []


def test_a_tar_that_is_cut_off_between_two_files_is_refused(tmp_path, into):
    archive = pack(tmp_path / "a.tar", [("1.dcm", bytes(512)), ("2.dcm", bytes(512))])
    archive.write_bytes(archive.read_bytes()[:1024])
    with pytest.raises(UnreadableStudyError, match="cut short or damaged"):
        unpack(archive, into)


@every_suffix
def test_a_damaged_entry_is_refused(tmp_path, into, suffix):
    archive = pack(tmp_path / f"a{suffix}", [("1.dcm", NOISE)])
    data = bytearray(archive.read_bytes())
    # Of a plain tar only headers have a checksum.
    data[60 if suffix == ".tar" else 5000] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(UnreadableStudyError, match="cut short or damaged"):
        unpack(archive, into)
    assert list(into.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_damage_of_any_kind_is_another_error(tmp_path, into, suffix):
    """Each damaged archive gives either its files or the one error of unreadable studies."""
    archive = pack(tmp_path / f"a{suffix}", [("x/1.dcm", NOISE[:700]), ("n" * 120, bytes(300)), ("e/", b"")])
    whole, dice = archive.read_bytes(), random.Random(1)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(dice.choice([1, 2, 8])):
            data[dice.randrange(len(data))] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)])
        archive.write_bytes(data)
        try:
            unpack(archive, into)
        except (UnreadableStudyError, StudyTooLargeError):
            refused += 1
            assert list(into.iterdir()) == []
        else:
            shutil.rmtree(into)
            into.mkdir()
    assert refused > 50


def test_a_damaged_name_in_a_zip_is_refused(tmp_path, into):
    archive = pack(tmp_path / "a.zip", [("\u00e4.dcm", b"one")])
    archive.write_bytes(archive.read_bytes().replace("\u00e4".encode(), b"\xff\xfe"))
    with pytest.raises(UnreadableStudyError, match="cut short or damaged"):
        unpack(archive, into)


def test_an_encrypted_archive_is_refused(tmp_path, into):
    archive = pack(tmp_path / "a.zip", [("1.dcm", b"one")])
    data = bytearray(archive.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # the entry's flag in the directory at the end
    archive.write_bytes(data)
    with pytest.raises(UnreadableStudyError, match="the archive is encrypted") as error:
        unpack(archive, into)
    assert error.value.hint.endswith("without a password.")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_is_packed_in_a_rare_way_is_refused_before_it_fills_the_memory(tmp_path, into, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("1.dcm", NOISE)
    with pytest.raises(UnreadableStudyError, match=rf"rare way \(method {method} of \.zip\)"):
        unpack(tmp_path / "a.zip", into)


@every_suffix
def test_nothing_of_a_packed_study_stays_in_the_temporary_folder(
    tmp_path, monkeypatch, chest_hu, write_series, suffix
):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    files = write_series(tmp_path / "series", chest_hu((2, 8, 10)))
    archive = pack(tmp_path / f"study{suffix}", [(file.name, file.read_bytes()) for file in files])
    with pytest.raises(UnreadableStudyError):
        read_study(pack(tmp_path / f"bad{suffix}", [("1.dcm", b"x"), ("../x", b"")]))
    with pytest.raises(Exception, match="only 2"):
        read_study(archive)
    assert list((tmp_path / "tmp").iterdir()) == []


@every_suffix
def test_a_full_disk_is_no_fault_of_the_archive(tmp_path, into, monkeypatch, suffix):
    archive = pack(tmp_path / f"study{suffix}", [("a.dcm", NOISE)])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vpt_plugin.ct.archive._Target.file", full)
    with pytest.raises(OSError, match="No space left") as told:
        unpack(archive, into)
    assert told.value.errno == errno.ENOSPC
    assert list(into.iterdir()) == []
