"""WorklistLock: one thread of one process at a time chooses studies and changes leases."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from vpt_plugin.durable import make_folder
from vpt_plugin.errors import WorklistAwayError

_LOOK_AGAIN_SECONDS = 0.01
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


class WorklistLock:
    """The lock of one folder; who has it may take it again. A killed process has it no longer.

    Args:
        folder: it is made when the lock is taken first.
        patience_seconds: for so long it is waited for.
    """

    def __init__(self, folder: Path, *, patience_seconds: float = 60.0) -> None:
        self._folder = folder
        self._patience_seconds = patience_seconds
        self._threads = threading.RLock()
        # Only the thread that has the lock above takes this one: what it counts is how often.
        self._processes = FileLock(folder / ".lock", timeout=patience_seconds, thread_local=False)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Nobody else has it while this lasts.

        Raises:
            WorklistAwayError: others keep it, the folder may not be written, or the disk knows no locks.
            OSError: the disk is full.
        """
        if not self._threads.acquire(timeout=self._patience_seconds):
            raise self._busy()
        try:
            self._take_from_processes()
            try:
                yield
            finally:
                self._processes.release()
        finally:
            self._threads.release()

    def _take_from_processes(self) -> None:
        try:
            make_folder(self._folder)
            self._processes.acquire(poll_interval=_LOOK_AGAIN_SECONDS)
            if isinstance(self._processes, SoftFileLock):
                # What filelock makes of itself on a disk without locks: a file that a killed reader leaves
                # behind, so that nobody gets a study any more.
                self._processes.release()
                raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        except Timeout as error:
            raise self._busy() from error
        except (OSError, NotImplementedError) as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError | NotImplementedError) -> Exception:
        number = error.errno if isinstance(error, OSError) else None
        if number in _NOT_WRITABLE:
            return WorklistAwayError(
                f"who has which study cannot be kept in {self._folder}: {os.strerror(number)}.",
                "Let this program's user write there.",
            )
        if number in _NO_LOCKS or isinstance(error, NotImplementedError):
            return WorklistAwayError(
                f"{self._folder} cannot be locked, so that two readers could get one study: {error}.",
                "Some network shares know no locks: keep the labels elsewhere, with --conf labels_dir of the "
                "server or --labels-dir.",
            )
        return error

    def _busy(self) -> WorklistAwayError:
        return WorklistAwayError(
            f"others have kept the worklist in {self._folder} for {self._patience_seconds:g} seconds;",
            "ask again.",
        )
