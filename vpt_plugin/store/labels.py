"""LabelFolder: what readers said, one file per study, task and version; nothing is ever overwritten.

::

    labels/final/<study>/<task>.0001.json      the label contract, vptct.label/1
    labels/final/<study>/<task>.0002.json      a later version; the newest counts, the older ones stay
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vpt_plugin.durable import make_folder, write_new
from vpt_plugin.errors import LabelError, StudyNotFoundError
from vpt_plugin.labels import STATES, StudyLabel
from vpt_plugin.store.ids import is_study_id

_logger = logging.getLogger(__name__)
_FILE = re.compile(r"([a-z][a-z0-9_]{0,39})\.([0-9]{4,9})\.json")
_TASK = re.compile(r"[a-z][a-z0-9_]{0,39}")
# As for studies: a folder's time stamp may be as coarse as two seconds.
_SETTLED_SECONDS = 3.0


@dataclass(frozen=True)
class SavedLabel:
    """One version of a label, as it lies in the folder."""

    study: str
    task: str
    version: int
    label: StudyLabel
    path: Path


@dataclass(frozen=True)
class DamagedLabel:
    """A file that should be a label and is none."""

    study: str
    path: Path
    problem: str


@dataclass(frozen=True)
class _StudyFolderRead:
    """All versions of all tasks of one study, read when the folder's time stamp was ``changed``."""

    changed: float
    settled: bool
    versions: Mapping[str, tuple[SavedLabel, ...]] = field(default_factory=dict)
    damaged: tuple[DamagedLabel, ...] = ()


class LabelFolder:
    """The labels below one folder; several threads and several processes may read and write at once.

    The files are all there is: no index that could be lost. What was read is remembered as long as the
    study's folder keeps its time stamp.

    Args:
        root: the folder; it is made when the first label is saved.
        fresh_seconds: for so long what is asked about all studies believes the last look at their folders.
            What is asked about one study looks each time, and what is saved here counts at once.
    """

    def __init__(self, root: Path, *, fresh_seconds: float = 0.0) -> None:
        self.root = root
        self._fresh_seconds = fresh_seconds
        self._final = root / "final"
        self._read: dict[str, _StudyFolderRead] = {}
        self._saves = 0
        # How many labels were saved here by then, when it was, and what was found.
        self._looked: tuple[int, float, list[_StudyFolderRead]] = (-1, 0.0, [])
        self._lock = threading.Lock()

    def save(self, study_id: str, label: StudyLabel) -> int:
        """Save a label as a new version; it is on the disk when this returns.

        Raises:
            StudyNotFoundError: ``study_id`` is no id of a study.
            LabelError: the label's task is no name of a task, or a number in it is not finite.
            OSError: the disk is full, the folder is not writable.
        """
        folder = self._folder(study_id)
        if not _TASK.fullmatch(label.task):
            raise LabelError(f"{label.task[:100]!r} is no name of a task.")
        try:
            data = (json.dumps(label.to_json(), indent=1, allow_nan=False) + "\n").encode()
        except ValueError as error:
            raise LabelError(f"the label holds a number that JSON does not know: {error}.") from error
        make_folder(folder)
        while True:
            version = 1 + max(self._numbers(folder, label.task), default=0)
            try:
                write_new(folder / f"{label.task}.{version:04d}.json", data)
            except FileExistsError:
                # Another annotator was quicker; both versions stay, this one is the newer.
                continue
            with self._lock:
                self._saves += 1
            return version

    def latest(self, study_id: str, task: str) -> SavedLabel | None:
        """The newest readable version; None where there is none.

        Raises:
            StudyNotFoundError: ``study_id`` is no id of a study.
        """
        history = self.history(study_id, task)
        return history[-1] if history else None

    def history(self, study_id: str, task: str) -> tuple[SavedLabel, ...]:
        """All readable versions, oldest first.

        Raises:
            StudyNotFoundError: ``study_id`` is no id of a study.
        """
        return self._study(self._folder(study_id)).versions.get(task, ())

    def newest(self) -> list[SavedLabel]:
        """The newest readable version of every study and task, in the order of their names."""
        return [versions[-1] for read in self._all() for _, versions in sorted(read.versions.items())]

    def counts(self, task: str) -> dict[str, int]:
        """How many studies have each state, by their newest label.

        With several findings a study is ``present`` when any of them is, else ``indeterminate`` when any is.
        """
        counts = dict.fromkeys(STATES, 0)
        for saved in self.newest():
            if saved.task == task:
                states = {finding.state for finding in saved.label.findings.values()}
                counts[next(s for s in ("present", "indeterminate", "absent") if s in states)] += 1
        return counts

    def damaged(self) -> list[DamagedLabel]:
        """The files that should be labels and are none."""
        return [damaged for read in self._all() for damaged in read.damaged]

    def _folder(self, study_id: str) -> Path:
        if not is_study_id(study_id):
            raise StudyNotFoundError(repr(study_id[:100]), "this is no id of a study.")
        return self._final / study_id

    def _all(self) -> list[_StudyFolderRead]:
        """What there is about every study with a label, in the order of their names."""
        with self._lock:
            saves, (saves_then, looked_at, looked) = self._saves, self._looked
        began = time.monotonic()
        if saves == saves_then and began - looked_at < self._fresh_seconds:
            return looked
        try:
            with os.scandir(self._final) as entries:
                names = sorted(each.name for each in entries if is_study_id(each.name) and each.is_dir())
        except FileNotFoundError:
            names = []
        found = [self._study(self._final / name) for name in names]
        with self._lock:
            self._looked = (saves, began, found)
        return found

    def _study(self, folder: Path) -> _StudyFolderRead:
        """All there is about one study; read anew when its folder has changed."""
        try:
            changed = folder.stat().st_mtime
        except FileNotFoundError:
            return _StudyFolderRead(0.0, settled=False)
        with self._lock:
            known = self._read.get(folder.name)
        if known is not None and known.settled and known.changed == changed:
            return known
        read = self._read_study(folder, changed)
        with self._lock:
            self._read[folder.name] = read
        return read

    def _read_study(self, folder: Path, changed: float) -> _StudyFolderRead:
        settled = time.time() - changed > _SETTLED_SECONDS
        versions: dict[str, list[SavedLabel]] = {}
        damaged: list[DamagedLabel] = []
        for path in folder.iterdir():
            if match := _FILE.fullmatch(path.name):
                task, version = match[1], int(match[2])
                try:
                    label = _read_label(path, task)
                except (OSError, LabelError, RecursionError) as error:
                    _logger.warning("%s is left out of the labels: %s", path, error)
                    damaged.append(DamagedLabel(folder.name, path, str(error)))
                else:
                    saved = SavedLabel(folder.name, task, version, label, path)
                    versions.setdefault(task, []).append(saved)
        ordered = {task: tuple(sorted(each, key=lambda s: s.version)) for task, each in versions.items()}
        return _StudyFolderRead(changed, settled, ordered, tuple(damaged))

    @staticmethod
    def _numbers(folder: Path, task: str) -> list[int]:
        matches = (_FILE.fullmatch(path.name) for path in folder.iterdir())
        return [int(match[2]) for match in matches if match and match[1] == task]


def _read_label(path: Path, task: str) -> StudyLabel:
    label = StudyLabel.from_json(path.read_bytes())
    if label.task != task:
        raise LabelError(f"the file is named after the task {task}, the label in it is of {label.task!r}.")
    return label
