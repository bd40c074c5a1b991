"""What overlapping clips share, what coarse to fine costs, and how reading and computing overlap.

Sharing: Slow R50 over a study at three strides, with and without its trunk's maps kept from clip to clip.

Many studies: `answer_studies` against one study after the other, with a small network, from files in memory
and from a place that lets each study wait.

Coarse to fine: a `tiny` that was trained on phantoms, on phantoms that it never saw: all clips of a stride
against few of them. Every clip is computed once and both ways are played with these answers, so that what is
compared is the choice of clips and nothing else; the clips that are left out are the time that is saved. The
long form makes the phantoms and trains, about five minutes, and keeps both in `results/overlap/`; the quick
form takes them from there.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

# Before torch is loaded: its threads otherwise spin while they wait, and a training comes to a standstill.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from finetuning import FINDING, TASK, phantoms
from numpy.typing import NDArray
from ours import classifier_and_card, fast_precision, task
from side_by_side import RESULTS, SideBySide, Target, parser
from studies import noise

from vpt_plugin.ct.aggregation import study_probability
from vpt_plugin.ct.clips import clip_starts
from vpt_plugin.ct.intensity import window_hu
from vpt_plugin.ct.reduced import ReducedStudy, read_reduced
from vpt_plugin.data.phantom import write_dicom
from vpt_plugin.inference import Prediction, Predictor
from vpt_plugin.inference.coarse_to_fine import CoarseToFine, EveryClip, Look
from vpt_plugin.inference.engines import Engine, make_engine
from vpt_plugin.inference.pipeline import Answered, answer_studies
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.models.device import keep_freed_memory
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import finetune
from vpt_plugin.training.metrics import auroc
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.sources import ManifestSource

Read = Callable[[Path], ReducedStudy]
ALONE = "every clip by itself"
NETWORK, LENGTH = "slow_r50", 32
# Shares of a clip: 24, 16 and 8 of 32 slices.
STRIDES = (0.75, 0.5, 0.25)
# In the logit, in float32.
SAME = 1e-5
# Of a clip of `tiny`; all strides are multiples of the last.
TINY_LENGTH, TINY_STRIDES = 8, (6, 4, 2)
KEPT = RESULTS / "overlap"
LEARN, HELD_OUT = (40, 10, 0), (0, 0, 30)
AWAY_SECONDS = 0.1


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all three."""
    arguments = parser(__doc__).parse_args(argv)
    bench = SideBySide("overlap", "overlapping clips, coarse to fine, many studies")
    keep_freed_memory()  # as the server does
    # The widest and the closest stride say the most.
    parts = STRIDES[::2] if arguments.quick else STRIDES
    share(bench, parts, slices=56 if arguments.quick else 300, rounds=1 if arguments.quick else 3)
    many(bench, studies=6 if arguments.quick else 24, rounds=1 if arguments.quick else 5)
    coarse_to_fine(bench, may_train=not arguments.quick)
    return bench.finish()


def share(bench: SideBySide, parts: Sequence[float], *, slices: int, rounds: int) -> None:
    """Slow R50 over all clips of a study, at strides that are these parts of a clip."""
    study = torch.randint(0, 256, (slices, 224, 224), dtype=torch.uint8)
    fast = engine(fast_precision())
    fast.warm_up()
    for stride in (round(part * LENGTH) for part in parts):
        starts = clip_starts(slices, length=LENGTH, stride=stride)
        bench.race(
            f"{NETWORK}, stride {stride}",
            {
                ALONE: partial(each_alone, fast, study, starts),
                "shared": partial(in_turn, fast, study, starts),
            },
            rounds=rounds,
            against=ALONE,
            warm_up=False,
        )
    exact, starts = engine("float32"), clip_starts(56, length=LENGTH, stride=16)
    off = (each_alone(exact, study, starts) - in_turn(exact, study, starts)).abs().max()
    bench.figure(NETWORK, "float32, shared: off in the logit by", float(off), "", target=Target(at_most=SAME))


def engine(precision: str) -> Engine:
    """Torch's, with random weights."""
    classifier, card = classifier_and_card(NETWORK)
    return make_engine(classifier, task(), card, precision=precision, backend="torch")


def each_alone(engine: Engine, study: torch.Tensor, starts: Sequence[int]) -> torch.Tensor:
    """Every clip as if it were a study of its own: there is nothing to share."""
    return torch.cat([engine.answer(study[start : start + LENGTH].clone(), (0,))[0] for start in starts])


def in_turn(engine: Engine, study: torch.Tensor, starts: Sequence[int]) -> torch.Tensor:
    """The clips of a study that was never seen, one after the other."""
    slices = study.clone()
    return torch.cat([engine.answer(slices, (start,))[0] for start in starts])


