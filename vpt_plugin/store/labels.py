"""LabelFolder: what readers said, one file per study, task and version; nothing is ever overwritten.

::

    labels/final/<study>/<task>.0001.json          the label contract, vptct.label/1
    labels/final/<study>/<task>.0002.json          a later version; the newest counts, the older ones stay
    labels/final/<study>@/<task>.0001.json         where a file of another program is called <study>
    labels/conflicts/<study>/<task>.0001.json      a label that was refused, see label_conflicts.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vpt_plugin.errors import LabelConflictError, StudyNotFoundError
from vpt_plugin.labels import STATES, StudyLabel
from vpt_plugin.store.ids import is_study_id
from vpt_plugin.store.label_conflicts import (
    Disagreement,
    SetAsideLabel,
    SetAsideLabels,
    conflict_error,
    is_settled,
    states_in_dispute,
)
from vpt_plugin.store.label_folders import (
    folder_of,
    hidden_folders,
    labelled_studies,
    refuse_namesake,
)
from vpt_plugin.store.label_looks import LabelLooks
from vpt_plugin.store.label_versions import (
    DamagedLabel,
    SavedLabel,
    StudyVersions,
    append_version,
    label_bytes,
    newest_number,
    put_version,
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


class LabelFolder:
    """The labels below one folder; several threads, processes and computers may read and write at once.

    The files are all there is: no index that could be lost, and no locks. What was read is remembered as long
    as the study's folder keeps its time stamp.

    Args:
        root: the folder; it is made when the first label is saved.
        fresh_seconds: for so long what is asked about all studies believes the last look at their folders.
            What is asked about one study looks each time, and what is saved here counts at once.
        clock: seconds that only grow.
    """

    def __init__(
        self, root: Path, *, fresh_seconds: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.root = root
        self._final = root / "final"
        self._set_aside = SetAsideLabels(root / "conflicts")
        self._looks = LabelLooks(self._final, fresh_seconds=fresh_seconds, clock=clock)

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
            LabelError: the label does not follow the contract, its task is no name of a task, or the disk
                takes the study's id for that of another.
            LabelConflictError: another version is the newest; the label was set aside.
            OSError: the disk is full, the folder is not writable.
        """
        folder = self._folder(study_id)
        refuse_namesake(self._final, study_id)
        data = label_bytes(label)
        if if_version is None:
            version = append_version(folder, label.task, data)
        elif put_version(folder, label.task, data, if_version + 1):
            version = if_version + 1
        else:
            raise self._conflict(study_id, label, if_version)
        self._looks.saved(study_id)
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
        return self._one(study_id).versions.get(task, ())

    def tasks(self, study_id: str) -> list[str]:
        """The tasks that a study has a readable label for, sorted.

        Raises:
            StudyNotFoundError: ``study_id`` is no id of a study.
        """
        return sorted(self._one(study_id).versions)

    def newest_version(self, study_id: str, task: str) -> int:
        """The number that ``if_version`` is compared with: of the newest file, readable or not; 0 for none.

        Raises:
            StudyNotFoundError: ``study_id`` is no id of a study.
        """
        return newest_number(self._folder(study_id), task)

    def newest(self) -> list[SavedLabel]:
        """The newest readable version of every study and task, in the order of their names."""
        return [versions[-1] for read in self._looks.all() for _, versions in sorted(read.versions.items())]

    def histories(self, task: str) -> list[tuple[SavedLabel, ...]]:
        """All readable versions, oldest first, of every study with a label of a task, by study."""
        return [read.versions[task] for read in self._looks.all() if task in read.versions]

    def in_doubt(self, task: str) -> frozenset[str]:
        """The studies of whose newest label of a task nobody knows what it says: the file is damaged.

        Also a file that is being saved at this moment, on a disk without hard links.
        """
        return frozenset(
            damaged.study
            for read in self._looks.all()
            for damaged in read.damaged
            # A folder that may not be read could hold labels of any task.
            if not damaged.task or (damaged.task == task and damaged.version > read.newest(task))
        )

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
        return labelled_studies(self._final)

    def damaged(self, study_id: str | None = None) -> list[DamagedLabel]:
        """The files that should be labels and are none, of one study or of all; set-aside ones, too.

        Raises:
            StudyNotFoundError: ``study_id`` is no id of a study.
        """
        if study_id is None:
            reads, asides = self._looks.all(), self._set_aside.studies()
            found = hidden_folders(self._final)
        else:
            reads, asides, found = [self._one(study_id)], [study_id], []
        found += [damaged for read in reads for damaged in read.damaged]
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
        for read in self._looks.all():
            for task, versions in sorted(read.versions.items()):
                labels = {saved.label.annotator: saved for saved in versions}  # the last one stays
                if findings := states_in_dispute(saved.label for saved in labels.values()):
                    found.append(Disagreement(versions[0].study, task, findings, labels))
        return found

    def _folder(self, study_id: str) -> Path:
        if not is_study_id(study_id):
            raise StudyNotFoundError(repr(study_id[:100]), "this is no id of a study.")
        return folder_of(self._final, study_id)

    def _conflict(self, study_id: str, label: StudyLabel, if_version: int) -> LabelConflictError:
        """Set the label aside; the error to raise."""
        newest_version = self.newest_version(study_id, label.task)
        self._set_aside.add(study_id, label, expected_version=if_version, newest_version=newest_version)
        newest = self.latest(study_id, label.task)
        readable = newest if newest is not None and newest.version == newest_version else None
        return conflict_error(study_id, label, if_version, newest_version, readable)

    def _one(self, study_id: str) -> StudyVersions:
        self._folder(study_id)
        return self._looks.of(study_id)
