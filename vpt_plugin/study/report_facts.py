"""StudyFacts: everything the report of an experiment is made of, read from the study's folder."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.splits import SPLITS
from vpt_plugin.errors import VptError
from vpt_plugin.labels import STATES
from vpt_plugin.study.datasets import StudyDataset
from vpt_plugin.study.differences import Difference, differences_of
from vpt_plugin.study.plan import Plan
from vpt_plugin.study.results import StudyResults
from vpt_plugin.study.rows import TableRow
from vpt_plugin.study.table import table_of
from vpt_plugin.tasks import ReadingTask

# Of this computer: it begins a word, and something follows the first slash.
_PATH = re.compile(r"(?<![^\s'\"(=])(?:[A-Za-z]:)?[/\\][^\s'\",;:()]+")
_HIDDEN = "The reason may name a study; it is in the training's failure.json."


@dataclass(frozen=True)
class DatasetFacts:
    """What is known about one set of studies of an experiment.

    Attributes:
        dataset: of the plan.
        task: how its studies are read; None where that can no longer be had.
        counts: by side and finding, how many studies have each state; empty where the manifest can no longer
            be read.
        studies, patients: by side.
        phantoms: how many of them are phantoms.
        names: of its studies and patients, which stand nowhere in a report; None where they cannot be read.
        missing: why there are no counts; "" where there are.
    """

    dataset: StudyDataset
    task: ReadingTask | None = None
    counts: Mapping[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)
    studies: Mapping[str, int] = field(default_factory=dict)
    patients: Mapping[str, int] = field(default_factory=dict)
    phantoms: int = 0
    names: frozenset[str] | None = None
    missing: str = ""

    @classmethod
    def read(cls, dataset: StudyDataset) -> DatasetFacts:
        """What the manifest and the task tell today."""
        try:
            task = dataset.reading_task()
        except VptError:
            return cls(dataset, names=_names_in(dataset.manifest), missing="its task can no longer be read.")
        try:
            studies = Manifest.read(dataset.manifest_file()).studies
        except (VptError, OSError):
            # The error would name a study.
            missing = "its manifest, or a file that it names, is no longer where it was; nothing was counted."
            return cls(dataset, task, names=_names_in(dataset.manifest), missing=missing)
        counts: dict[tuple[str, str], Counter[str]] = {}
        for each in studies:
            label = each.labels.get(task.name)
            for finding in task.findings:
                said = label.findings.get(finding) if label else None
                counter = counts.setdefault((each.split, finding), Counter(dict.fromkeys(STATES, 0)))
                counter[said.state if said else "not labelled"] += 1
        return cls(
            dataset,
            task,
            counts,
            Counter(each.split for each in studies),
            {side: len({each.patient for each in studies if each.split == side}) for side in SPLITS},
            sum(each.synthetic for each in studies),
            _names_in(dataset.manifest),
        )


@dataclass(frozen=True)
class StudyFacts:
    """Everything a report of an experiment is made of.

    Attributes:
        plan: that was run; None where the folder has none.
        results: of its cells.
        datasets: that were learned from, and that of the CT pretraining.
        rows: the table, each row the mean over the findings.
        finding_rows: those of single findings, where a task has several.
        differences: of ``rows``.
        failures: why a cell has no result, by its id, without the name of a study.
    """

    plan: Plan | None
    results: StudyResults
    datasets: tuple[DatasetFacts, ...]
    rows: tuple[TableRow, ...]
    finding_rows: tuple[TableRow, ...]
    differences: tuple[Difference, ...]
    failures: Mapping[str, str]

    @classmethod
    def read(cls, out: Path) -> StudyFacts:
        """From a study's folder.

        Raises:
            ConfigurationError: a file in it is damaged, or of another VPTCT.
        """
        # First the results: they refuse a plan that is damaged.
        results = StudyResults.read(out)
        plan = _plan(out)
        datasets = tuple(DatasetFacts.read(each) for each in plan.all_datasets) if plan else ()
        private = _Private.of(datasets, results)
        rows = [replace(row, note=private.hidden(row.note)) for row in table_of(results, each_finding=True)]
        of_means = tuple(row for row in rows if not row.finding)
        return cls(
            plan,
            results,
            datasets,
            of_means,
            tuple(row for row in rows if row.finding),
            differences_of(of_means),
            {name: private.hidden(said) for name, said in results.failures.items()},
        )

    @property
    def of_phantoms(self) -> bool:
        """Whether any study is a phantom."""
        return any(each.phantoms or each.dataset.phantoms for each in self.datasets)

    @property
    def trained_on(self) -> dict[tuple[str, float], int]:
        """How many studies the cells of a dataset and percent learned from."""
        found: dict[tuple[str, float], int] = {}
        for each in self.results.finals:
            part = each.cell.dataset, each.cell.percent
            found[part] = max(found.get(part, 0), each.train_studies)
        return found


@dataclass(frozen=True)
class _Private:
    """What must not be told: names of studies and patients, and where files lie on this computer."""

    names: frozenset[str]
    known: bool

    @classmethod
    def of(cls, datasets: Iterable[DatasetFacts], results: StudyResults) -> _Private:
        """Of all sets and answers; not ``known`` where the names of a set cannot be read."""
        of_answers = [{*each.studies, *each.patients} for each in results.answers.values()]
        found = [each.names for each in datasets]
        names = frozenset().union(*(each or () for each in found), *of_answers)
        return cls(names, bool(found) and None not in found)

    def hidden(self, text: str) -> str:
        """The text without them; where nobody knows which words are names, none of it."""
        if text and not self.known:
            return _HIDDEN
        text = _PATH.sub("(a path)", text)
        # The longest first: one name may be the beginning of another.
        for name in sorted((name for name in self.names if name and name in text), key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "(a study)", text)
        return text


def _plan(out: Path) -> Plan | None:
    try:
        return Plan.from_json(json.loads((out / "plan.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def _names_in(manifest: Path | None) -> frozenset[str] | None:
    """Of the studies and patients in a manifest, whether or not their files are still there."""
    try:
        with (manifest or Path()).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    return frozenset(row[column] for row in rows for column in ("study", "patient") if row.get(column))
