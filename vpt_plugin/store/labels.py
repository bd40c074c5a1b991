"""LabelFolder: what readers said, one file per study, task and version; nothing is ever overwritten.

::

    labels/final/<study>/<task>.0001.json          the label contract, vptct.label/1
    labels/final/<study>/<task>.0002.json          a later version; the newest counts, the older ones stay
    labels/conflicts/<study>/<task>.0001.json      a label that was refused, see label_conflicts.py
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from vpt_plugin.durable import make_folder, sync_folder, write_new
from vpt_plugin.errors import LabelConflictError, LabelError, StudyNotFoundError
from vpt_plugin.labels import STATES, StudyLabel
from vpt_plugin.store.ids import is_study_id
from vpt_plugin.store.label_conflicts import (
    Disagreement,
    SetAsideLabel,
    SetAsideLabels,
    is_settled,
    states_in_dispute,
)
from vpt_plugin.store.label_versions import (
    DamagedLabel,
    SavedLabel,
    StudyVersions,
    label_bytes,
    newest_number,
    read_versions,
    saved_label,
    version_file,
)

__all__ = [
    "DamagedLabel",
    "Disagreement",
    "LabelFolder",
    "SavedLabel",
    "SetAsideLabel",
    "label_bytes",
]

# On a network share a look at a folder is mostly waiting, and many can wait at once.
_LOOKS_AT_ONCE = 16


class LabelFolder:
    """The labels below one folder; several threads, processes and computers may read and write at once.

    The files are all there is: no index that could be lost, and no locks. What was read is remembered as long
    as the study's folder keeps its time stamp.

    Args:
        root: the folder; it is made when the first label is saved.
        fresh_seconds: for so long what is asked about all studies believes the last look at their folders.
            What is asked about one study looks each time, and what is saved here counts at once.
    """

    def __init__(self, root: Path, *, fresh_seconds: float = 0.0) -> None:
        self.root = root
        self._fresh_seconds = fresh_seconds
        self._final = root / "final"
        self._set_aside = SetAsideLabels(root / "conflicts")
        self._read: dict[str, StudyVersions] = {}
        self._saves = 0
        # What the last look at all studies found, when it began, and the studies with something newer.
        self._looked: dict[str, StudyVersions] = {}
        self._looked_at = float("-inf")
        self._news: set[str] = set()
        self._one_look = threading.Lock()
        self._lock = threading.Lock()

    def save(self, study_id: str, label: StudyLabel, *, if_version: int | None = None) -> SavedLabel:
        """Save a label as a new version; it is on the disk when this returns.

        Args:
            study_id: the study's id.
            label: what the reader said.
            if_version: save only if the newest file of this study and task has this number (0: there is
                none). None saves in any case. The same label upon the same version again is the first save
                again: an answer may have been lost on its way.

        Raises:
            StudyNotFoundError: ``study_id`` is no id of a study.
            LabelError: the label does not follow the contract, its task is no name of a task, or a file is in
                the place of the study's folder.
            LabelConflictError: another version is the newest; the label was set aside.
            OSError: the disk is full, the folder is not writable.
        """
        folder = self._folder(study_id)
        data = label_bytes(label)
        if if_version is None:
            version = _append(folder, label.task, data)
        elif _put(folder, label.task, data, if_version + 1):
            version = if_version + 1
        else:
            raise self._conflict(study_id, label, if_version)
        with self._lock:
            self._news.add(study_id)
            # Some disks (FAT, some network shares) leave the folder's time stamp as it was.
            self._saves += 1
            self._read.pop(study_id, None)
        return saved_label(study_id, label.task, version, version_file(folder, label.task, version), data)

    def latest(self, study_id: str, task: str) -> SavedLabel | None:
        """The newest readable version; None where there is none.

        Raises:
            StudyNotFoundError: ``study_id`` is no id of a study.
        """
        history = self.history(study_id, task)
        return history[-1] if history else None

    def history(self, study_id: str, task: str) -> tuple[SavedLabel, ...]:
        """All readable versions, oldest first; ``damaged(study_id)`` has the others.

        Raises:
            StudyNotFoundError: ``study_id`` is no id of a study.
        """
        read = self._study(self._folder(study_id))
        with self._lock:
            if read.versions and read is not self._looked.get(study_id):
                self._news.add(study_id)
        return read.versions.get(task, ())

    def tasks(self, study_id: str) -> list[str]:
        """The tasks that a study has a readable label for, sorted.

        Raises:
            StudyNotFoundError: ``study_id`` is no id of a study.
        """
        return sorted(self._study(self._folder(study_id)).versions)

    def newest_version(self, study_id: str, task: str) -> int:
        """The number that ``if_version`` is compared with: of the newest file, readable or not; 0 for none.

        Raises:
            StudyNotFoundError: ``study_id`` is no id of a study.
        """
        return newest_number(self._folder(study_id), task)

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

    def labelled(self) -> frozenset[str]:
        """The ids of all studies with a folder of labels. Reads no label: quick however many there are."""
        try:
            with os.scandir(self._final) as entries:
                return frozenset(each.name for each in entries if is_study_id(each.name) and each.is_dir())
        except FileNotFoundError:
            return frozenset()

    def damaged(self, study_id: str | None = None) -> list[DamagedLabel]:
        """The files that should be labels and are none, of one study or of all; set-aside ones, too.

        Raises:
            StudyNotFoundError: ``study_id`` is no id of a study.
        """
        reads = self._all() if study_id is None else [self._study(self._folder(study_id))]
        asides = self._set_aside.studies() if study_id is None else [study_id]
        found = [damaged for read in reads for damaged in read.damaged]
        return found + [damaged for study in asides for damaged in self._set_aside.read(study)[1]]

    def conflicts(self, study_id: str | None = None) -> list[SetAsideLabel]:
        """The labels that were set aside, of one study or of all; ``settled`` tells which ask for no more.

        Raises:
            StudyNotFoundError: ``study_id`` is no id of a study.
        """
        if study_id is not None:
            self._folder(study_id)
        return [
            replace(aside, settled=is_settled(aside, self.history(study, aside.task)))
            for study in (self._set_aside.studies() if study_id is None else [study_id])
            for aside in self._set_aside.read(study)[0]
        ]

    def disagreements(self) -> list[Disagreement]:
        """The studies whose annotators' newest labels of one task differ in the state of a finding."""
        found = []
        for read in self._all():
            for task, versions in sorted(read.versions.items()):
                labels = {saved.label.annotator: saved for saved in versions}  # the last one stays
                if findings := states_in_dispute(saved.label for saved in labels.values()):
                    found.append(Disagreement(versions[0].study, task, findings, labels))
        return found

    def _folder(self, study_id: str) -> Path:
        if not is_study_id(study_id):
            raise StudyNotFoundError(repr(study_id[:100]), "this is no id of a study.")
        return self._final / study_id

    def _conflict(self, study_id: str, label: StudyLabel, if_version: int) -> LabelConflictError:
        """Set the label aside; the error to raise."""
        newest_version = self.newest_version(study_id, label.task)
        self._set_aside.add(study_id, label, expected_version=if_version, newest_version=newest_version)
        newest = self.latest(study_id, label.task)
        readable = newest if newest is not None and newest.version == newest_version else None
        by = f" by {readable.label.annotator}" if readable and readable.label.annotator else ""
        return LabelConflictError(
            f"{study_id}: this {label.task} label was made upon version {if_version}, but the newest is "
            f"version {newest_version}{by}.",
            f"Yours was set aside, not lost. Look at both, and save again upon version {newest_version}.",
            expected_version=if_version,
            newest_version=newest_version,
            newest=readable.label.to_json() if readable else None,
            yours=label.to_json(),
        )

    def _all(self) -> list[StudyVersions]:
        """What there is about every study with a label, in the order of their names."""
        with self._one_look:
            with self._lock:
                news, self._news = self._news, set()
            began = time.monotonic()
            looked_at, self._looked_at = self._looked_at, float("-inf")  # a look that fails is done again
            if began - looked_at < self._fresh_seconds:
                if news:
                    self._look(self._looked.keys() | news, news)
                self._looked_at = looked_at
            else:
                names = self.labelled()
                self._look(names, names)
                self._looked_at = began
            return list(self._looked.values())

    def _look(self, all_names: Iterable[str], at: Iterable[str]) -> None:
        """Look at the folders of some studies, several at once."""
        if waiting := sorted(at):
            parts = [waiting[i::_LOOKS_AT_ONCE] for i in range(min(_LOOKS_AT_ONCE, len(waiting)))]
            with ThreadPoolExecutor(len(parts)) as threads:
                for found in threads.map(self._studies, parts):
                    self._looked |= found
        self._looked = {name: self._looked[name] for name in sorted(all_names)}

    def _studies(self, names: Iterable[str]) -> dict[str, StudyVersions]:
        return {name: self._study(self._final / name) for name in names}

    def _study(self, folder: Path) -> StudyVersions:
        """All there is about one study; read anew when its folder has changed."""
        try:
            changed_ns = folder.stat().st_mtime_ns
        except FileNotFoundError:
            return StudyVersions(0, settled=False)
        with self._lock:
            known, saves = self._read.get(folder.name), self._saves
        if known is not None and known.settled and known.changed_ns == changed_ns:
            return known
        read = read_versions(folder, changed_ns)
        with self._lock:
            if saves == self._saves:  # else it may be older than what was saved meanwhile
                self._read[folder.name] = read
        return read


