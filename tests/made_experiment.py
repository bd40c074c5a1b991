"""A study's folder with made-up results, as if its trainings had been done; for tests of its report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vpt_plugin.data.manifest import Manifest, ManifestStudy
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.models.card import Estimate
from vpt_plugin.study.cell_folder import CellFolder
from vpt_plugin.study.cell_records import Answers, CellResult, Failure, Provenance
from vpt_plugin.study.cells import Cell
from vpt_plugin.study.plan import Plan

SIDES = {"train": 40, "validation": 10, "test": 30}
PLAN = """
title: {title}
datasets:
  {dataset}:
    task: nodule
    manifest: manifest.csv
    arms: {arms}
networks: [{networks}]
seeds: [{seeds}]
learning_rates: [{rates}]
"""
CT = """
ct:
  other:
    task: nodule
    manifest: manifest.csv
"""
# How far the answers of present studies lie above those of absent ones, in deviations, by arm.
SHIFTS = {"none": 0.3, "video": 1.6, "ct": 0.6, "video+ct": 1.5}


def write_manifest(folder: Path, *, name: str = "study", synthetic: bool = False) -> Path:
    """80 studies, every other one with a nodule: 40, 10 and 30 on the sides."""
    sides = [side for side, number in SIDES.items() for _ in range(number)]
    studies = tuple(
        ManifestStudy(
            f"{name}-{number:03}", folder / f"{name}-{number:03}.nrrd", f"patient-{number:03}", side,
            {"nodule": StudyLabel(task="nodule", findings={"lung_nodule": FindingLabel(_state(number))})},
            synthetic,
        )
        for number, side in enumerate(sides)
    )  # fmt: skip
    for study in studies:
        study.path.touch()
    Manifest(studies).write(folder / "manifest.csv")
    return folder / "manifest.csv"


def _state(number: int) -> str:
    return "present" if number % 2 else "absent"


def make_experiment(
    folder: Path,
    *,
    dataset: str = "lidc",
    title: str = "A made-up experiment",
    arms: str = "{100: [none, video], 10: [none, video]}",
    networks: Sequence[str] = ("slow_r50", "swin_t", "resnet18_2d"),
    seeds: Sequence[int] = (0, 1),
    rates: Sequence[str] = ("1.0e-3",),
    missing: Callable[[Cell], bool] = lambda cell: False,
    failing: Callable[[Cell], str] = lambda cell: "",
    collapsed: Callable[[Cell], bool] = lambda cell: False,
    synthetic: bool = False,
) -> Path:
    """The study's folder, ``folder/out``.

    Args:
        folder: for the manifest, the plan and the study.
        dataset, title, arms, networks, seeds, rates: of the plan; with CT among the arms, it has a CT set.
        missing: cells that are not done.
        failing: what a cell failed with; "" for those that are done.
        collapsed: cells that give every study the same answer.
        synthetic: whether the studies are phantoms.
    """
    write_manifest(folder, synthetic=synthetic)
    text = PLAN.format(
        title=json.dumps(title), dataset=dataset, arms=arms, networks=", ".join(networks),
        seeds=", ".join(map(str, seeds)), rates=", ".join(rates),
    )  # fmt: skip
    (folder / "plan.yaml").write_text(text + (CT if "ct" in arms else ""), encoding="utf-8")
    plan = Plan.read(str(folder / "plan.yaml"))
    out = folder / "out"
    out.mkdir()
    (out / "plan.json").write_text(json.dumps(plan.to_json()), encoding="utf-8")
    for number, cell in enumerate(plan.cells()):
        if missing(cell):
            continue
        files = CellFolder.of(out, cell.id)
        files.write_cell(cell)
        if said := failing(cell):
            files.write_failure(Failure(said))
        else:
            write_result(files, cell, number, collapsed=collapsed(cell))
    return out


def write_result(files: CellFolder, cell: Cell, number: int = 0, *, collapsed: bool = False) -> None:
    """A cell's result and answers, drawn from its number."""
    final = cell.stage == "final"
    first = SIDES["train"] + SIDES["validation"]
    numbers = range(first, first + SIDES["test"])
    states = np.array([[float(each % 2)] for each in numbers])
    rng = np.random.default_rng(number)
    noise = rng.normal(size=states.shape) + SHIFTS[cell.arm] * states * cell.percent**0.1
    answers = Answers(
        cell.id, ("lung_nodule",), tuple(f"study-{each:03}" for each in numbers),
        tuple(f"patient-{each:03}" for each in numbers), states,
        np.full(states.shape, 0.5) if collapsed else 1 / (1 + np.exp(-noise)),
    )  # fmt: skip
    known = Estimate(0.7 + 0.01 * number % 0.2, (0.6, 0.9), 10)
    result = CellResult(
        cell=cell,
        auroc={"lung_nodule": known} if final else {},
        validation_auroc={"lung_nodule": known},
        validation_log_loss=0.6,
        learning_rate=cell.learning_rate or 1e-3,
        epochs=7,
        steps_per_epoch=25,
        train_studies=max(1, round(SIDES["train"] * cell.percent / 100)),
        validation_studies=SIDES["validation"],
        test_studies=SIDES["test"] if final else 0,
        collapsed=collapsed,
        diverged=False,
        seconds=1800.0,
        provenance=Provenance(
            manifest_sha256="a" * 64, task_sha256="b" * 64, pretrained_sha256="c" * 64,
            weights_sha256="d" * 64, split_hash="e" * 64, labels_hash="f" * 64, code_version="0.1.0",
            code_commit="1234567890abcdef", torch="2.13.0", device="cpu", precision="float32", threads=2,
            finished="2026-11-21T16:00:00Z",
        ),
    )  # fmt: skip
    files.write_result(result, answers if final else None)
