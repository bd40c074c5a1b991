"""A look at the worklist of a folder of labels: what is in readers' hands, skipped or damaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vpt_plugin.store.lease_file import FILE_NAME, DamagedLeasesError, LeaseFile, damaged_lease_files
from vpt_plugin.store.leases import FOLDER, LeaseBook
from vpt_plugin.store.worklist_history import FILE_NAME as HISTORY_NAME
from vpt_plugin.store.worklist_history import WorklistHistory


@dataclass(frozen=True)
class ClosedStudy:
    """A study that nobody is offered for a task, because of who skipped it and why.

    Attributes:
        study: its id.
        task: it was skipped for.
        reasons: by reader, as they said it.
    """

    study: str
    task: str
    reasons: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class WorklistCheck:
    """What the folder ``worklist`` of a folder of labels holds. No label depends on it.

    Attributes:
        held: how many studies are in readers' hands at the moment.
        closed: skipped so that nobody is offered them, by task and study.
        damaged: files and what is wrong with them.
    """

    held: int = 0
    closed: tuple[ClosedStudy, ...] = ()
    damaged: tuple[tuple[Path, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "held": self.held,
            "closed": [
                {"study": each.study, "task": each.task, "reasons": [reason for _, reason in each.reasons]}
                for each in self.closed
            ],
            "damaged": [{"path": str(path), "problem": problem} for path, problem in self.damaged],
        }


def check_worklist(labels_root: Path) -> WorklistCheck:
    """Look at the worklist; changes nothing.

    Args:
        labels_root: the folder of labels; need not be there, nor have a worklist.
    """
    folder = labels_root / FOLDER
    damaged = [(path, "was damaged and set aside; it may be deleted") for path in damaged_lease_files(folder)]
    book = LeaseBook(folder)
    try:
        history = book.history()
    except OSError as error:
        problem = (folder / HISTORY_NAME, f"cannot be read: {error.strerror}")
        return WorklistCheck(damaged=(*damaged, problem))
    if history.damaged_lines:
        lines = "line is" if history.damaged_lines == 1 else "lines are"
        damaged.append((folder / HISTORY_NAME, f"{history.damaged_lines} {lines} left out; the others count"))
    try:
        LeaseFile(folder / FILE_NAME).read()
    except DamagedLeasesError as error:
        damaged.append((folder / FILE_NAME, f"{error}; it begins again from the history"))
    except OSError as error:
        problem = (folder / FILE_NAME, f"cannot be read: {error.strerror}")
        return WorklistCheck(closed=_closed(history), damaged=(*damaged, problem))
    return WorklistCheck(len(book.held()), _closed(history), tuple(damaged))


def _closed(history: WorklistHistory) -> tuple[ClosedStudy, ...]:
    found = []
    for task in sorted({skip.task for skip in history.skips}):
        closed = history.skipped_for_all(task)
        reasons: dict[str, dict[str, str]] = {}
        for skip in history.skips:
            if skip.task == task and skip.study in closed:
                reasons.setdefault(skip.study, {})[skip.reader] = skip.reason
        found += [ClosedStudy(study, task, tuple(said.items())) for study, said in sorted(reasons.items())]
    return tuple(found)
