"""What each strategy is worth where findings are rare: labels against AUROC, on phantoms with `tiny`.

A set of 360 phantoms of the nodule task, 80 with nodules. For each seed four patients of ten are held out;
of the others as many studies with nodules are left out as leave 10 %: about 185 to choose from, 18 of them
with nodules. From no label at all, eight labels a round. `tiny` has no published weights, so 300 steps on
other phantoms stand for pretraining: on some with larger nodules (`elsewhere`), or on some like those of the
set (`alike`). Both know something of nodules, and not enough. Four parts:

head        the head alone, on the frozen features of the start elsewhere: 20 seeds, 64 labels, a minute
alike       the same with the other start: what is found must not hang on one of them
untrained   the same on the features of a network with random weights
network     the trainer of `vpt finetune`, 60 steps from the start elsewhere after every round: 5 seeds,
            40 labels

The parts leave a CSV, a JSON and a figure each. The first run makes the phantoms and the starts (8 minutes of
one core), `network` takes about an hour of one core; `--folder` keeps all of it, and what is there is not
computed again.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

# Before torch is loaded: its threads otherwise spin while they wait.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from rich.console import Console

from vpt_plugin.active.simulation.settings import SimulationSettings
from vpt_plugin.active.simulation.setup import Setup, set_up
from vpt_plugin.active.simulation.simulate import run_replays, simulate
from vpt_plugin.active.simulation.summary import StrategySummary
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.phantom import PhantomConfig, write_phantom_set
from vpt_plugin.models.card import Estimate
from vpt_plugin.models.catalog import get_model
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import finetune
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.sources import ManifestSource

TASK, SPEC = TASKS["nodule"], get_model("tiny")
STUDIES, WITH_NODULES, SEED = 360, 80, 11
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Start:
    """Phantoms that the network knows before the first label.

    Attributes:
        seed: of them.
        phantoms: what they are drawn from.
    """

    seed: int
    phantoms: PhantomConfig


STARTS: Mapping[str, Start] = {
    "elsewhere": Start(23, PhantomConfig(nodule_diameters_mm=(30.0, 50.0), nodule_counts=(2, 4))),
    "alike": Start(22, PhantomConfig()),
}
START_SIDES = (102, 18, 0)
_STARTED = {"pretraining": "ct", "start": f"{TASK.name}_{SPEC.name}:1"}


@dataclass(frozen=True)
class Part:
    """One part of the benchmark.

    Attributes:
        settings: of the simulation.
        config: what the network starts from, and how it is trained.
        start: a key of ``STARTS``; "" for none.
    """

    settings: SimulationSettings
    config: FinetuneConfig
    start: str = ""


_RARE = SimulationSettings(prevalence=0.1, test_share=0.4, target=0.9)
_MANY = replace(_RARE, seeds=tuple(range(20)), budget=64)
PARTS: Mapping[str, Part] = {
    "head": Part(_MANY, FinetuneConfig.from_dict(_STARTED), "elsewhere"),
    "alike": Part(_MANY, FinetuneConfig.from_dict(_STARTED), "alike"),
    "untrained": Part(_MANY, FinetuneConfig(pretraining="none")),
    "network": Part(
        replace(_RARE, seeds=tuple(range(5)), budget=40, learner="network"),
        FinetuneConfig.from_dict(
            _STARTED
            | {"epochs": 1, "steps_per_epoch": 60, "learning_rate": 0.001, "augmentation": "light"}
        ),
        "elsewhere",
    ),
}  # fmt: skip


def phantoms(folder: Path) -> Manifest:
    """The set that is replayed; what is there already is taken."""
    manifest = folder / "manifest.csv"
    if not manifest.exists():
        write_phantom_set(
            folder, count=STUDIES, seed=SEED, task=TASK.name, formats=("nrrd",),
            splits=(STUDIES, 0, 0), prevalence=WITH_NODULES / STUDIES,
        )  # fmt: skip
    return Manifest.read(manifest)


def pretrain(folder: Path, start: str) -> ModelStore:
    """Where version 1 of `tiny` is the one trained on the phantoms of this start; made once."""
    store = ModelStore(folder / f"{start}-models")
    if store.cards():
        return store
    manifest = folder / f"{start}-phantoms" / "manifest.csv"
    if not manifest.exists():
        write_phantom_set(
            manifest.parent, count=sum(START_SIDES), seed=STARTS[start].seed, task=TASK.name,
            formats=("nrrd",), splits=START_SIDES, config=STARTS[start].phantoms,
        )  # fmt: skip
    read = Manifest.read(manifest)
    # All sets count their patients from 1, and these are others.
    others = tuple(replace(study, patient=f"{start} {study.patient}") for study in read.studies)
    config = FinetuneConfig(pretraining="none", epochs=3, steps_per_epoch=100)
    finetune(
        ManifestSource(replace(read, studies=others)), TASK, SPEC, config,
        store=store, cache=folder / "prepared", report=False,
    )  # fmt: skip
    return store


@cache
def setup_of(part: str, folder: Path) -> Setup:
    """Studies and learner of a part, once per process."""
    torch.set_num_threads(1)
    start = PARTS[part].start
    store = pretrain(folder, start) if start else ModelStore(folder / "none-models")
    return set_up(
        ManifestSource(phantoms(folder / "pool")), TASK, SPEC, PARTS[part].config,
        learner=PARTS[part].settings.learner, store=store, cache=folder / "prepared", device="cpu",
    )  # fmt: skip


def replay_one(part: str, folder: Path, settings: SimulationSettings) -> str:
    """One strategy with one seed, kept in the folder; its name."""
    run_replays(setup_of(part, folder), settings, folder / part)
    return f"{part}: {settings.strategies[0]}, seed {settings.seeds[0]}"


def run(part: str, folder: Path, settings: SimulationSettings, jobs: int, console: Console) -> None:
    """A part with all its strategies and seeds, by several processes; then its table and files."""
    setup = setup_of(part, folder)
    each = [
        replace(settings, strategies=(strategy,), seeds=(seed,))
        for seed in settings.seeds
        for strategy in settings.strategies
    ]
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(replay_one, part, folder, one) for one in each]):
            print(done.result(), file=sys.stderr, flush=True)
    found = simulate(setup, settings, folder / part)
    start = f"{setup.start} (start: {PARTS[part].start})" if PARTS[part].start else setup.start
    console.print(
        f"\n{part}: {start}; {len(settings.seeds)} seeds; {found.pool} studies to choose from, "
        f"{found.shown[0]} with nodules; {found.test} held out, {found.shown[1]} with nodules\n"
    )
    report(found.summaries, settings.target, console)
    RESULTS.mkdir(exist_ok=True)
    for file in (found.csv, found.json, found.png):
        shutil.copyfile(file, RESULTS / f"active_learning_{part}{file.suffix}")


def report(summaries: Sequence[StrategySummary], target: float, console: Console) -> None:
    """The table of docs/performance-active-learning.md."""
    console.print(
        "| strategy | area under the curve | less that of `random` | AUROC at the end "
        f"| with nodules | labels to {target:g}, kept | of the mean curve |"
    )
    console.print("|---|---:|---:|---:|---:|---:|---:|")
    for each in summaries:
        difference = "" if each.strategy == "random" else _words(each.difference, "+")
        present = ", ".join(f"{share:.1f}" for share in each.present.values())
        needed = each.needed
        console.print(
            f"| `{each.strategy}` | {_words(each.area)} | {difference} | {_words(each.final)} | {present} "
            f"| {_labels(needed.median)} ({needed.reached} of {needed.seeds}) | {_labels(needed.of_mean)} |"
        )


def _labels(labels: float) -> str:
    return "n/a" if math.isnan(labels) else f"{labels:g}"


def _words(estimate: Estimate, sign: str = "") -> str:
    low, high = estimate.ci95
    return f"{estimate.value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def main() -> int:
    """The command line; its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=list(PARTS), nargs="*", default=list(PARTS))
    parser.add_argument("--strategies", nargs="*", help="not all of them")
    parser.add_argument("--seeds", type=int, help="other than the part's")
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--folder", type=Path, help="keeps phantoms, models and results, for the next time")
    options = parser.parse_args()
    console = Console(width=200)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for part in options.part:
            settings = PARTS[part].settings
            if options.strategies:
                settings = replace(settings, strategies=tuple(options.strategies))
            if options.seeds:
                settings = replace(settings, seeds=tuple(range(options.seeds)))
            run(part, folder, settings, options.jobs, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
