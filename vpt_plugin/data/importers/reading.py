"""Reading the studies of a data set in several processes; each is read or refused, in whatever order."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vpt_plugin.data.importers.importer import FoundStudy, Importer, ReadStudy
from vpt_plugin.data.study_files import file_places
from vpt_plugin.errors import ConfigurationError, LabelError, StudyError, StudyNotFoundError

# To be raised when studies are read in another way: then nothing that was kept counts any more.
_VERSION = 1
# So that no process waits for the next study, and an interruption throws little away.
_WAITING_PER_WORKER = 2


@dataclass(frozen=True)
class StudyReading:
    """What became of one study.

    Attributes:
        name: of the study.
        key: tells whether anything has changed since; "" where it could not be told.
        study: what was read; None where it is refused, or as it was when it was kept.
        refused: why; "" where it is not.
    """

    name: str
    key: str
    study: ReadStudy | None = None
    refused: str = ""


def read_studies(
    importer: Importer[Any], studies: Sequence[tuple[FoundStudy[Any], str]], workers: int
) -> Iterator[StudyReading]:
    """Read studies, each in one of ``workers`` processes; with one worker, in this process.

    Args:
        importer: of the data set.
        studies: with the key under which each was kept before, or "".
        workers: how many at a time.

    Raises:
        ConfigurationError: the system ended a process, mostly for lack of memory.
    """
    workers = min(workers, len(studies))
    if workers <= 1:
        yield from (_read(importer, study, kept_key) for study, kept_key in studies)
        return
    # Never forked: this process may have threads, and Windows and macOS fork none either.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)
    waiting, running = iter(studies), dict[Future[StudyReading], str]()
    try:
        while True:
            with _interruptions_wait():
                while len(running) < workers * _WAITING_PER_WORKER and (following := next(waiting, None)):
                    running[pool.submit(_read, importer, *following)] = following[0].name
            if not running:
                return
            done = wait(running, return_when=FIRST_COMPLETED).done
            # What was read comes first: it is kept, also where a process was lost.
            for future in sorted(done, key=lambda each: each.exception() is not None):
                yield future.result()
                del running[future]
    except BrokenProcessPool as error:
        raise _lost_process(list(running.values()), workers) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _lost_process(unread: Sequence[str], workers: int) -> ConfigurationError:
    # They are begun in their order: the first of those without an answer are those that were being read.
    reading = " or ".join(unread[:workers])
    return ConfigurationError(
        f"a process that read studies was ended from outside, while it read {reading}: mostly because the "
        "memory did not suffice.",
        f"Try again with fewer than {workers} --workers; what was read is kept. If it ends there again, the "
        "study itself does it: try without it.",
    )


@contextmanager
def _interruptions_wait() -> Iterator[None]:
    """Ctrl+C comes at the end of the block; to processes that are started within it, never.

    They inherit what is blocked, and would tell of an interruption while they start. Windows blocks nothing.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker() -> None:
    """Ctrl+C is the affair of the process that started this one, and its death the end of this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # The pool does not notice a parent that was killed: its workers would wait for ever.
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _read(importer: Importer[Any], study: FoundStudy[Any], kept_key: str) -> StudyReading:
    try:
        key = _key(importer, study)
        if key == kept_key:
            return StudyReading(study.name, key)
        return StudyReading(study.name, key, importer.read(study))
    except StudyError as error:
        # The report names the study in a column of its own.
        return StudyReading(study.name, "", refused=f"{error.cause} {error.hint}".rstrip())
    except (LabelError, OSError) as error:
        return StudyReading(study.name, "", refused=str(error))
    # Among thousands of studies there is one that nobody foresaw; it must not stop the others.
    except Exception as error:
        return StudyReading(study.name, "", refused=f"{type(error).__name__}: {error}".rstrip(": "))


def _key(importer: Importer[Any], study: FoundStudy[Any]) -> str:
    if not study.path.exists():
        raise StudyNotFoundError(study.name, f"there is no {study.path}.")
    beside = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in study.beside]
    facts = [_VERSION, repr(importer), study.name, repr(study.source), file_places(study.path), beside]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
