"""One at a time chooses; whoever waits too long, or cannot lock, is told why."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from vpt_plugin.errors import LeaseError
from vpt_plugin.store.worklist_lock import WorklistLock

HOLD = """
import sys, time
from pathlib import Path
from vpt_plugin.store.worklist_lock import WorklistLock
with WorklistLock(Path(sys.argv[1])).taken():
    print("held", flush=True)
    time.sleep(60)
"""


def test_whoever_has_it_may_take_it_again(tmp_path: Path) -> None:
    lock = WorklistLock(tmp_path / "a" / "b", patience_seconds=0.1)
    with lock.taken(), lock.taken():
        pass
    with lock.taken():
        assert (tmp_path / "a" / "b" / ".lock").exists()


def test_another_thread_waits_and_is_told_when_it_takes_too_long(tmp_path: Path) -> None:
    lock = WorklistLock(tmp_path, patience_seconds=0.05)
    told: list[str] = []

    def ask() -> None:
        with pytest.raises(LeaseError) as error, lock.taken():
            pass
        told.append(str(error.value))

    thread = threading.Thread(target=ask)
    with lock.taken():
        thread.start()
        thread.join(10)
    assert told == [f"others have kept the worklist in {tmp_path} for 0.05 seconds; ask again."]
    with lock.taken():
        pass


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_another_process_keeps_it_until_it_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(LeaseError, match="ask again"),
            WorklistLock(tmp_path, patience_seconds=0.05).taken(),
        ):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with WorklistLock(tmp_path, patience_seconds=0.05).taken():
        pass


@pytest.mark.parametrize(
    "refused", [NotImplementedError("no flock"), OSError(errno.ENOLCK, "No locks available")]
)
def test_a_disk_without_locks_is_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Exception
) -> None:
    def no_locks(*_: object, **__: object) -> None:
        raise refused

    monkeypatch.setattr(FileLock, "acquire", no_locks)
    lock = WorklistLock(tmp_path)
    for _ in range(2):
        with (
            pytest.raises(LeaseError, match=r"two readers could get one study.*--conf labels_dir"),
            lock.taken(),
        ):
            pass


@pytest.mark.skipif(os.name == "nt", reason="Windows locks otherwise")
@pytest.mark.filterwarnings("ignore:flock")
def test_a_disk_without_flock_gets_no_lock_that_a_killed_reader_would_leave_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_flock)
    lock = WorklistLock(tmp_path, patience_seconds=0.1)
    for _ in range(2):
        with pytest.raises(LeaseError, match=r"two readers could get one study.*--labels-dir"), lock.taken():
            pass


def test_a_full_disk_is_no_matter_of_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FileLock, "acquire", full)
    with pytest.raises(OSError, match="No space left on device"), WorklistLock(tmp_path).taken():
        pass
