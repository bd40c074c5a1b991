"""The studies' index makes a start quick, and is believed in nothing that is not so."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vpt_plugin.ct.dicom_headers import read_uids
from vpt_plugin.durable import write_over
from vpt_plugin.store.grouping import group_studies
from vpt_plugin.store.index import StudiesIndex
from vpt_plugin.store.listings import Listing, SliceFile
from vpt_plugin.store.studies import StudyFolder

DICOM = bytes(128) + b"DICM"
# File meta information and StudyInstanceUID 1.2.34, little endian, explicit VR.
EXAMINATION = DICOM + b"\2\0\x10\0UI\x14\0" + b"1.2.840.10008.1.2.1\0" + b"\x20\0\x0d\0UI\x06\0" + b"1.2.34"


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


def started(root: Path) -> StudyFolder:
    """A server's view of a folder whose index lies where labels do."""
    return StudyFolder(root, fresh_seconds=0, index_folder=root / "labels")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three studies, with the index that a server wrote after two looks."""
    root = tmp_path / "studies"
    put(root / "a.nii")
    put(root / "p1" / "ct1" / "1.dcm", EXAMINATION)
    put(root / "p1" / "ct2" / "1.dcm", EXAMINATION)
    put(root / "p2" / "b.mha")
    for no_study in (".hidden.nii", "notes.txt", "labels/x.nii"):
        put(root / no_study)
    clock = Clock()
    folder = StudyFolder(root, fresh_seconds=0, index_folder=root / "labels", clock=clock)
    assert folder.ids() == IDS
    clock.seconds += 11
    assert folder.ids() == IDS
    return root


IDS = ["a.nii", "p1", "p2--b.mha"]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that are listed and the files whose header is read, from now on."""
    seen: list[str] = []
    scandir, read = os.scandir, read_uids

    def spy(function: Callable[[Path], object]) -> Callable[[Path], object]:
        def call(path: Path) -> object:
            seen.append(Path(path).name)
            return function(path)

        return call

    monkeypatch.setattr("vpt_plugin.store.folder_scan.os.scandir", spy(scandir))
    monkeypatch.setattr("vpt_plugin.store.folder_scan.read_uids", spy(read))
    return seen


def test_a_start_with_the_index_lists_no_folder_and_reads_no_header(root: Path, reads: list[str]) -> None:
    assert started(root).ids() == IDS
    assert reads == []


def test_a_start_after_a_server_that_lived_a_moment_reads_no_header(root: Path, reads: list[str]) -> None:
    (root / "labels" / "studies-index.json").unlink()
    assert started(root).ids() == IDS
    assert {"1.dcm", "p1", "ct1", "ct2"} <= set(reads)
    reads.clear()
    # Whether all folders had settled nobody knows, so they are listed again.
    assert started(root).ids() == IDS
    assert {"p1", "ct1", "ct2"} <= set(reads)
    assert "1.dcm" not in reads


def test_what_came_or_went_while_the_server_was_down_shows(root: Path, reads: list[str]) -> None:
    put(root / "p2" / "c.mha")
    (root / "p1" / "ct1").rename(root.parent / "ct1")
    assert started(root).ids() == ["a.nii", "p1--ct2", "p2--b.mha", "p2--c.mha"]
    assert sorted(reads) == ["p1", "p2"]