def many(bench: SideBySide, *, studies: int, rounds: int) -> None:
    """Studies of 120 small slices through `tiny`."""
    spec = get_model("tiny")
    predictor = Predictor(
        new_classifier(spec, TASK.findings), TASK,
        ModelCard(TASK.name, "tiny", TASK.findings, "none", spec.clip_slices),
        backend="torch", precision="float32", unsuitable="warn",  # noise has no lungs
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}" for number in range(studies)]
        for number, path in enumerate(paths):
            write_dicom(noise(120, pixels=256, seed=number), path)
        for where, wait_seconds in (("in memory", 0.0), (f"each {AWAY_SECONDS} s away", AWAY_SECONDS)):
            read = partial(read_after, wait_seconds, pixels=spec.resize_px)
            ways = {
                "one after the other": partial(one_after_the_other, paths, read, predictor),
                "overlapped": partial(overlapped, paths, read, predictor),
            }
            bench.race(
                f"{studies} studies {where}",
                ways,
                rounds=rounds,
                against="one after the other",
                warm_up=False,
            )


def read_after(wait_seconds: float, path: Path, pixels: int) -> ReducedStudy:
    """A study from a place that answers after a while."""
    time.sleep(wait_seconds)
    return read_reduced(path, pixels=pixels)


def one_after_the_other(paths: Sequence[Path], read: Read, predictor: Predictor) -> list[Prediction]:
    """What is read waits for what is computed, and the other way round."""
    return [predictor.predict(read(path)) for path in paths]


def overlapped(paths: Sequence[Path], read: Read, predictor: Predictor) -> list[Prediction]:
    """The same by ``answer_studies``."""
    outcomes = answer_studies(paths, lambda path, _: read(path), lambda study, _: predictor.predict(study))
    return [outcome.answer for outcome in outcomes if isinstance(outcome, Answered)]


@dataclass(frozen=True)
class Known:
    """A study, whether it shows a nodule, and every clip's probability by the clip's first slice."""

    slices: int
    present: bool
    probabilities: Mapping[int, NDArray[np.float64]]

    def look(self, look: Look) -> tuple[int, float]:
        """How many clips are looked at, and the study's probability."""
        seen = look.look(
            self.slices, lambda starts: np.stack([self.probabilities[start] for start in starts])
        )
        return len(seen.starts), float(study_probability(seen.probabilities, TASK.aggregation)[0])


def coarse_to_fine(bench: SideBySide, *, may_train: bool) -> None:
    """What is saved, and what the answers lose."""
    store = ModelStore(KEPT / "models")
    if not store.versions(TASK.name, "tiny"):
        if not may_train:
            bench.skip("coarse to fine", "", "no trained tiny here: the long form trains one and keeps it")
            return
        train(store)
    classifier, card = store.load(TASK, "tiny")
    fine = replace(TASK, clips=replace(TASK.clips, stride_slices=TINY_STRIDES[-1]))
    predictor = Predictor(classifier, fine, card, backend="torch", precision="float32")
    known = [
        know(predictor, each.path, each.labels[TASK.name].findings[FINDING].state == "present")
        for each in phantoms(KEPT / "held-out", HELD_OUT, 2, "usual").studies
    ]
    for stride in TINY_STRIDES:
        compare(bench, known, card.threshold(FINDING), stride)


def train(store: ModelStore) -> None:
    """A `tiny` that knows the demo's nodules well enough for a comparison, not for more."""
    manifest = phantoms(KEPT / "learn", LEARN, 1, "usual")
    config = FinetuneConfig(epochs=3, steps_per_epoch=60, patience=3, folds=0)
    finetune(ManifestSource(manifest), TASK, get_model("tiny"), config, store=store, cache=KEPT / "prepared")


def know(predictor: Predictor, path: Path, present: bool) -> Known:
    """Every clip's probability."""
    reduced = read_reduced(path, pixels=predictor.spec.resize_px)
    slices = window_hu(reduced.hu, TASK.hu_window)
    answers = predictor.score(slices, study=reduced.study).probabilities
    starts = clip_starts(reduced.slices, length=TINY_LENGTH, stride=TINY_STRIDES[-1])
    return Known(reduced.slices, present, dict(zip(starts, answers, strict=True)))


def compare(bench: SideBySide, known: Sequence[Known], threshold: float, stride: int) -> None:
    """All clips of a stride against coarse to fine with it."""
    ways = (EveryClip(TINY_LENGTH, stride), CoarseToFine(TINY_LENGTH, stride, (threshold,)))
    (all_clips, every), (few_clips, closer) = (
        np.array([study.look(way) for study in known]).T for way in ways
    )  # fmt: skip
    present = [study.present for study in known]
    what = f"every {stride} of {TINY_LENGTH} slices"
    saved = 1 - few_clips.sum() / all_clips.sum()
    bench.figure(
        what, "clips saved", 100 * saved, "%", note=f"{few_clips.mean():.0f} of {all_clips.mean():.0f}"
    )
    bench.figure(what, "probability lower by", list(every - closer), "", note=f"{len(known)} studies")
    bench.figure(what, "decisions changed", int(((every >= threshold) != (closer >= threshold)).sum()), "")
    for name, answers in (("all", every), ("coarse to fine", closer)):
        bench.figure(what, f"AUROC, {name}", auroc(present, answers), "")


if __name__ == "__main__":
    raise SystemExit(main())
