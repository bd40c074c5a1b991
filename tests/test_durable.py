"""What is written is there whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vpt_plugin.durable import (
    append,
    find_leftovers,
    make_folder,
    publish_file,
    publish_folder,
    sweep_leftovers,
    write_new,
    write_over,
)

HOUR = 3600.0


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def made_hours_ago(path: Path, hours: float) -> Path:
    os.utime(path, (time.time() - hours * HOUR,) * 2)
    return path


def test_a_new_file_never_replaces_one(tmp_path: Path) -> None:
    write_new(tmp_path / "a", b"first")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert names(tmp_path) == ["a"]


def test_a_file_that_may_be_replaced_is_replaced(tmp_path: Path) -> None:
    for durable, data in ((True, b"first"), (False, b"second")):
        write_over(tmp_path / "a", data, durable=durable)
        assert (tmp_path / "a").read_bytes() == data
    assert names(tmp_path) == ["a"]


def test_on_windows_whoever_reads_a_file_is_waited_for_before_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leases.json").write_bytes(b"old")
    refusals, replace = [5, 32, 5], Path.replace

    def read_by_another(self: Path, target: Path) -> Path:
        if not refusals:
            return replace(self, target)
        error = PermissionError(errno.EACCES, "Access is denied")
        error.winerror = refusals.pop()  # type: ignore[attr-defined,unused-ignore]
        raise error

    monkeypatch.setattr(Path, "replace", read_by_another)
    write_over(tmp_path / "leases.json", b"new")
    assert (tmp_path / "leases.json").read_bytes() == b"new"
    refusals = [5] * 99
    with pytest.raises(PermissionError):
        write_over(tmp_path / "leases.json", b"newer")
    assert [path.name for path in tmp_path.iterdir()] == ["leases.json"]


def test_lines_are_added_to_a_file_and_what_was_broken_off_before_is_a_line_of_its_own(
    tmp_path: Path,
) -> None:
    for data in (b"one\n", b"two\nthree\n", b""):
        append(tmp_path / "a", data)
    assert (tmp_path / "a").read_bytes() == b"one\ntwo\nthree\n"
    (tmp_path / "a").write_bytes(b"one\ntw")
    append(tmp_path / "a", b"three\n")
    assert (tmp_path / "a").read_bytes() == b"one\ntw\nthree\n"


def test_what_cannot_be_added_is_taken_off_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(tmp_path / "a", b"one\n")

    def disk_full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vpt_plugin.durable.os.fsync", disk_full)
    with pytest.raises(OSError, match="No space left"):
        append(tmp_path / "a", b"two\n")
    assert (tmp_path / "a").read_bytes() == b"one\n"


APPEND_WITH_ROOM_FOR_TEN_BYTES = """
import resource, signal, sys
from pathlib import Path
from vpt_plugin.durable import append
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    append(Path(sys.argv[1]), b"0123456789\\n")
except OSError as error:
    print(type(error).__name__)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_lines_that_fit_only_in_part_are_not_added_at_all(tmp_path: Path) -> None:
    append(tmp_path / "a", b"one\n")
    command = [sys.executable, "-c", APPEND_WITH_ROOM_FOR_TEN_BYTES, str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "OSError\n"
    assert (tmp_path / "a").read_bytes() == b"one\n"


@pytest.mark.parametrize("write", [write_new, write_over])
def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object
) -> None:
    def disk_full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vpt_plugin.durable.os.fsync", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "a", b"data")  # type: ignore[operator]
    assert names(tmp_path) == []


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_over(tmp_path / "a", b"first")

    def disk_full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vpt_plugin.durable.os.fsync", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write_over(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"


def test_the_answer_of_a_network_share_that_got_lost_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def link_and_lose_the_answer(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)  # NFS asks again, and finds its own link: FileExistsError

    monkeypatch.setattr("vpt_plugin.durable.os.link", link_and_lose_the_answer)
    write_new(tmp_path / "a", b"ours")
    assert (tmp_path / "a").read_bytes() == b"ours"
    assert (tmp_path / "a").stat().st_nlink == 1
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "a", b"another")
    assert (tmp_path / "a").read_bytes() == b"ours"


def test_a_second_name_from_a_backup_is_not_taken_for_a_lost_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"somebody else's")
    link = os.link

    def backup_first(source: Path, target: Path) -> None:
        link(source, tmp_path / "backup")
        link(source, target)

    monkeypatch.setattr("vpt_plugin.durable.os.link", backup_first)
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "a", b"ours")
    assert (tmp_path / "a").read_bytes() == b"somebody else's"


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: object, target: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("vpt_plugin.durable.os.link", refuse)


@pytest.mark.usefixtures("no_links")
def test_a_disk_without_hard_links_keeps_what_is_there_too(tmp_path: Path) -> None:
    write_new(tmp_path / "a", b"first")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert names(tmp_path) == ["a"]


@pytest.mark.usefixtures("no_links")
def test_a_name_taken_for_a_writing_that_fails_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        write_new(tmp_path / "a", b"data")
    assert names(tmp_path) == []


@pytest.mark.usefixtures("no_links")
def test_a_renaming_whose_answer_got_lost_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def replace_and_lose_the_answer(self: Path, target: Path) -> None:
        replace(self, target)
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(Path, "replace", replace_and_lose_the_answer)
    write_new(tmp_path / "a", b"data")
    assert (tmp_path / "a").read_bytes() == b"data"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("write", [write_new, write_over])
