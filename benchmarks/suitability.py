"""How often is a study that a model should answer called doubtful, and what does looking cost?

Phantoms of each task are checked against the ranges of others of their kind: every one that does not fit is a
false alarm. Then the share that the check has of an answer.

    python benchmarks/suitability.py             100 phantoms of each task, against 60 others
    python benchmarks/suitability.py --quick     20, against as many others
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import perf_counter

# Before torch is loaded: its threads otherwise spin while they wait.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from side_by_side import SideBySide, Target, parser

from vpt_plugin.ct.reduced import ReducedStudy, reduce_volume
from vpt_plugin.ct.suitability import FITS, SeenInTraining, check_suitability
from vpt_plugin.data.phantom import make_phantom
from vpt_plugin.inference import Predictor
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import TASKS, ReadingTask
from vpt_plugin.training.calibration import wilson_interval

STUDIES, QUICK_STUDIES = 100, 20
KNOWN = 60
NETWORKS = ("slow_r50", "tiny")
PIXELS = 224
# Other patients than those of the tests and of the demo.
_SEED = 20000


def phantoms(task: ReadingTask, count: int) -> list[ReducedStudy]:
    """Every second one with a lesion; those for `pe` with contrast medium."""
    pe = task.name == "pe"
    made = (
        make_phantom(
            _SEED + 5000 * pe + number,
            nodule=not pe and number % 2 == 0,
            contrast=pe,
            emboli=pe and number % 2 == 0,
        )
        for number in range(count)
    )
    return [reduce_volume(each.volume, pixels=PIXELS) for each in made]


def ranges_of(studies: Sequence[ReducedStudy]) -> dict[str, tuple[float, float]]:
    """As a card has them."""
    facts = [study.facts.as_dict() for study in studies]
    return {name: (min(each[name] for each in facts), max(each[name] for each in facts)) for name in facts[0]}


def false_alarms(bench: SideBySide, task: ReadingTask, studies: int) -> None:
    """How many phantoms do not fit, against the ranges of others."""
    made = phantoms(task, studies + KNOWN)
    seen = SeenInTraining(ranges_of(made[:KNOWN]))
    alarms = sum(check_suitability(each, task, seen).verdict != FITS for each in made[KNOWN:])
    low, high = wilson_interval(alarms, studies)
    bench.figure(
        task.name, "phantoms that do not fit", 100 * alarms / studies, "%", target=Target(at_most=5),
        note=f"{alarms} of {studies} ({100 * low:.1f} to {100 * high:.1f} %)",
    )  # fmt: skip


def cost(bench: SideBySide, network: str) -> None:
    """The share that the check has of an answer, the study being read."""
    task, spec = TASKS["nodule"], get_model(network)
    card = ModelCard(task.name, network, task.findings, "none", spec.clip_slices)
    predictor = Predictor(new_classifier(spec, task.findings), task, card, device="cpu", backend="torch")
    volume = make_phantom(_SEED, nodule=False, contrast=False, emboli=False).volume
    study = reduce_volume(volume, pixels=spec.resize_px)
    predictor.predict(study)
    looks, answers = [], []
    for _ in range(3):
        began = perf_counter()
        check_suitability(study, task, SeenInTraining())
        looked = perf_counter()
        predictor.predict(study)
        looks.append(looked - began)
        answers.append(perf_counter() - looked)
    bench.figure(
        network, "share of an answer that looking takes", 100 * min(looks) / min(answers), "%",
        note=f"{1000 * min(looks):.0f} ms of {1000 * min(answers):.0f} ms",
    )  # fmt: skip


def main() -> int:
    """The exit code: 0 where every target was met."""
    options = parser(__doc__).parse_args()
    bench = SideBySide("suitability", "Is this study for this model: false alarms, and what looking costs")
    studies = QUICK_STUDIES if options.quick else STUDIES
    for task in TASKS.values():
        false_alarms(bench, task, studies)
    for network in NETWORKS:
        cost(bench, network)
    return bench.finish()


if __name__ == "__main__":
    raise SystemExit(main())
