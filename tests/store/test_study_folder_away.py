"""A folder that cannot be read is not an empty one; and no clock but our own, running, is believed."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from vpt_plugin.errors import ArchiveUnreachableError, StudyNotFoundError
from vpt_plugin.store.folder_scan import FolderScan
from vpt_plugin.store.source import SourceState
from vpt_plugin.store.studies import StudyFolder


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.nii", "p1/b.nii", "p1/deep/c.nii"):
        put(tmp_path / "studies" / name)
    return tmp_path / "studies"


IDS = ["a.nii", "p1--b.nii", "p1--deep--c.nii"]


def test_a_folder_that_is_away_keeps_its_studies_and_says_so_and_comes_back_by_itself(root: Path) -> None:
    folder = StudyFolder(root, fresh_seconds=0)
    assert folder.ids() == IDS
    assert folder.state() == SourceState("folder")
    root.rename(root.with_name("away"))
    assert folder.ids() == IDS
    state = SourceState(
        "folder", reachable=False, problem="the studies folder cannot be read: No such file or directory"
    )
    assert folder.state() == state
    for ask in (folder.require, folder.facts, folder.path, lambda study: folder.opened(study).__enter__()):
        with pytest.raises(
            ArchiveUnreachableError, match="cannot be read: No such file or directory"
        ) as caught:
            ask("a.nii")
        assert str(root) not in str(caught.value)
    with pytest.raises(ArchiveUnreachableError):
        folder.require("new.nii")
    root.with_name("away").rename(root)
    folder.require("a.nii")
    assert folder.state() == SourceState("folder")


def test_a_folder_that_was_never_there_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "away", fresh_seconds=0)
    for ask in (folder.ids, folder.scan, lambda: folder.require("a.nii")):
        with pytest.raises(ArchiveUnreachableError, match="the studies folder cannot be read"):
            ask()
    folder.refresh()
    assert not folder.state().reachable
    assert folder.name == "away"
    put(tmp_path / "away" / "a.nii")
    assert folder.ids() == ["a.nii"]


def test_the_empty_place_of_a_share_that_is_not_mounted_is_no_empty_folder(root: Path) -> None:
    folder = StudyFolder(root, fresh_seconds=0)
    assert folder.ids() == IDS
    root.rename(root.with_name("share"))
    root.mkdir()
    assert folder.ids() == IDS
    assert "its share may not be mounted" in folder.state().problem
    with pytest.raises(ArchiveUnreachableError, match="mount it again"):
        folder.require("a.nii")
    root.rmdir()
    root.with_name("share").rename(root)
    folder.require("a.nii")


def test_a_folder_that_was_emptied_is_an_empty_one(root: Path) -> None:
    folder = StudyFolder(root, fresh_seconds=0)
    assert folder.ids() == IDS
    shutil.rmtree(root / "p1")
    (root / "a.nii").unlink()
    assert folder.ids() == []
    assert folder.state().reachable
    with pytest.raises(StudyNotFoundError):
        folder.require("a.nii")


def test_a_part_that_cannot_be_read_keeps_its_studies_and_hides_no_others(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = StudyFolder(root, fresh_seconds=0)
    assert folder.ids() == IDS
    real = Path.stat

    def stale(path: Path, **options: bool) -> os.stat_result:
        if "p1" in path.parts:
            raise OSError(116, "Stale file handle", str(path))
        return real(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", stale)
        for _ in range(3):
            assert folder.ids() == IDS
        assert folder.state() == SourceState("folder", problem="1 folder cannot be read: p1")
        put(root / "new.nii")
        assert folder.ids() == ["a.nii", "new.nii", *IDS[1:]]
    assert caplog.text.count("p1 is not looked at: ") == 1
    shutil.rmtree(root / "p1")
    assert folder.ids() == ["a.nii", "new.nii"]
    assert folder.state() == SourceState("folder")


def test_a_study_that_cannot_be_read_at_the_moment_is_not_called_unknown(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StudyFolder(root, fresh_seconds=0)
    assert folder.ids() == IDS
    real = Path.stat

    def refused(path: Path, **options: bool) -> os.stat_result:
        if "p1" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", refused)
    monkeypatch.setattr(Path, "exists", lambda path: "p1" not in path.parts)
    with pytest.raises(ArchiveUnreachableError, match=r"p1--b\.nii: it was there, but cannot be read"):
        folder.require("p1--b.nii")
    folder.require("a.nii")


def test_a_folder_of_labels_that_cannot_be_read_stops_no_look(root: Path) -> None:
    def labelled() -> set[str]:
        raise PermissionError(13, "Permission denied")

    assert StudyFolder(root, fresh_seconds=0, labelled=labelled).ids() == IDS


@pytest.mark.parametrize("skew_seconds", [-3600 * 24 * 365 * 20, -3600, -2, 0, 3600, 3600 * 24 * 365])
def test_however_wrong_the_file_servers_clock_is_no_file_stays_hidden(
    tmp_path: Path, skew_seconds: int
) -> None:
    # Both files come within one tick of a coarse clock: the folder has the same stamp after each of them.
    stamp = time.time() + skew_seconds
    put(tmp_path / "p1" / "a.nii")
    os.utime(tmp_path / "p1", (stamp, stamp))
    clock = Clock()
    folder = StudyFolder(tmp_path, fresh_seconds=0, clock=clock)
    assert folder.ids() == ["p1--a.nii"]
    clock.seconds += 1
    put(tmp_path / "p1" / "b.nii")
    os.utime(tmp_path / "p1", (stamp, stamp))
    assert folder.ids() == ["p1--a.nii", "p1--b.nii"]


@pytest.mark.parametrize("skew_seconds", [-3600, 3600])
def test_however_wrong_the_file_servers_clock_is_a_folder_settles(
    tmp_path: Path, skew_seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a.nii")
    stamp = time.time() + skew_seconds
    os.utime(tmp_path, (stamp, stamp))
    clock = Clock()
    folder = StudyFolder(tmp_path, fresh_seconds=0, clock=clock)
    for _ in range(2):
        assert folder.ids() == ["a.nii"]
        clock.seconds += 4
    monkeypatch.setattr("vpt_plugin.store.folder_scan.os.scandir", None)
    assert folder.ids() == ["a.nii"]


@pytest.mark.parametrize("wait_seconds", [0.0, 0.001])
def test_of_many_folders_none_is_left_out_and_where_looking_is_waiting_many_wait_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_seconds: float
) -> None:
    for number in range(450):
        put(tmp_path / f"p{number:03d}" / "ct.nii")
    real, threads = Path.stat, set()

    def slow(path: Path, **options: bool) -> os.stat_result:
        threads.add(threading.get_ident())
        time.sleep(wait_seconds)
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", slow)
    assert StudyFolder(tmp_path).ids() == [f"p{number:03d}--ct.nii" for number in range(450)]
    if wait_seconds:
        assert len(threads) > 4


def test_while_one_thread_looks_the_others_go_on_with_what_was_found_before(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StudyFolder(root, fresh_seconds=0)
    assert folder.ids() == IDS
    put(root / "new.nii")
    real, looking, go_on = FolderScan.look, threading.Event(), threading.Event()

    def slow(scan: FolderScan, *arguments: object) -> object:
        looking.set()
        assert go_on.wait(10)
        return real(scan, *arguments)

    monkeypatch.setattr(FolderScan, "look", slow)
    found: list[list[str]] = []
    thread = threading.Thread(target=lambda: found.append(folder.ids()))
    thread.start()
    assert looking.wait(10)
    assert folder.ids() == IDS
    go_on.set()
    thread.join(10)
    assert found == [["a.nii", "new.nii", *IDS[1:]]]


def test_a_look_that_takes_long_is_believed_for_longer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, looks = Clock(), []
    real = FolderScan.look

    def slow(scan: FolderScan, *arguments: object) -> object:
        looks.append(clock.seconds)
        clock.seconds += 10
        return real(scan, *arguments)

    monkeypatch.setattr(FolderScan, "look", slow)
    folder = StudyFolder(root, fresh_seconds=2.0, clock=clock)
    folder.ids()
    clock.seconds += 49
    folder.ids()
    clock.seconds += 2
    folder.ids()
    # What took ten seconds to see is believed for fifty from the end of the look on.
    assert looks == [1000.0, 1061.0]