@pytest.mark.parametrize("name", ["a.nii", "p1/ct2/1.dcm", "p1/ct2", "p2"])
def test_a_study_that_is_gone_is_not_believed_even_where_the_time_stamp_is_the_old_one(
    root: Path, name: str
) -> None:
    around = (root / name).parent
    stat = around.stat()
    shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()
    os.utime(around, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    left = {
        "a.nii": ["p1", "p2--b.mha"],
        "p1/ct2/1.dcm": ["a.nii", "p1--ct1", "p2--b.mha"],
        "p1/ct2": ["a.nii", "p1--ct1", "p2--b.mha"],
        "p2": ["a.nii", "p1"],
    }
    assert started(root).ids() == left[name]


@pytest.mark.parametrize("kept", [0, 1, 50, -1])
def test_a_truncated_index_is_left_out_and_written_anew(root: Path, kept: int) -> None:
    index = root / "labels" / "studies-index.json"
    whole = index.read_bytes()
    index.write_bytes(whole[:kept])
    clock = Clock()
    folder = StudyFolder(root, fresh_seconds=0, index_folder=root / "labels", clock=clock)
    assert folder.ids() == IDS
    clock.seconds += 11
    assert folder.ids() == IDS
    assert index.read_bytes() == whole


def of_root(change: Callable[[dict[str, list[object]]], object]) -> Callable[[dict[str, object]], None]:
    """An index in which something is changed, with a check sum that fits again."""

    def forge(content: dict[str, object]) -> None:
        folders = content["folders"]
        assert isinstance(folders, dict)
        change(folders)
        content["sha256"] = hashlib.sha256(json.dumps(folders, sort_keys=True).encode()).hexdigest()

    return forge


FORGED = {
    "another version": lambda content: content.update(schema="vptct.index/2"),
    "another folder": lambda content: content.update(root="/elsewhere"),
    "another hand": lambda content: content["folders"].update({"": [True, 0, [], ["z.nii"], []]}),
    "folders of another type": lambda content: content.update(folders=[]),
    "a path upwards": of_root(lambda folders: folders[""][2].append("../secret")),
    "a way upwards": of_root(lambda folders: folders[""][2].append("..")),
    "an absolute path": of_root(lambda folders: folders[""][3].append("/etc/x.nii")),
    "a path of Windows": of_root(lambda folders: folders[""][3].append("..\\x.nii")),
    "the folder of labels": of_root(lambda folders: folders[""][2].append("labels")),
    "a hidden file": of_root(lambda folders: folders[""][3].append(".hidden.nii")),
    "a file of another kind": of_root(lambda folders: folders[""][3].append("notes.txt")),
    "a file that is not there": of_root(lambda folders: folders[""][3].append("z.nii")),
    "a folder that is not there": of_root(lambda folders: folders[""][2].append("z")),
    "a number as a name": of_root(lambda folders: folders[""][3].append(7)),
    "a text as a time stamp": of_root(lambda folders: folders[""].__setitem__(1, "now")),
    "a slice that is not there": of_root(lambda folders: folders["p1/ct1"][4].__setitem__(0, "9.dcm")),
    "a slice elsewhere": of_root(lambda folders: folders["p1/ct1"][4].__setitem__(0, "../ct2/1.dcm")),
    "half an entry": of_root(lambda folders: folders.update({"p2": [1]})),
    "a nested entry": of_root(lambda folders: folders.update({"p2": {"a": [[[]]]}})),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_an_index_that_says_what_is_not_so_changes_nothing(
    root: Path, tmp_path: Path, forge: Callable[[dict[str, object]], None]
) -> None:
    put(tmp_path / "secret" / "1.dcm", DICOM)
    index = root / "labels" / "studies-index.json"
    content = json.loads(index.read_bytes())
    forge(content)
    index.write_bytes(json.dumps(content).encode())
    assert started(root).ids() == IDS


@pytest.mark.parametrize("garbage", [b"\0" * 99, b"[" * 99_999, b'"', b"null", b"{}", b"\xff\xfe"])
def test_garbage_is_left_out(root: Path, garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (root / "labels" / "studies-index.json").write_bytes(garbage)
    assert started(root).ids() == IDS
    assert "the studies' index is left out" in caplog.text


def test_a_deleted_index_costs_nothing_but_time(root: Path) -> None:
    (root / "labels" / "studies-index.json").unlink()
    assert started(root).ids() == IDS


def test_where_it_cannot_be_written_the_studies_are_found_without_it(tmp_path: Path) -> None:
    put(tmp_path / "studies" / "a.nii")
    in_the_way = put(tmp_path / "file") / "labels"
    clock = Clock()
    folder = StudyFolder(tmp_path / "studies", fresh_seconds=0, index_folder=in_the_way, clock=clock)
    assert folder.ids() == ["a.nii"]
    clock.seconds += 4
    assert folder.ids() == ["a.nii"]


def test_an_empty_folder_gets_no_index_lest_one_is_written_where_a_share_is_to_be_mounted(
    tmp_path: Path,
) -> None:
    clock = Clock()
    folder = StudyFolder(tmp_path, fresh_seconds=0, index_folder=tmp_path / "labels", clock=clock)
    for _ in range(2):
        assert folder.ids() == []
        clock.seconds += 4
    assert list(tmp_path.iterdir()) == []


def test_what_is_saved_is_what_is_loaded_whatever_the_names(tmp_path: Path) -> None:
    odd = "Müller \udcff\n.nii"
    listings = {
        "": Listing(7, ("p",), (odd,), None, settled=True),
        "p": Listing(8, (), (), SliceFile("1", 5, 9, "1.2.34", "1.2.34.5"), settled=True),
    }
    index = StudiesIndex(tmp_path / "labels" / "studies-index.json", tmp_path)
    index.save(listings)
    assert index.load() == listings


def test_the_garbage_collector_never_rests_while_a_disk_is_waited_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[tuple[str, bool]] = []

    def noted(function: Callable[..., object], name: str) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            waited.append((name, gc.isenabled()))
            return function(*args, **options)

        return call

    monkeypatch.setattr("vpt_plugin.store.folder_scan.os.scandir", noted(os.scandir, "list"))
    monkeypatch.setattr("vpt_plugin.store.index.write_over", noted(write_over, "write"))
    monkeypatch.setattr(Path, "read_bytes", noted(Path.read_bytes, "read"))
    grouped = noted(group_studies, "group")
    monkeypatch.setattr("vpt_plugin.store.finder.group_studies", grouped)
    put(root / "p3" / "c.mha")
    assert started(root).ids() == [*IDS, "p3--c.mha"]
    assert set(waited) == {("read", True), ("list", True), ("group", False), ("write", True)}
    assert gc.isenabled()
