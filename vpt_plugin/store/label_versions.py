"""The versions of one study's labels, as they lie in its folder: names of files, reading, what is damaged."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from vpt_plugin.errors import LabelError
from vpt_plugin.labels import StudyLabel

_logger = logging.getLogger(__name__)
_FILE = re.compile(r"([a-z][a-z0-9_]{0,39})\.([0-9]{4,9})\.json")
_TASK = re.compile(r"[a-z][a-z0-9_]{0,39}")
# As for studies: a folder's time stamp may be as coarse as two seconds.
_SETTLED_SECONDS = 3.0
_EMPTY = "the file is empty: its saving goes on at this moment, or was broken off before it was acknowledged."
# A label has some kilobytes. A film of that name must not fill the memory.
_MAX_BYTES = 1 << 24
_YEAR_9999 = 253_402_300_799  # the last second that can be written as a date


@dataclass(frozen=True)
class SavedLabel:
    """One version of a label, as it lies in the folder.

    Attributes:
        study: its id.
        task: the name of the task.
        version: counts from 1.
        label: what the reader said.
        path: the file.
        sha256: of the file's bytes, in hexadecimal digits.
        saved: when the file was written, by the clock of the computer that holds it:
            ``2026-11-20T20:31:05.123Z``. Files that were copied without their times have that of the copying.
    """

    study: str
    task: str
    version: int
    label: StudyLabel
    path: Path
    sha256: str
    saved: str


@dataclass(frozen=True)
class DamagedLabel:
    """A file that should be a label and is none.

    Attributes:
        study, task, version: what the file's name says; "" and 0 where it is the study's whole folder.
        path: the file, or the folder.
        problem: what is wrong with it.
        unfinished: it is empty, as it is while a label is saved on a disk without hard links, and ever after
            where that was broken off; such a save was never acknowledged.
    """

    study: str
    task: str
    version: int
    path: Path
    problem: str
    unfinished: bool = False


@dataclass(frozen=True)
class StudyVersions:
    """All versions of all tasks of one study, read when the folder's time stamp was ``changed_ns``.

    Attributes:
        changed_ns: nanoseconds since 1970.
        settled: nothing can have changed since without a new time stamp.
        versions: by task, oldest first.
        damaged: by task and version.
    """

    changed_ns: int
    settled: bool
    versions: Mapping[str, tuple[SavedLabel, ...]] = field(default_factory=dict)
    damaged: tuple[DamagedLabel, ...] = ()


def label_bytes(label: StudyLabel) -> bytes:
    """A label's file.

    Raises:
        LabelError: the label's task is no name of a task, a number in it is not finite, or it would not be
            read back as a label of the contract.
    """
    if not _TASK.fullmatch(label.task):
        raise LabelError(f"{label.task[:100]!r} is no name of a task.")
    try:
        data = (json.dumps(label.to_json(), indent=1, allow_nan=False) + "\n").encode()
    except ValueError as error:
        raise LabelError(f"the label holds a number that JSON does not know: {error}.") from error
    StudyLabel.from_json(data)
    return data


def saved_label(study: str, task: str, version: int, path: Path, data: bytes) -> SavedLabel:
    """One version from the bytes of its file.

    Raises:
        LabelError: they do not follow the label contract, or are of another task.
        OSError: the file is not there.
    """
    label = StudyLabel.from_json(data)
    if label.task != task:
        raise LabelError(f"the file is named after the task {task}, the label in it is of {label.task!r}.")
    digest = hashlib.sha256(data).hexdigest()
    return SavedLabel(study, task, version, label, path, digest, time_of(path.stat()))


def version_file(folder: Path, task: str, version: int) -> Path:
    """``<folder>/<task>.0001.json``."""
    return folder / f"{task}.{version:04d}.json"


def label_files(folder: Path) -> list[tuple[str, int, Path]]:
    """Task, number and path of every file that is named as a label is; none where there is no such folder."""
    try:
        names = [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    matches = (_FILE.fullmatch(name) for name in names)
    return sorted((match[1], int(match[2]), folder / match[0]) for match in matches if match)


def newest_number(folder: Path, task: str) -> int:
    """The number of the newest file of a task, readable or not; 0 where there is none."""
    return max((version for name, version, _ in label_files(folder) if name == task), default=0)


def read_label_file(path: Path) -> bytes:
    """The bytes of a file that may be a label.

    Raises:
        LabelError: it is far too large for one, or no file.
        OSError: it cannot be read.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
        raise LabelError(f"this is no file of a label ({status.st_size} bytes).")
    return path.read_bytes()


def read_versions(folder: Path, changed_ns: int) -> StudyVersions:
    """All there is about one study; what is damaged or may not be read is reported and logged.

    Args:
        folder: whose name is the study's id.
        changed_ns: its time stamp, read before.
    """
    settled = time.time() - changed_ns / 1e9 > _SETTLED_SECONDS
    try:
        files = label_files(folder)
    except PermissionError as error:
        # One study's folder must not hide the labels of all the others.
        return StudyVersions(changed_ns, False, damaged=(_damaged(folder.name, "", 0, folder, error),))
    versions: dict[str, list[SavedLabel]] = {}
    damaged = []
    for task, version, path in files:
        try:
            saved = saved_label(folder.name, task, version, path, read_label_file(path))
        except (OSError, LabelError, RecursionError) as error:
            damaged.append(_damaged(folder.name, task, version, path, error))
        else:
            versions.setdefault(task, []).append(saved)
    # A damaged file that is mended in its place leaves the folder's time stamp as it was.
    settled = settled and not damaged
    return StudyVersions(
        changed_ns, settled, {task: tuple(each) for task, each in versions.items()}, tuple(damaged)
    )


def time_of(status: os.stat_result) -> str:
    """When a file was written, to the millisecond: ``2026-11-20T20:31:05.123Z``."""
    seconds, nanoseconds = divmod(status.st_mtime_ns, 10**9)
    # A damaged disk may give any number; a label is not lost for that.
    moment = datetime.fromtimestamp(min(max(seconds, 0), _YEAR_9999), timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds // 10**6:03d}Z"


def _damaged(study: str, task: str, version: int, path: Path, error: Exception) -> DamagedLabel:
    with suppress(OSError):  # Then the error says what is wrong.
        if path.stat().st_size == 0:
            return DamagedLabel(study, task, version, path, _EMPTY, unfinished=True)
    _logger.warning("%s is left out of the labels: %s", path, error)
    return DamagedLabel(study, task, version, path, str(error))
