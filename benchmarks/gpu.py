"""On a GPU: forward pass and training step against the floor, how idle it is in training, studies per second.

The floor (`floors.py`) is what the products of a network take at the peak of the device, or their traffic
through its memory; on an H200 it is that of the notes. A forward pass is that of a whole study of 300 slices,
all clips together as the Predictor shows them, divided by the clips; a training step is the training's own on
16 clips. Idle is the share of the clock without a kernel or copy, over 100 steps of a real finetuning.
Studies per second are those of 300 slices from DICOM folders in the disk's memory to answers. Skips where
there is no CUDA device.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from floors import Peaks, forward_floor_ms, measure_peaks, step_floor_ms
from gpu_busy import training_idle_per_cent
from ours import SEVEN, classifier_and_card, task
from side_by_side import SideBySide, Target, parser
from studies import noise

from vpt_plugin.ct.clips import clip_starts
from vpt_plugin.ct.reduced import ReducedStudy, read_reduced
from vpt_plugin.data.phantom import write_dicom
from vpt_plugin.inference import Predictor
from vpt_plugin.inference.engines import make_engine
from vpt_plugin.inference.pipeline import Failed, answer_studies
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.device import arrange
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.optimization import freeze, make_optimizer
from vpt_plugin.training.placement import MixedPrecision, Placement
from vpt_plugin.training.step import TrainingStep

TIMES_FLOOR = Target(at_most=3.0)
IDLE = Target(at_most=10.0)
# The quickest forward pass of the seven is the hardest to feed; Slow R50 is the usual one.
FED = ("slowfast_r50", "slow_r50")
SLICES, BATCH, DISTINCT = 300, 16, 2
PRECISION = "bfloat16"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what the GPU does, or say that there is none."""
    options = parser(__doc__)
    options.add_argument("networks", nargs="*", help=f"of {', '.join(SEVEN)}; all where none is named")
    arguments = options.parse_args(argv)
    if not torch.cuda.is_available():
        return skip_all()
    device = torch.device("cuda")
    name = torch.cuda.get_device_name(device)
    bench = SideBySide("gpu", "forward, step, idle share and studies per second", gpu=name)
    peaks = measure_peaks(device)
    bench.figure("the device", "bfloat16 product", peaks.operations / 1e12, "TFLOP/s")
    bench.figure("the device", "copy, read and written", peaks.bytes / 1e12, "TB/s")
    networks = arguments.networks or SEVEN
    for network in networks:
        against_floor(bench, network, device, name, peaks, rounds=10 if arguments.quick else 30)
    for network in FED if networks == SEVEN else networks:
        idle_in_training(bench, network)
    end_to_end(bench, networks, studies=12 if arguments.quick else 60)
    return bench.finish()


def skip_all() -> int:
    """A row for each target, and why it was not measured."""
    bench = SideBySide("gpu", "forward, step, idle share and studies per second")
    why = "there is no CUDA device here"
    bench.skip("seven networks", "forward pass", why, target=TIMES_FLOOR, unit="x floor")
    bench.skip("seven networks", "training step", why, target=TIMES_FLOOR, unit="x floor")
    bench.skip("GPU in training", "idle", why, target=IDLE, unit="%")
    bench.skip("seven networks", "studies, end to end", why, unit="studies/s")
    return bench.finish()


def against_floor(
    bench: SideBySide, network: str, device: torch.device, name: str, peaks: Peaks, *, rounds: int
) -> None:
    """Forward pass and training step of one network, in floors."""
    floor = forward_floor_ms(network, name, peaks)
    forward = milliseconds(forward_pass(network, device), device, rounds)
    clips = len(starts_of(network))
    row = bench.figure(network, "forward pass, a clip", [each / clips for each in forward], "ms")
    bench.figure(
        network, "forward pass", float(row.median or 0) / floor, "x floor", target=TIMES_FLOOR,
        note=f"{clips} clips of a study; floor {floor:.2f} ms a clip",
    )  # fmt: skip
    floor = step_floor_ms(network, BATCH, floor, peaks)
    step = milliseconds(training_step(network, device), device, rounds)
    row = bench.figure(network, f"training step, {BATCH} clips", step, "ms")
    bench.figure(
        network, "training step", float(row.median or 0) / floor, "x floor", target=TIMES_FLOOR,
        note=f"floor {floor:.1f} ms",
    )  # fmt: skip
    torch.cuda.empty_cache()


