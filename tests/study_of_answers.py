"""Experiments for tests, made of nothing but what their cells said of the test studies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vpt_plugin.models.card import Estimate
from vpt_plugin.study.cell_records import Answers, CellResult, Provenance
from vpt_plugin.study.cells import Cell
from vpt_plugin.study.results import StudyResults

Said = Mapping[str, ArrayLike]


def a_cell(
    network: str,
    arm: str,
    *,
    percent: float = 100,
    seed: int = 0,
    dataset: str = "site",
    stage: str = "final",
) -> Cell:
    return Cell(stage, dataset, "pe", network, arm, percent, seed, 1e-3)


@dataclass(frozen=True)
class Answered:
    """A cell that is done; its studies are s00, s01, ... and each is of a patient of its own, unless named.

    Attributes:
        cell: the cell.
        states, said: by finding, of every study.
        studies, patients: their names.
        validation: its AUROC on the validation side.
        collapsed: whether its network gives all studies one answer.
    """

    cell: Cell
    states: Said
    said: Said
    studies: Sequence[str] = ()
    patients: Sequence[str] = ()
    validation: float = math.nan
    collapsed: bool = False

    @property
    def answers(self) -> Answers:
        number = len(np.asarray(next(iter(self.states.values()))))
        names = tuple(self.studies) or tuple(f"s{each:02}" for each in range(number))
        return Answers(
            self.cell.id, tuple(self.states), names, tuple(self.patients) or names,
            np.array([np.asarray(each, dtype=float) for each in self.states.values()]).T,
            np.array([np.asarray(self.said[finding], dtype=float) for finding in self.states]).T,
        )  # fmt: skip

    @property
    def result(self) -> CellResult:
        estimates = {finding: Estimate(self.validation, (math.nan, math.nan), 20) for finding in self.states}
        return CellResult(
            self.cell, estimates, estimates, 0.5, 1e-3, 2, 10, 50, 20, 30, self.collapsed, False, 1.0,
            Provenance(),
        )  # fmt: skip


def study_of(
    *done: Answered, failures: Sequence[tuple[Cell, str]] = (), not_done: Sequence[Cell] = ()
) -> StudyResults:
    return StudyResults(
        tuple(each.result for each in done),
        {each.cell.id: each.answers for each in done},
        {cell.id: said for cell, said in failures},
        (*(each.cell for each in done), *(cell for cell, _ in failures), *not_done),
    )
