"""The cells of a plan: which trainings there are, and which of them have to be done first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vpt_plugin.study.cells import Cell

if TYPE_CHECKING:
    from vpt_plugin.study.datasets import StudyDataset
    from vpt_plugin.study.plan import Plan

# The arms with CT -> what their pretraining begins from.
_BEGINS_FROM = {"ct": "none", "video+ct": "video"}


def cells_of(plan: Plan) -> tuple[Cell, ...]:
    """All trainings of a plan, in an order in which what is needed comes first.

    Of every network first the pretrainings on the CT set that its arms ask for, then dataset by dataset each
    arm; before what is wanted, the search for its learning rate where several are given.
    """
    cells: list[Cell] = []
    for network in plan.networks:
        cells += _pretrainings(plan, network)
        for dataset in plan.datasets:
            for arm in dict.fromkeys(arm for arms in dataset.arms.values() for arm in arms):
                cells += _of_arm(plan, network, dataset, arm)
    return tuple(cells)


def _pretrainings(plan: Plan, network: str) -> list[Cell]:
    arms = {arm for dataset in plan.datasets for own in dataset.arms.values() for arm in own}
    if plan.ct is None:
        return []
    cells = []
    for begun in (begun for arm, begun in _BEGINS_FROM.items() if arm in arms):
        wanted = _cell(plan, "pretrain", plan.ct, network, begun)
        cells += _searched(plan, [wanted])
    return cells


def _of_arm(plan: Plan, network: str, dataset: StudyDataset, arm: str) -> list[Cell]:
    percents = [percent for percent, arms in dataset.arms.items() if arm in arms]
    wanted = [
        replace(_cell(plan, "final", dataset, network, arm), percent=percent, seed=seed)
        for percent in percents
        for seed in plan.seeds
    ]
    return _searched(plan, wanted)


def _searched(plan: Plan, wanted: list[Cell]) -> list[Cell]:
    """These cells of one network, dataset and arm, after the search for their learning rate."""
    rates = plan.rates_of(wanted[0].network)
    if len(rates) == 1:
        return [replace(cell, learning_rate=rates[0]) for cell in wanted]
    tried = replace(wanted[0], stage="search", percent=plan.search_percent, seed=plan.seeds[0])
    searches = [replace(tried, learning_rate=rate) for rate in rates]
    ids = tuple(cell.id for cell in searches)
    return [*searches, *(replace(cell, search_cells=ids) for cell in wanted)]


def _cell(plan: Plan, stage: str, dataset: StudyDataset, network: str, arm: str) -> Cell:
    """All of the training side with the first seed."""
    cell = Cell(
        stage, dataset.name, dataset.reading_task().name, network, arm, 100.0, plan.seeds[0], None,
        plan.training_of(network), plan.sizes.get(network),
    )  # fmt: skip
    if stage == "pretrain" or arm not in _BEGINS_FROM or plan.ct is None:
        return cell
    begun = _cell(plan, "pretrain", plan.ct, network, _BEGINS_FROM[arm])
    return replace(cell, start_cell=begun.id)
