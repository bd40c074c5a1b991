"""StudyFacts: everything the report of an experiment is made of, read from the study's folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.splits import SPLITS
from vpt_plugin.errors import VptError
from vpt_plugin.labels import STATES
from vpt_plugin.study.cell_folder import CellFolder
from vpt_plugin.study.datasets import StudyDataset
from vpt_plugin.study.differences import Difference, differences_of
from vpt_plugin.study.plan import Plan
from vpt_plugin.study.report_reasons import reason_to_tell
from vpt_plugin.study.results import StudyResults
from vpt_plugin.study.rows import TableRow
from vpt_plugin.study.table import table_of
from vpt_plugin.tasks import ReadingTask


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
        missing: why there are no counts; "" where there are.
    """

    dataset: StudyDataset
    task: ReadingTask | None = None
    counts: Mapping[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)
    studies: Mapping[str, int] = field(default_factory=dict)
    patients: Mapping[str, int] = field(default_factory=dict)
    phantoms: int = 0
    missing: str = ""

    @classmethod
    def read(cls, dataset: StudyDataset) -> DatasetFacts:
        """What the manifest and the task tell today."""
        try:
            task = dataset.reading_task()
        except VptError:
            return cls(dataset, missing="its task can no longer be read.")
        try:
            studies = Manifest.read(dataset.manifest_file()).studies
        except (VptError, OSError):
            # The error would name a study.
            missing = "its manifest, or a file that it names, is no longer where it was; nothing was counted."
            return cls(dataset, task, missing=missing)
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
        )


@dataclass(frozen=True)
class StudyFacts:
    """Everything a report of an experiment is made of.

    Attributes:
        plan: that was run; None where the folder has none.
        results: of its cells; why a cell failed in words that name no study.
        datasets: that were learned from, and that of the CT pretraining.
        rows: the table, each row the mean over the findings.
        finding_rows: those of single findings, where a task has several.
        differences: of ``rows``.
    """

    plan: Plan | None
    results: StudyResults
    datasets: tuple[DatasetFacts, ...]
    rows: tuple[TableRow, ...]
    finding_rows: tuple[TableRow, ...]
    differences: tuple[Difference, ...]

    @classmethod
    def read(cls, out: Path) -> StudyFacts:
        """From a study's folder.

        Raises:
            ConfigurationError: a file in it is damaged, or of another VPTCT.
        """
        # First the results: they refuse a plan that is damaged.
        results = _told(StudyResults.read(out), out)
        plan = _plan(out)
        datasets = tuple(DatasetFacts.read(each) for each in plan.all_datasets) if plan else ()
        rows = table_of(results, each_finding=True)
        of_means = tuple(row for row in rows if not row.finding)
        return cls(
            plan,
            results,
            datasets,
            of_means,
            tuple(row for row in rows if row.finding),
            differences_of(of_means),
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


def _told(results: StudyResults, out: Path) -> StudyResults:
    """The same with the reasons that may be told, which stand in notes of rows, too."""
    said = {name: CellFolder.of(out, name).failure() for name in results.failures}
    return replace(results, failures={name: reason_to_tell(each) for name, each in said.items() if each})


def _plan(out: Path) -> Plan | None:
    try:
        return Plan.from_json(json.loads((out / "plan.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
