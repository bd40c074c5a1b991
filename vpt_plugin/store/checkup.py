"""A look at a folder of labels as a person would want it: what counts, and what needs somebody."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vpt_plugin.ct.files import KINDS
from vpt_plugin.durable import find_leftovers
from vpt_plugin.store.label_conflicts import SetAsideLabel
from vpt_plugin.store.label_versions import DamagedLabel, SavedLabel
from vpt_plugin.store.labels import Disagreement, LabelFolder
from vpt_plugin.store.stock import StockFile
from vpt_plugin.store.worklist_check import WorklistCheck, check_worklist

SCHEMA = "vptct.labels-check/1"


@dataclass(frozen=True)
class Orphan:
    """A study that has labels and is not there.

    Attributes:
        study: the id under which the labels lie.
        tasks: what it is labelled for.
        moved_to: the id of the one study without labels whose file or folder has the same name, be
            it of another kind of file; "" where there is none, or more than one.
    """

    study: str
    tasks: tuple[str, ...]
    moved_to: str = ""


@dataclass(frozen=True)
class Checkup:
    """What a folder of labels holds.

    Attributes:
        counts: by task, how many studies have each state by their newest label.
        labelled: how many studies have a label.
        studies: how many studies there are; None where nobody knows.
        damaged: files that should be labels and are none.
        orphans: studies that have labels and are not there.
        set_aside: labels that were refused in a conflict, whose annotators have not saved a later one.
        disagreements: studies whose annotators' newest labels differ.
        stock: what a stock MONAI Label left there.
        leftovers: what killed processes left there; a server sweeps it when it starts.
        worklist: which studies are in readers' hands, or skipped; no label depends on it.
    """

    counts: Mapping[str, Mapping[str, int]]
    labelled: int
    studies: int | None
    damaged: tuple[DamagedLabel, ...] = ()
    orphans: tuple[Orphan, ...] = ()
    set_aside: tuple[SetAsideLabel, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    stock: tuple[StockFile, ...] = ()
    leftovers: tuple[Path, ...] = ()
    worklist: WorklistCheck = field(default_factory=WorklistCheck)

    @property
    def needs_a_person(self) -> bool:
        """Whether somebody must decide something. Disagreeing readers are no fault of the folder."""
        return bool(self.damaged or self.orphans or self.set_aside)

    def to_json(self) -> dict[str, Any]:
        """All of it, for programs: ``vptct.labels-check/1``."""
        return {
            "schema": SCHEMA,
            "needs_a_person": self.needs_a_person,
            "labelled": self.labelled,
            "studies": self.studies,
            "counts": {task: dict(states) for task, states in self.counts.items()},
            "damaged": [
                {"study": each.study, "path": str(each.path), "problem": each.problem}
                for each in self.damaged
            ],
            "orphans": [
                {"study": each.study, "tasks": list(each.tasks), "moved_to": each.moved_to}
                for each in self.orphans
            ],
            "set_aside": [
                {
                    "study": each.study,
                    "task": each.task,
                    "annotator": each.label.annotator,
                    "saved": each.saved,
                    "expected_version": each.expected_version,
                    "newest_version": each.newest_version,
                    "path": str(each.path),
                }
                for each in self.set_aside
            ],
            "disagreements": [
                {
                    "study": each.study,
                    "task": each.task,
                    "findings": list(each.findings),
                    "annotators": {name: saved.version for name, saved in sorted(each.labels.items())},
                }
                for each in self.disagreements
            ],
            "stock": [{"path": str(each.path), "what": each.what} for each in self.stock],
            "leftovers": [str(path) for path in self.leftovers],
            "worklist": self.worklist.to_json(),
        }


def check_labels(
    labels: LabelFolder, studies: Collection[str] | None, stock: Collection[StockFile] = ()
) -> Checkup:
    """Look at everything in a folder of labels; changes nothing.

    Args:
        labels: the folder.
        studies: the ids of the studies that are there; None where nobody knows.
        stock: what a stock MONAI Label left there.
    """
    newest = labels.newest()
    tasks = sorted({saved.task for saved in newest})
    return Checkup(
        counts={task: labels.counts(task) for task in tasks},
        labelled=len({saved.study for saved in newest}),
        studies=None if studies is None else len(studies),
        damaged=tuple(labels.damaged()),
        orphans=() if studies is None else _orphans(newest, studies, labels),
        set_aside=tuple(aside for aside in labels.conflicts() if not aside.settled),
        disagreements=tuple(labels.disagreements()),
        stock=tuple(stock),
        leftovers=tuple(find_leftovers(labels.root)),
        worklist=check_worklist(labels.root),
    )


def _orphans(
    newest: Collection[SavedLabel], studies: Collection[str], labels: LabelFolder
) -> tuple[Orphan, ...]:
    tasks: dict[str, list[str]] = {}
    for saved in newest:
        tasks.setdefault(saved.study, []).append(saved.task)
    there = frozenset(studies)
    places: dict[str, list[str]] = {}
    # Where there is a folder already, be it of damaged labels alone, `mv` would move the other one into it.
    taken = {*labels.labelled(), *(aside.study for aside in labels.conflicts())}
    for study in there - taken:
        places.setdefault(_own_name(study), []).append(study)
    orphans = []
    for study in sorted(tasks.keys() - there):
        candidates = places.get(_own_name(study), [])
        moved_to = candidates[0] if len(candidates) == 1 else ""
        orphans.append(Orphan(study, tuple(tasks[study]), moved_to))
    return tuple(orphans)


def _own_name(study: str) -> str:
    """The name of the study's own file or folder, without the folders around it and the kind of its file."""
    name = study.rpartition("--")[2]
    return next((name[: -len(kind)] for kind in KINDS if name.lower().endswith(kind)), name)
