"""A process's own folder goes with it; of a process that was killed the next one removes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lib import workspace
from lib.workspace import Workspace

PROGRAM = """
import sys
from pathlib import Path
from lib.workspace import Workspace
folder = Workspace(Path(sys.argv[1])).folder
(folder / "upload").write_text("voxels")
print(folder, flush=True)
sys.stdin.read()
"""


@contextmanager
def process(parent: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process with a workspace, which it has until its input ends."""
    apps = Path(workspace.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(parent)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=apps,
        env={"PYTHONPATH": str(apps)},
    ) as running:  # fmt: skip
        assert running.stdout is not None
        yield running, Path(running.stdout.readline().strip())


def test_a_workspace_is_for_one_user_and_goes_with_its_process(tmp_path: Path) -> None:
    with process(tmp_path) as (running, folder):
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o077 == 0
        running.communicate()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_at_the_next_start(tmp_path: Path) -> None:
    with process(tmp_path) as (running, folder):
        running.send_signal(signal.SIGKILL)
        running.wait()
    assert (folder / "upload").is_file()
    with process(tmp_path) as (running, later):
        assert sorted(tmp_path.iterdir()) == [later, later.with_name(later.name + ".lock")]
        running.communicate()


def test_the_folder_of_a_live_process_is_never_swept(tmp_path: Path) -> None:
    with process(tmp_path) as (running, folder):
        ours = Workspace(tmp_path)
        assert (folder / "upload").read_text() == "voxels"
        ours.remove()
        assert (folder / "upload").is_file()
        running.communicate()


def test_other_files_and_what_links_lead_to_are_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "study.nii").write_text("voxels")
    parent = tmp_path / "parent"
    (parent / "vptct-process-of-nobody").mkdir(parents=True)
    # Somebody who may write here lays a trap.
    (parent / "vptct-process-1").symlink_to(outside)
    (parent / "vptct-process-1.lock").write_text("")
    (parent / "vptct-process-2.lock").symlink_to(outside / "study.nii")
    Workspace(parent).remove()
    assert (outside / "study.nii").read_text() == "voxels"
    assert (parent / "vptct-process-of-nobody").is_dir()


def test_a_lock_that_another_process_swept_away_is_not_relied_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = workspace._locked
    taken: list[Path] = []

    def swept_meanwhile(path: Path):  # type: ignore[no-untyped-def]
        lock = locked(path)
        if not taken:
            path.unlink()
            taken.append(path)
        return lock

    monkeypatch.setattr(workspace, "_locked", swept_meanwhile)
    ours = Workspace(tmp_path)
    assert ours.folder.with_name(ours.folder.name + ".lock") != taken[0]
    assert sorted(tmp_path.iterdir()) == [ours.folder, ours.folder.with_name(ours.folder.name + ".lock")]
    ours.remove()


def test_a_folder_that_idles_for_a_month_looks_used_after_each_turn_of_the_job(tmp_path: Path) -> None:
    ours = Workspace(tmp_path)
    lock = ours.folder.with_name(ours.folder.name + ".lock")
    for path in (ours.folder, lock):
        os.utime(path, (0, 0))
    ours.keep()
    assert all(path.stat().st_mtime > 0 and path.stat().st_atime > 0 for path in (ours.folder, lock))
    ours.remove()


def test_systemd_leaves_the_folder_alone_for_it_is_locked(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    ours = Workspace(tmp_path)
    cleaner = os.open(ours.folder, os.O_RDONLY)
    try:
        # What systemd-tmpfiles asks for before it looks into a folder.
        with pytest.raises(BlockingIOError):
            fcntl.flock(cleaner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours.remove()
        fcntl.flock(cleaner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(cleaner)


def test_a_folder_that_was_removed_is_told_and_not_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = Workspace(tmp_path)
    ours.folder.rmdir()
    ours.keep()
    assert "is gone: restart the server" in caplog.text
    assert not ours.folder.exists()
    ours.remove()


def test_the_job_of_every_five_minutes_keeps_the_sessions_folder(serve, tmp_path: Path) -> None:
    app = serve().app
    (folder,) = (path for path in (tmp_path / "sessions").iterdir() if path.is_dir())
    os.utime(folder, (0, 0))
    app.cleanup_sessions()
    assert folder.stat().st_mtime > 0
