"""What the paper's plan costs: clips, hours on a measured device, and arithmetic, per network.

All is counted from the plan itself; seconds per clip are measured (``training_step.py``), and the number of
epochs is assumed. For another device, measure there and give the file that it wrote:

    python benchmarks/experiment_cost.py --measured benchmarks/results/training_step.json
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vpt_plugin.ct.clips import clip_starts
from vpt_plugin.study.cells import Cell
from vpt_plugin.study.plan import Plan

# A training of the paper's plan stops five epochs after its best one, and at 50 at the latest.
EPOCHS = 15


@dataclass(frozen=True)
class Size:
    """Studies on the three sides, and slices of a study in the mean."""

    train: int
    validation: int
    test: int
    slices: int


# As published; 1,790,594 slices of 7,279 studies and 243,958 of 1,018. Of RadFusion the slices are a guess.
SETS = {
    "rsna": Size(5095, 1092, 1092, 246),
    "lidc": Size(714, 152, 152, 240),
    "ct_set": Size(868, 186, 187, 240),
}
# Seconds per clip (2D: slice) of a training step and of an answer; docs/finetuning.md says on what machine.
# LRCN was not measured.
MEASURED: Mapping[str, tuple[float, float]] = {
    "slow_r50": (1.62, 0.42),
    "slowfast_r50": (0.78, 0.16),
    "csn_r101": (1.36, 0.20),
    "r2plus1d_r50": (1.28, 0.30),
    "mvit_b": (3.16, 0.78),
    "swin_t": (1.53, 0.52),
    "penet": (0.53, 0.15),
    "resnet18_2d": (0.09, 0.010),
    "resnext101_2d": (0.37, 0.095),
}
# Of an answer to one clip (2D: one slice; LRCN: 150 of them), counted by torch's FlopCounterMode.
GIGAFLOP: Mapping[str, float] = {
    "slow_r50": 329, "slowfast_r50": 96, "csn_r101": 98, "r2plus1d_r50": 225, "mvit_b": 337, "swin_t": 175,
    "penet": 63, "resnet18_2d": 3.5, "resnext101_2d": 32.7, "lrcn": 150 * 32.7,
}  # fmt: skip
# A step is an answer and twice as much backwards; of LRCN's frozen encoder nothing is computed backwards.
STEP_TO_ANSWER = {name: 1.0 if name == "lrcn" else 3.0 for name in GIGAFLOP}


@dataclass(frozen=True)
class Work:
    """Clips of a cell that are trained on, and that are only answered."""

    steps: float
    answers: float

    def cost(self, step: float, answer: float) -> float:
        """In whatever a step and an answer of one clip cost."""
        return self.steps * step + self.answers * answer


def clips_of_study(plan: Plan, cell: Cell) -> int:
    """Clips that cover a study of the mean length; of a 2D network, slices."""
    spec, task = plan.spec(cell.network), plan.dataset(cell.dataset).reading_task()
    length, stride = task.clips.length(spec.clip_slices), task.clips.stride(spec.clip_slices)
    return len(clip_starts(SETS[cell.dataset].slices, length=length, stride=stride))


def work_of(plan: Plan, cell: Cell, epochs: int = EPOCHS) -> Work:
    """One cell: its epochs, each with the validation after it, and the look at the test side."""
    size, clips = SETS[cell.dataset], clips_of_study(plan, cell)
    tested = size.test if cell.stage == "final" else 0
    return Work(
        epochs * clips * math.ceil(size.train * cell.percent / 100),
        clips * (epochs * size.validation + tested),
    )


def rows(measured: Mapping[str, tuple[float, float]] = MEASURED) -> list[tuple[str, ...]]:
    """Per network: trainings, clips in an epoch of RSNA-PE, its hours, hours of all, exaFLOP of all."""
    plan = Plan.read("paper")
    found: list[tuple[str, ...]] = []
    for network in plan.networks:
        cells = [cell for cell in plan.cells() if cell.network == network]
        work = [work_of(plan, cell) for cell in cells]
        all_of_them = Work(sum(each.steps for each in work), sum(each.answers for each in work))
        whole = next(cell for cell in cells if (cell.dataset, cell.percent) == ("rsna", 100))
        clips = SETS["rsna"].train * clips_of_study(plan, whole)
        epoch, hours = "n/a", "n/a"
        if network in measured:
            epoch = f"{clips * measured[network][0] / 3600:,.0f}"
            hours = f"{all_of_them.cost(*measured[network]) / 3600:,.0f}"
        flop = all_of_them.cost(STEP_TO_ANSWER[network], 1) * GIGAFLOP[network] / 1e9
        found.append((network, str(len(cells)), f"{clips:,}", epoch, hours, f"{flop:,.1f}"))
    return found


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measured", type=Path, help="what training_step.py wrote on the device")
    arguments = parser.parse_args()
    measured = MEASURED
    if arguments.measured:
        ways = json.loads(arguments.measured.read_text(encoding="utf-8"))["rows"]
        measured = {
            name: (each["1"]["seconds_per_clip"], each["answer"]["seconds_per_clip"])
            for name, each in ways.items()
        }
    for row in rows(measured):
        print("| " + " | ".join((f"`{row[0]}`", *row[1:])) + " |")


if __name__ == "__main__":
    main()