def test_what_was_written_is_no_failure_though_its_temporary_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, write: object
) -> None:
    def refuse(self: Path, *, missing_ok: bool) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert callable(write)
    write(tmp_path / "a", b"data")
    assert (tmp_path / "a").read_bytes() == b"data"
    assert "is left over and cannot be removed" in caplog.text


@pytest.mark.parametrize("is_offered", [True, False])
def test_on_macos_the_disks_own_memory_is_flushed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_offered: bool
) -> None:
    calls: list[str] = []

    def full_sync(descriptor: int, command: int) -> None:
        calls.append(f"fcntl {command}")
        if not is_offered:
            raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("fcntl.F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr("fcntl.fcntl", full_sync)
    monkeypatch.setattr("vpt_plugin.durable.os.fsync", lambda descriptor: calls.append("fsync"))
    write_new(tmp_path / "a", b"data")
    # The file, then the folder.
    assert calls == (["fcntl 51"] * 2 if is_offered else ["fcntl 51", "fsync"] * 2)


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from vpt_plugin.durable import write_new, write_over
folder, number = Path(sys.argv[1]), 0
while True:
    number += 1
    write_new(folder / f"{number}.new", b"x" * 100_000)
    write_over(folder / "card", str(number % 10).encode() * 100_000)
    print(number, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_whatever_moment_a_process_is_killed_at_every_file_is_whole(tmp_path: Path) -> None:
    for round_ in range(4):
        folder = tmp_path / str(round_)
        folder.mkdir()
        with subprocess.Popen(
            [sys.executable, "-c", WRITE_FOR_EVER, str(folder)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.013 * (round_ + 1))
            process.send_signal(signal.SIGKILL)
            done = process.stdout.read().split()
        for number in range(1, int(done[-1]) + 1 if done else 2):
            assert (folder / f"{number}.new").read_bytes() == b"x" * 100_000
        card = (folder / "card").read_bytes()
        assert card == card[:1] * 100_000
        sweep_leftovers(folder, older_than_seconds=-1)
        assert not list(folder.glob(".*"))


def test_a_finished_file_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a.part").write_bytes(b"new")
    publish_file(tmp_path / "a.part", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("durable", [True, False])
def test_a_finished_folder_is_never_put_over_another(tmp_path: Path, durable: bool) -> None:
    for data in ("first", "second"):
        unfinished = tmp_path / ".unfinished-1"
        unfinished.mkdir()
        (unfinished / "card.json").write_text(data)
        if data == "first":
            publish_folder(unfinished, tmp_path / "v0001", durable=durable)
        else:
            with pytest.raises(FileExistsError):
                publish_folder(unfinished, tmp_path / "v0001", durable=durable)
    assert names(tmp_path) == [".unfinished-1", ".unfinished-1/card.json", "v0001", "v0001/card.json"]
    assert (tmp_path / "v0001" / "card.json").read_text() == "first"


@pytest.mark.skipif(os.name == "nt", reason="folders are not opened there")
@pytest.mark.parametrize(("number", "is_told"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_share_that_cannot_sync_folders_is_written_to_and_one_with_an_error_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_told: bool
) -> None:
    fsync = os.fsync

    def refuse_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr("vpt_plugin.durable.os.fsync", refuse_folders)
    if is_told:
        with pytest.raises(OSError, match="Input/output error"):
            write_new(tmp_path / "a", b"data")
    else:
        write_new(tmp_path / "a", b"data")
        assert (tmp_path / "a").read_bytes() == b"data"


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b" / "c")
    assert names(tmp_path) == ["a", "a/b", "a/b/c"]


def test_what_killed_processes_left_more_than_an_hour_ago_is_swept_and_nothing_else(tmp_path: Path) -> None:
    study = tmp_path / "final" / "p01"
    study.mkdir(parents=True)
    for name in ("nodule.0001.json", ".nodule.0002.json.0123.tmp", ".nodule.0003.json.4567.tmp", ".hidden"):
        (study / name).write_text("x")
        made_hours_ago(study / name, 0.5 if "0003" in name else 2)
    for name in (".unfinished-1", ".writing-2", ".damaged-3", ".git"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".inside.tmp").write_text("x")
        made_hours_ago(tmp_path / name / ".inside.tmp", 0.1 if name == ".git" else 2)
        made_hours_ago(tmp_path / name, 2)
    assert len(find_leftovers(tmp_path)) == 4
    assert sorted(path.name for path in sweep_leftovers(tmp_path)) == [
        ".damaged-3", ".nodule.0002.json.0123.tmp", ".unfinished-1", ".writing-2",
    ]  # fmt: skip
    assert names(tmp_path) == [
        ".git", ".git/.inside.tmp", "final", "final/p01",
        "final/p01/.hidden", "final/p01/.nodule.0003.json.4567.tmp", "final/p01/nodule.0001.json",
    ]  # fmt: skip
    assert sweep_leftovers(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="links need a right of their own on Windows")
def test_the_sweep_leaves_the_folder_a_link_leads_to(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    made_hours_ago(outside, 2)
    (outside / ".a.tmp").write_text("x")
    made_hours_ago(outside / ".a.tmp", 2)
    (inside / "elsewhere").symlink_to(outside)
    assert sweep_leftovers(inside) == []
    assert names(outside) == [".a.tmp"]


def test_a_folder_that_is_not_there_needs_no_sweep(tmp_path: Path) -> None:
    assert sweep_leftovers(tmp_path / "none") == []
