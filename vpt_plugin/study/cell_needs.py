"""What a cell needs, and what its result depends on: studies, task, network, and the cells before it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vpt_plugin.data.manifest import Manifest
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.study.cell_folder import CellFolder
from vpt_plugin.study.cell_records import CellResult, Provenance
from vpt_plugin.study.cell_result import TrainedCell
from vpt_plugin.study.cell_studies import read_manifest
from vpt_plugin.study.cells import Cell
from vpt_plugin.study.facts import manifest_sha256, task_sha256
from vpt_plugin.study.plan import Plan
from vpt_plugin.study.rate_choice import choose_rate
from vpt_plugin.study.ready import published_source
from vpt_plugin.tasks import ReadingTask


@dataclass(frozen=True)
class CellNeeds:
    """What a cell needs; each is read when it is asked for, and then once.

    Attributes:
        cell: of the plan.
        plan: names the datasets and the sizes of networks.
        out: the study's folder.
        weights: where published weights lie.

    Raises:
        ConfigurationError: any of them, where a cell that has to be done first is not.
        ManifestError, WeightsError: any of them, where the studies or the weights cannot be had.
    """

    cell: Cell
    plan: Plan
    out: Path
    weights: WeightsFolder

    @property
    def folder(self) -> CellFolder:
        """Of the cell."""
        return CellFolder.of(self.out, self.cell.id)

    @cached_property
    def task(self) -> ReadingTask:
        """How its studies are read."""
        return self.plan.dataset(self.cell.dataset).reading_task()

    @cached_property
    def spec(self) -> ModelSpec:
        """The network, at the size that the plan gives it."""
        return self.plan.spec(self.cell.network)

    @cached_property
    def manifest(self) -> Manifest:
        """All studies of its dataset that are labelled for the task."""
        path = self.plan.dataset(self.cell.dataset).manifest_file()
        return read_manifest(Manifest.read(path), self.task)

    @cached_property
    def chosen(self) -> CellResult | None:
        """The search cell whose learning rate is taken; None where the rate is fixed."""
        if self.cell.learning_rate is not None:
            return None
        return choose_rate(
            [self._needed(name) for name in self.cell.search_cells if name not in self.untried]
        )

    @cached_property
    def untried(self) -> tuple[str, ...]:
        """The search cells that failed, for want of memory for example: the others choose, if any is done."""
        folders = [CellFolder.of(self.out, name) for name in self.cell.search_cells]
        failed = tuple(each.root.name for each in folders if each.result() is None and each.failure())
        return failed if len(failed) < len(folders) else ()

    @cached_property
    def start(self) -> CellResult | None:
        """The pretraining that it begins from; None for none."""
        return self._needed(self.cell.start_cell) if self.cell.start_cell else None

    @property
    def rate(self) -> float:
        """The learning rate: the fixed or the chosen one."""
        return self.chosen.learning_rate if self.chosen else self.cell.learning_rate or math.nan

    @cached_property
    def begins_from(self) -> TrainedCell | None:
        """The classifier of the pretraining that it begins from; None for none."""
        if self.start is None:
            return None
        folder = CellFolder.of(self.out, self.start.cell.id)
        return TrainedCell.of(folder, self.start.provenance.weights_sha256)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What its result depends on."""
        return {
            "cell": self.cell.to_json(),
            "manifest_sha256": manifest_sha256(self.manifest, self.task.name),
            "task_sha256": task_sha256(self.task),
            "pretrained_sha256": self._pretrained_sha256(),
            "start_sha256": self.start.provenance.weights_sha256 if self.start else "",
            "learning_rate": self.rate,
        }

    @property
    def hashes(self) -> dict[str, Any]:
        """Of the facts those that a result's provenance has."""
        names = asdict(Provenance())
        return {name: value for name, value in self.facts.items() if name in names}

    @property
    def trained_already(self) -> CellResult | None:
        """The search cell whose own training was this one, to the last fact; None for none."""
        if self.chosen is None or self.cell.stage != "final":
            return None
        tried = replace(self.cell, stage="search", learning_rate=self.rate, search_cells=())
        return self.chosen if tried == self.chosen.cell else None

    def _needed(self, name: str) -> CellResult:
        result = CellFolder.of(self.out, name).result()
        if result is None:
            raise ConfigurationError(
                f"{self.cell.id} needs {name}, which is not done.", "Run that one first."
            )
        return result

    def _pretrained_sha256(self) -> str:
        if self.start is not None:
            return self.start.provenance.pretrained_sha256
        if self.cell.arm == "none":
            return ""
        source = published_source(self.spec, self.weights)
        # Where there is none, verify says which file is missing, and which commands bring it here.
        return self.weights.verify(source or next(iter(self.spec.weights.values()))[0])
