"""Workspace: a folder that one process has for itself, and that does not outlive it."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import BinaryIO

_logger = logging.getLogger(__name__)
_PREFIX = "vptct-process-"
_LOCK = ".lock"
_TRIES = 5


class Workspace:
    """A folder of this process below one that others use, too; removed at the end of the process.

    What a killed process leaves is removed by the next one. A live process is known by the lock it holds on
    a file beside its folder, which the system takes away when it dies, however it dies.

    Systems clear temporary folders of what nobody touched for days: a server that idles has to call ``keep``
    now and then. Another folder of the same name could be anybody's.

    Args:
        parent: the folder below which the workspace is made; made if it is not there. It should be on a disk
            of this computer, not on a network share.
    """

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        self.folder, self._lock = _new_name(parent)
        self.folder.mkdir(mode=0o700)
        self._held = _held(self.folder)
        atexit.register(self.remove)

    def keep(self) -> None:
        """Let the folder and its lock look used, for cleaners that go by the time (macOS, tmpreaper)."""
        try:
            for path in (self.folder, self.folder.with_name(self.folder.name + _LOCK)):
                os.utime(path)
        except OSError as error:
            _logger.error("%s is gone: restart the server, it takes no uploads any more (%s)", path, error)

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        atexit.unregister(self.remove)
        if self._held is not None:
            os.close(self._held)
            self._held = None
        _remove(self.folder, self._lock)


def end_as_if_interrupted(ending: threading.Event) -> None:
    """Make SIGTERM end this process as Ctrl-C does, so that workspaces are removed.

    The server behind MONAI Label (uvicorn) finishes its requests at SIGTERM, but then lets the signal kill
    the process, and nothing more of it is run. To be called in the main thread when the server is up.

    Args:
        ending: is set by either signal, for requests that would take hours to be finished.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        stop_serving = signal.getsignal(number)
        if callable(stop_serving):
            signal.signal(number, partial(_interrupted, stop_serving, ending))


def _interrupted(
    stop_serving: Callable[[int, FrameType | None], object],
    ending: threading.Event,
    number: int,
    frame: FrameType | None,
) -> None:
    ending.set()
    stop_serving(signal.SIGINT, frame)


def _new_name(parent: Path) -> tuple[Path, BinaryIO | None]:
    """The path of a folder that nobody has, and the lock on it; None where the disk knows no locks."""
    for _ in range(_TRIES):
        folder = parent / f"{_PREFIX}{uuid.uuid4().hex}"
        path = folder.with_name(folder.name + _LOCK)
        lock = _locked(path)
        # A process that sweeps at this moment can take the file between its making and its locking.
        if lock is not None and path.exists():
            return folder, lock
        if lock is not None:
            lock.close()
    return folder, None


def _sweep(parent: Path) -> None:
    """Remove the folders of processes that are no more."""
    for path in parent.glob(f"{_PREFIX}*{_LOCK}"):
        folder = path.with_suffix("")
        lock = _locked(path)
        if lock is not None:
            if folder.is_dir():
                _logger.warning("removing %s, which a server that was killed has left", folder)
            _remove(folder, lock)


def _remove(folder: Path, lock: BinaryIO | None) -> None:
    if not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)
    if lock is not None:
        # Windows removes no file that is open.
        lock.close()
        if folder.is_dir() and not folder.is_symlink():
            return  # What could not be removed now is swept later, by its lock.
        with suppress(OSError):
            Path(lock.name).unlink()


def _held(folder: Path) -> int | None:
    """The folder, opened with a shared lock, which systemd-tmpfiles respects; None where there is no such."""
    if os.name == "nt":
        return None
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return descriptor


def _locked(path: Path) -> BinaryIO | None:
    """The file, opened and locked until it is closed; None where another process or user has it."""
    try:
        file = path.open("a+b")
    except OSError:
        return None
    try:
        _lock_now(file)
    except OSError:
        file.close()
        return None
    return file


def _lock_now(file: BinaryIO) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
