"""Downloads: what is on its way from the server, each in a folder of its own until it has been read."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from typing import Callable, Generic, TypeVar

from ..errors import LocalFileError, VptctError
from ..jobs import Job, Jobs, OnProgress, Work

T = TypeVar("T")


class Fetched(Generic[T]):
    """What a download brought; its files stay until ``close``."""

    def __init__(self, value: T, folder: Path) -> None:
        self.value = value
        self._folder = folder

    def close(self) -> None:
        """Remove its files."""
        shutil.rmtree(self._folder, ignore_errors=True)


class Download(Generic[T]):
    """One study on its way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unwanted = False
        self._here: Fetched[T] | None = None
        self.job: Job[Fetched[T]] | None = None

    def cancel(self) -> None:
        """End it soon; ``failed`` is then called with CancelledError, unless it had come to its end."""
        if self.job is not None:
            self.job.cancel()

    def drop(self) -> None:
        """End it soon and hear no more of it; nothing of it stays on the disk."""
        if self.job is not None:
            self.job.drop()
        with self._lock:
            self._unwanted = True
            here = self._here
        if here is not None:
            here.close()

    def arrived(self, fetched: Fetched[T]) -> Fetched[T]:
        """Hand over what came, in the thread that fetched it: nobody else removes it where nobody waits."""
        with self._lock:
            self._here = fetched
            unwanted = self._unwanted
        if unwanted:
            fetched.close()
        return fetched


class Downloads:
    """Starts downloads.

    Args:
        jobs: they run in.
        folder: an existing one; each download makes a folder in it.
    """

    def __init__(self, jobs: Jobs, folder: Path) -> None:
        self._jobs, self._folder = jobs, folder

    def start(
        self,
        fetch: Callable[[Path, Work], T],
        done: Callable[[Fetched[T]], object],
        failed: Callable[[VptctError], object],
        progress: OnProgress,
    ) -> Download[T]:
        """Fetch something into a folder of its own.

        Args:
            fetch: is given an empty folder, in a thread.
            done: called in the main thread; closes what it is given when it has been read.
            failed: called in the main thread, when the folder is gone.
            progress: as of ``Jobs.start``.
        """
        download: Download[T] = Download()

        def call(work: Work) -> Fetched[T]:
            folder = self._new_folder()
            try:
                value = fetch(folder, work)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            return download.arrived(Fetched(value, folder))

        download.job = self._jobs.start(call, done, failed, progress=progress)
        return download

    def _new_folder(self) -> Path:
        try:
            return Path(tempfile.mkdtemp(prefix="study-", dir=self._folder))
        except OSError as error:
            raise LocalFileError(f"{self._folder} cannot be written: {error}.") from error
