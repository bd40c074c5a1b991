"""Where annotators differ: labels that were refused and set aside, and labels that say different things.

A label is refused when somebody else had saved a newer version than the one it was made upon. It is kept:

::

    labels/conflicts/<study>/<task>.0001.json      vptct.set-aside/1: the label, and upon what it was made
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vpt_plugin.durable import make_folder, sync_folder, write_new
from vpt_plugin.errors import LabelConflictError, LabelError
from vpt_plugin.labels import StudyLabel
from vpt_plugin.store.ids import is_study_id
from vpt_plugin.store.label_versions import (
    DamagedLabel,
    SavedLabel,
    label_files,
    newest_number,
    time_of,
    version_file,
)

SCHEMA = "vptct.set-aside/1"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SetAsideLabel:
    """A label that was refused, and is kept.

    Attributes:
        study: its id.
        task: the name of the task.
        number: counts the set-aside labels of this study and task from 1.
        label: what the reader said.
        path: the file.
        saved: when it was set aside: ``2026-11-20T20:31:05.123Z``.
        expected_version: the version it was made upon; 0 for none.
        newest_version: the one that was the newest when it was refused.
        settled: the same annotator has saved a later version of this task since.
    """

    study: str
    task: str
    number: int
    label: StudyLabel
    path: Path
    saved: str
    expected_version: int
    newest_version: int
    settled: bool = False


@dataclass(frozen=True)
class Disagreement:
    """Annotators who say different things of one study.

    Attributes:
        study: its id.
        task: the name of the task.
        findings: those in whose state they differ.
        labels: the newest label of every annotator of this study and task, by annotator.
    """

    study: str
    task: str
    findings: tuple[str, ...]
    labels: Mapping[str, SavedLabel]


class SetAsideLabels:
    """The set-aside labels below one folder. All of them are read each time: there are few.

    Args:
        root: the folder; it is made when the first label is set aside.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, study: str, label: StudyLabel, *, expected_version: int, newest_version: int) -> None:
        """Set a label aside; it is on the disk when this returns. The same refusal again changes nothing.

        Raises:
            OSError: the disk is full, the folder is not writable.
        """
        content = _content(label, expected_version, newest_version)
        data = (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
        folder = self.root / study
        make_folder(folder)
        # What was refused at another version may be settled already, and asks for somebody anew.
        if any(
            _content(each.label, each.expected_version, each.newest_version) == content
            for each in self.read(study)[0]
        ):
            return sync_folder(folder)  # whoever wrote it may not have done so yet
        number = newest_number(folder, label.task) + 1
        while True:
            try:
                return write_new(version_file(folder, label.task, number), data)
            except FileExistsError:
                number += 1

    def studies(self) -> list[str]:
        """The ids of the studies that have any, sorted."""
        try:
            return sorted(path.name for path in self.root.iterdir() if is_study_id(path.name))
        except FileNotFoundError:
            return []

    def read(self, study: str) -> tuple[list[SetAsideLabel], list[DamagedLabel]]:
        """Those of one study by task and number, and the files that should be some and are none."""
        found, damaged = [], []
        try:
            files = label_files(self.root / study)
        except PermissionError as error:
            return [], [DamagedLabel(study, "", 0, self.root / study, f"cannot be read: {error}")]
        for task, number, path in files:
            try:
                found.append(_read(study, task, number, path))
            except FileNotFoundError:
                continue
            except (OSError, LabelError, ValueError, KeyError, TypeError, RecursionError) as error:
                _logger.warning("%s is left out of the set-aside labels: %s", path, error)
                damaged.append(DamagedLabel(study, task, number, path, f"cannot be read: {error}"))
        return found, damaged


def conflict_error(
    study: str, label: StudyLabel, expected_version: int, newest_version: int, newest: SavedLabel | None
) -> LabelConflictError:
    """The error for a label that was set aside.

    Args:
        study: its id.
        label: the one that was set aside.
        expected_version: the version it was made upon; 0 for none.
        newest_version: the one that is the newest.
        newest: that version; None where it cannot be read.
    """
    by = f" by {newest.label.annotator}" if newest and newest.label.annotator else ""
    return LabelConflictError(
        f"{study}: this {label.task} label was made upon version {expected_version}, but the newest is "
        f"version {newest_version}{by}.",
        f"Yours was set aside, not lost. Look at both, and save again upon version {newest_version}.",
        expected_version=expected_version,
        newest_version=newest_version,
        newest=newest.label.to_json() if newest else None,
        yours=label.to_json(),
    )


def is_settled(aside: SetAsideLabel, history: Iterable[SavedLabel]) -> bool:
    """Whether the same annotator has saved a later version since; nobody knows who it was without a name.

    Versions are compared, not times: those do not survive a copy to another computer.
    """
    return bool(aside.label.annotator) and any(
        saved.version > aside.newest_version and saved.label.annotator == aside.label.annotator
        for saved in history
    )


def _content(label: StudyLabel, expected_version: int, newest_version: int) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "expected_version": expected_version,
        "newest_version": newest_version,
        "label": label.to_json(),
    }


def _read(study: str, task: str, number: int, path: Path) -> SetAsideLabel:
    content = json.loads(path.read_bytes())
    if content["schema"] != SCHEMA:
        raise LabelError(f"its schema is not {SCHEMA!r}.")
    return SetAsideLabel(
        study=study,
        task=task,
        number=number,
        label=StudyLabel.from_json(content["label"]),
        path=path,
        saved=time_of(path.stat()),
        expected_version=int(content["expected_version"]),
        newest_version=int(content["newest_version"]),
    )


def states_in_dispute(labels: Iterable[StudyLabel]) -> tuple[str, ...]:
    """The findings that have more than one state, sorted."""
    states: dict[str, set[str]] = {}
    for label in labels:
        for name, finding in label.findings.items():
            states.setdefault(name, set()).add(finding.state)
    return tuple(sorted(name for name, each in states.items() if len(each) > 1))
