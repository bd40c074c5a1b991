"""The versions of one study's labels, as they lie in its folder: names, writing, reading, what is damaged."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from vpt_plugin.durable import make_folder, sync_folder, write_new
from vpt_plugin.errors import LabelError
from vpt_plugin.labels import StudyLabel

_logger = logging.getLogger(__name__)
# A number has one spelling, or two files would be the same version.
_FILE = re.compile(r"([a-z][a-z0-9_]{0,39})\.([0-9]{4}|[1-9][0-9]{4,8})\.json")
_MAX_VERSION = 999_999_999
_TASK = re.compile(r"[a-z][a-z0-9_]{0,39}")
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
    """All versions of all tasks of one study.

    Attributes:
        versions: by task, oldest first.
        damaged: by task and version.
    """

    versions: Mapping[str, tuple[SavedLabel, ...]] = field(default_factory=dict)
    damaged: tuple[DamagedLabel, ...] = ()

    def newest(self, task: str) -> int:
        """The number of the newest readable version of a task; 0 for none."""
        return self.versions[task][-1].version if task in self.versions else 0


def label_bytes(label: StudyLabel) -> bytes:
    """A label's file.

    Raises:
        LabelError: the label's task is no name of a task, a number in it is not finite, or it would not be
            read back as a label of the contract: it breaks it, or is larger than 16 MiB.
    """
    if not _TASK.fullmatch(label.task):
        raise LabelError(f"{label.task[:100]!r} is no name of a task.")
    try:
        data = (json.dumps(label.to_json(), indent=1, allow_nan=False) + "\n").encode()
    except ValueError as error:
        raise LabelError(f"the label holds a number that JSON does not know: {error}.") from error
    StudyLabel.from_json(data)
    if len(data) > _MAX_BYTES:
        raise LabelError("the label is larger than 16 MiB.", "A label has some kilobytes.")
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


def append_version(folder: Path, task: str, data: bytes) -> int:
    """Write the file as the next version, whatever that is; returns its number.

    Raises:
        LabelError: no further version can be saved, or a file is in the folder's place.
        OSError: the disk is full, the folder is not writable.
    """
    version = newest_number(folder, task) + 1
    while True:
        try:
            _write(folder, task, version, data)
            return version
        except FileExistsError:
            # Another annotator was quicker; a network share may not list that file yet.
            version = max(version, newest_number(folder, task)) + 1


def put_version(folder: Path, task: str, data: bytes, version: int) -> bool:
    """Write the file as this version, if that is the next one; whether it is there now.

    Raises: as ``append_version``.
    """
    if newest_number(folder, task) == version - 1:
        try:
            _write(folder, task, version, data)
            return True
        except FileExistsError:
            pass  # Another annotator was quicker, or this very label came before.
    return _is_there(folder, task, version, data)


def _write(folder: Path, task: str, version: int, data: bytes) -> None:
    if version > _MAX_VERSION:
        raise LabelError(
            f"{folder}: its {task} label cannot be saved: version {version - 1} is the last that can be.",
            f"Move {version_file(folder, task, version - 1).name} away, which VPTCT did not write.",
        )
    try:
        make_folder(folder)
    except FileExistsError as error:
        raise LabelError(
            f"{folder.name}: the labels cannot be saved: a file is in the place of their folder.",
            f"Move the file {folder.parent.name}/{folder.name} out of the folder of labels.",
        ) from error
    write_new(version_file(folder, task, version), data)
    if version == 1:
        # Whoever made the study's folder just now may not have brought its name to the disk yet.
        sync_folder(folder.parent)


def _is_there(folder: Path, task: str, version: int, data: bytes) -> bool:
    """Whether that version is this very label; if so, it is on the disk when this returns."""
    try:
        same = version_file(folder, task, version).read_bytes() == data
    except OSError:
        return False
    if same:
        sync_folder(folder)
    return same


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


def read_versions(study: str, folder: Path) -> StudyVersions:
    """All there is about one study; what is damaged or may not be read is reported and logged."""
    try:
        files = label_files(folder)
    except PermissionError as error:
        # One study's folder must not hide the labels of all the others.
        return StudyVersions(damaged=(_damaged(study, "", 0, folder, error),))
    versions: dict[str, list[SavedLabel]] = {}
    damaged = []
    for task, version, path in files:
        try:
            saved = saved_label(study, task, version, path, read_label_file(path))
        except (OSError, LabelError, RecursionError) as error:
            damaged.append(_damaged(study, task, version, path, error))
        else:
            versions.setdefault(task, []).append(saved)
    return StudyVersions({task: tuple(each) for task, each in versions.items()}, tuple(damaged))


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