def starts_of(network: str) -> list[int]:
    """The clips of a study of 300 slices."""
    numbers = get_model(network).clip_numbers(task().clips)
    return clip_starts(SLICES, length=numbers.length, stride=numbers.stride)


def forward_pass(network: str, device: torch.device) -> Callable[[], object]:
    """All clips of a study that lies on the device, through our engine."""
    classifier, card = classifier_and_card(network)
    engine = make_engine(
        classifier, task(), card, device=str(device), precision=PRECISION, backend="torch", many_studies=True
    )
    pixels = get_model(network).crop_px
    slices = torch.randint(0, 256, (SLICES, pixels, pixels), dtype=torch.uint8, device=device)
    return partial(engine.answer, slices, starts_of(network))


def training_step(network: str, device: torch.device) -> Callable[[], object]:
    """A step of the whole network on 16 clips that lie on the device."""
    placement = Placement(device, torch.bfloat16)
    classifier, _ = classifier_and_card(network)
    classifier.to(device)
    arrange(classifier, placement.dtype)
    config = FinetuneConfig(pretraining="none", batch=BATCH)
    inferer = MixedPrecision(placement)
    inferer.frozen = freeze(classifier, config, epoch=1)
    step = TrainingStep(classifier, make_optimizer(classifier, config), inferer, pooling=config.pooling)
    step.micro_batch = BATCH
    spec = classifier.spec
    clips = torch.rand(BATCH, 1, spec.clip_slices, spec.crop_px, spec.crop_px, device=device)
    clips = clips.to(memory_format=torch.channels_last_3d)
    labels = torch.arange(BATCH, device=device).remainder(2).float().unsqueeze(1)
    return partial(step, clips, labels, torch.arange(BATCH, device=device))


def milliseconds(run: Callable[[], object], device: torch.device, rounds: int) -> list[float]:
    """Of every round, after some that choose algorithms and fill caches."""
    times = []
    for _ in range(5 + rounds):
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        run()
        torch.cuda.synchronize(device)
        times.append(1000 * (time.perf_counter() - began))
    return times[5:]


def idle_in_training(bench: SideBySide, network: str) -> None:
    """The share of the clock in which the GPU waits while it trains this network."""
    idle, steps = training_idle_per_cent(network)
    if np.isnan(idle):
        why = "the driver lets nobody look at kernels (CUPTI)"
        bench.skip("GPU in training", f"idle, {network}", why, target=IDLE, unit="%")
    else:
        bench.figure("GPU in training", f"idle, {network}", idle, "%", target=IDLE)
    bench.figure("GPU in training", f"steps, {network}", steps, "steps/s")


def end_to_end(bench: SideBySide, networks: Sequence[str], *, studies: int) -> None:
    """Studies per second from folders to answers, reading and computing at the same time."""
    with tempfile.TemporaryDirectory() as place:
        folders = [Path(place) / f"{number:03d}" for number in range(studies)]
        for number, folder in enumerate(folders):
            if number < DISTINCT:
                write_dicom(noise(SLICES, seed=number), folder)
                continue
            folder.mkdir()
            for file in folders[number % DISTINCT].iterdir():
                os.link(file, folder / file.name)
        for network in networks:
            each = [seconds_for_all(network, folders) for _ in range(3)][1:]
            bench.figure(network, "studies, end to end", len(folders) / median(each), "studies/s")


def seconds_for_all(network: str, folders: Sequence[Path]) -> float:
    """One run over all folders with a predictor that is ready."""
    classifier, card = classifier_and_card(network)
    predictor = Predictor(
        classifier, task(), card, device="cuda", precision=PRECISION, backend="torch", unsuitable="warn"
    )
    predictor.warm_up()

    def read(folder: Path, stopped: Callable[[], bool]) -> ReducedStudy:
        return read_reduced(folder, pixels=predictor.spec.resize_px)

    def answer(study: ReducedStudy, stopped: Callable[[], bool]) -> float:
        return predictor.predict(study, cancelled=stopped).findings[0].probability

    began = time.perf_counter()
    for outcome in answer_studies(folders, read, answer):
        if isinstance(outcome, Failed):
            raise outcome.error
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
