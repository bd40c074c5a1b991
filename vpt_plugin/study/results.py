"""The results of an experiment, read from the study's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.study.cell_folder import CellFolder, read_json
from vpt_plugin.study.cell_records import Answers, CellResult
from vpt_plugin.study.cells import Cell
from vpt_plugin.study.plan import Plan


@dataclass(frozen=True)
class StudyResults:
    """The results of an experiment.

    Attributes:
        cells: those that are done, of every stage, in the plan's order where there is a plan.
        answers: by the id of the cell; those of the final cells.
        failures: by the id of the cell, what went wrong the last time, where it is not done.
        planned: the cells of the plan, done or not; where there is no plan, those that were begun.
    """

    cells: tuple[CellResult, ...]
    answers: Mapping[str, Answers] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    planned: tuple[Cell, ...] = ()

    @property
    def finals(self) -> tuple[CellResult, ...]:
        """The results that the experiment is about."""
        return tuple(each for each in self.cells if each.cell.stage == "final")

    @classmethod
    def read(cls, out: Path) -> StudyResults:
        """What lies in a study's folder; of the cells of its ``plan.json`` where it has one.

        Raises:
            ConfigurationError: a file in it is damaged, of another VPTCT, or of another plan than that.
        """
        planned = _planned(out)
        folders = {cell.id: CellFolder.of(out, cell.id) for cell in planned}
        found = {name: folder.result() for name, folder in folders.items()}
        done = {name: result for name, result in found.items() if result is not None}
        _require_planned(done, planned, out)
        answers = {name: folders[name].answers() for name in done}
        failures = {name: folder.failure() for name, folder in folders.items() if name not in done}
        return cls(
            tuple(done.values()),
            {name: each for name, each in answers.items() if each is not None},
            {name: said.in_words() for name, said in failures.items() if said is not None},
            planned,
        )

    def write_tables(self, out: Path) -> None:
        """Write ``results.csv``, ``results.parquet`` and ``answers.parquet`` into the study's folder.

        Raises:
            ConfigurationError: pyarrow is not installed.
        """
        from vpt_plugin.study.result_tables import write_tables

        write_tables(self, out)


def _planned(out: Path) -> tuple[Cell, ...]:
    data = read_json(out / "plan.json")
    if data is not None:
        return Plan.from_json(data).cells()
    files = sorted((out / "cells").glob("*/cell.json"))
    return tuple(Cell.from_json(read_json(path)) for path in files)


def _require_planned(done: Mapping[str, CellResult], planned: tuple[Cell, ...], out: Path) -> None:
    """Results of two plans never stand in one table."""
    for cell in planned:
        if cell.id in done and done[cell.id].cell != cell:
            raise ConfigurationError(
                f"{cell.id} is done in {out}, but not as its plan.json says.",
                "Run vpt study there again with the plan that is meant: it names what differs.",
            )
