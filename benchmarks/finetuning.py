"""What a training comes to on phantoms: `tiny` with slice ranges, and with labels of whole studies only.

120 phantoms of the nodule task, 102 to learn from and 18 to validate on; 100 more, of another seed and other
patients, that no training ever sees. The same 120 are learned from twice: once each nodule's slices are
known, once it is only known which studies show one. Two cores, at most five minutes each. The exit code is 1
where an AUROC on the 100 is below its target.

Those who have nodules have three to six of 18 to 36 mm. `--phantoms usual` takes the demo's, with one to
three of 14 to 30 mm: a clip shows one half as often, and labels of a hundred such studies teach far less.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

# Before torch is loaded: its threads otherwise spin while they wait, which beside another busy program makes
# a small network a hundred times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import yaml
from rich.console import Console

from vpt_plugin.ct.reader import read_study
from vpt_plugin.data.manifest import Manifest, ManifestStudy
from vpt_plugin.data.phantom import PhantomConfig, write_phantom_set
from vpt_plugin.inference import Predictor
from vpt_plugin.labels import FindingLabel
from vpt_plugin.models.card import Estimate
from vpt_plugin.models.catalog import get_model
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import finetune
from vpt_plugin.training.metrics import bootstrap_auroc
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.sources import ManifestSource

TASK = TASKS["nodule"]
FINDING = TASK.findings[0]
SIDES = (102, 18, 0)
HELD_OUT = (0, 0, 100)
TARGETS: Mapping[str, float] = {"slice ranges": 0.92, "study labels only": 0.80}
PHANTOMS: Mapping[str, PhantomConfig] = {
    "richer": PhantomConfig(nodule_diameters_mm=(18.0, 36.0), nodule_counts=(3, 6)),
    "usual": PhantomConfig(),
}
# Where only studies are labelled, many small steps: docs/performance-finetuning.md says why. The AUROC on 18
# studies jumps about 0.5 until the network has found nodules, so it does not stop for want of a better one.
SETTINGS: Mapping[str, Mapping[str, object]] = {
    "slice ranges": {},
    "study labels only": {
        "batch": 4, "epochs": 8, "steps_per_epoch": 300, "learning_rate": 0.003, "patience": 8,
    },
}  # fmt: skip
Told = Callable[[str], None]
RESULT = Path(__file__).parent / "results" / "finetuning.json"


@dataclass(frozen=True)
class Arm:
    """What one training came to.

    Attributes:
        labels: what the labels told it.
        steps: that were done, of those planned.
        seconds: of preparing, training and publishing.
        validation, held_out: AUROC of whole studies.
    """

    labels: str
    steps: int
    seconds: float
    validation: Estimate
    held_out: Estimate

    @property
    def good_enough(self) -> bool:
        """Whether the target is reached on the studies that the training never saw."""
        return self.held_out.value >= TARGETS[self.labels]

    def row(self) -> str:
        """A row of the table in docs/performance-finetuning.md."""
        return (
            f"| {self.labels} | {self.steps} | {self.seconds:.0f} | {_words(self.validation)} "
            f"| {_words(self.held_out)} |"
        )


def phantoms(folder: Path, splits: tuple[int, int, int], seed: int, kind: str) -> Manifest:
    """Phantoms with their labels, as files; those that are there already are taken."""
    manifest = folder / "manifest.csv"
    if not manifest.exists():
        write_phantom_set(
            folder, count=sum(splits), seed=seed, task=TASK.name, formats=("nrrd",), splits=splits,
            config=PHANTOMS[kind],
        )  # fmt: skip
    return Manifest.read(manifest)


def without_slices(manifest: Manifest) -> Manifest:
    """The same studies; of a study with a nodule nothing says where it is."""
    return replace(manifest, studies=tuple(_without_slices(study) for study in manifest.studies))


def _without_slices(study: ManifestStudy) -> ManifestStudy:
    label = study.labels[TASK.name]
    bare = FindingLabel(label.findings[FINDING].state)
    return replace(study, labels={TASK.name: replace(label, findings={FINDING: bare})})


def train(
    labels: str, manifest: Manifest, held_out: Manifest, config: FinetuneConfig, folder: Path, told: Told
) -> Arm:
    """One training, then its answers to the studies held out."""
    store, steps = ModelStore(folder / labels.replace(" ", "-")), 0

    def show(now: Progress) -> None:
        nonlocal steps
        if now.state == "training":
            steps = now.step
        if now.state == "validating":
            told(f"{labels}: step {now.step} of {now.steps}, loss {now.loss:.3f}")

    began = time.monotonic()
    result = finetune(
        ManifestSource(manifest), TASK, get_model("tiny"), config,
        store=store, cache=folder / "prepared", progress=show,
    )  # fmt: skip
    seconds = time.monotonic() - began
    classifier, card = store.load(TASK, "tiny", result.card.version)
    answered = auroc_of(Predictor(classifier, TASK, card), held_out)
    return Arm(labels, steps, seconds, card.validation_auroc[FINDING], answered)


def auroc_of(predictor: Predictor, held_out: Manifest) -> Estimate:
    """Of whole studies, read from their files as a server would; the interval is over patients."""
    studies = held_out.studies
    truth = [study.labels[TASK.name].findings[FINDING].state == "present" for study in studies]
    answers = [predictor.predict(read_study(study.path)).findings[0].probability for study in studies]
    return bootstrap_auroc(truth, answers, [study.patient for study in studies])


def _words(estimate: Estimate) -> str:
    low, high = estimate.ci95
    # Where all resamples agree there is no interval.
    return f"{estimate.value:.3f} ({low:.3f} to {high:.3f})" if low == low else f"{estimate.value:.3f} (n/a)"


def report(arms: list[Arm], console: Console) -> None:
    """The table, and the same as JSON."""
    console.print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, CPU")
    console.print("| labels | steps | s | AUROC, 18 studies validated on | AUROC, 100 studies held out |")
    console.print("|---|---:|---:|---:|---:|")
    for arm in arms:
        console.print(arm.row())
    RESULT.parent.mkdir(exist_ok=True)
    figures = {
        arm.labels: {
            "steps": arm.steps,
            "seconds": arm.seconds,
            "validation": arm.validation.to_json(),
            "held_out": arm.held_out.to_json(),
        }
        for arm in arms
    }
    RESULT.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def main() -> int:
    """The command line; its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", choices=list(TARGETS), nargs="*", default=list(TARGETS))
    parser.add_argument("--phantoms", choices=list(PHANTOMS), default="richer")
    parser.add_argument("--seed", type=int, default=0, help="of the trainings")
    parser.add_argument("--folder", type=Path, help="keeps phantoms and models, for the next time")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a training setting")
    options = parser.parse_args()
    settings = {
        name: yaml.safe_load(value) for name, _, value in (each.partition("=") for each in options.set)
    }
    base = {"pretraining": "none", "seed": options.seed}
    configs = {each: FinetuneConfig.from_dict({**base, **SETTINGS[each], **settings}) for each in TARGETS}
    console = Console(width=160)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)) / options.phantoms
        marked = phantoms(folder / "learned", SIDES, 4, options.phantoms)
        held_out = phantoms(folder / "held-out", HELD_OUT, 5, options.phantoms)
        sets = {"slice ranges": marked, "study labels only": without_slices(marked)}
        arms = [
            train(each, sets[each], held_out, configs[each], folder, console.print) for each in options.labels
        ]
    report(arms, console)
    return 0 if all(arm.good_enough for arm in arms) else 1


if __name__ == "__main__":
    sys.exit(main())