def _append(folder: Path, task: str, data: bytes) -> int:
    """Write the file as the next version, whatever that is; returns its number."""
    version = newest_number(folder, task) + 1
    while True:
        try:
            _write(folder, task, version, data)
            return version
        except FileExistsError:
            # Another annotator was quicker; a network share may not list that file yet.
            version = max(version, newest_number(folder, task)) + 1


def _put(folder: Path, task: str, data: bytes, version: int) -> bool:
    """Write the file as this version, if that is the next one; whether it is there now."""
    if newest_number(folder, task) == version - 1:
        try:
            _write(folder, task, version, data)
            return True
        except FileExistsError:
            pass  # Another annotator was quicker, or this very label came before.
    return _is_there(folder, task, version, data)


def _write(folder: Path, task: str, version: int, data: bytes) -> None:
    _make_folder(folder)
    write_new(version_file(folder, task, version), data)
    if version == 1:
        # Whoever made the study's folder just now may not have brought its name to the disk yet.
        sync_folder(folder.parent)


def _make_folder(folder: Path) -> None:
    try:
        make_folder(folder)
    except FileExistsError as error:
        raise LabelError(
            f"{folder.name}: its labels cannot be saved: the folder of labels holds a file of that name, "
            "as a stock MONAI Label gives to a segmentation.",
            f"Move the file {folder.parent.name}/{folder.name} out of the folder of labels.",
        ) from error


def _is_there(folder: Path, task: str, version: int, data: bytes) -> bool:
    """Whether that version is this very label; if so, it is on the disk when this returns."""
    try:
        same = version_file(folder, task, version).read_bytes() == data
    except OSError:
        return False
    if same:
        sync_folder(folder)
    return same
