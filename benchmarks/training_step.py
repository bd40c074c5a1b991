"""Time and memory of one optimizer step, per network, beside those of an answer.

A step is the training's own: two clips of the published size with random numbers for voxels, random weights,
AdamW, the precision that this device multiplies natively. It trains the head alone, or the whole network with
the two clips one by one (1), together (2), or one by one with gradient checkpointing (1 again). An answer is
one clip without gradients.

Every figure comes from a process of its own, so that none inherits memory: on the CPU the most it ever took,
libraries included; on CUDA the most that torch took of the GPU's. On the CPU seconds are those that all
threads computed, divided by their number, so that other work on the machine hardly counts; on CUDA they are
the clock's.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from machine import LIBRARIES, about_this_machine
from side_by_side import RESULTS

from vpt_plugin.models.backbones import blocks_to_recompute
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.device import arrange, choose_device, choose_dtype, keep_freed_memory, memory_format
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.optimization import freeze, make_optimizer
from vpt_plugin.training.placement import MixedPrecision, Placement
from vpt_plugin.training.step import TrainingStep

CLIPS = 2


@dataclass(frozen=True)
class Way:
    """How a step is done: clips at once, what is trained, and whether blocks are computed a second time."""

    micro_batch: int = 1
    train: str = "whole"
    again: bool = False


WAYS = {
    "answer": Way(),
    "head": Way(train="head"),
    "1": Way(),
    "2": Way(micro_batch=2),
    "1 again": Way(again=True),
}


@dataclass(frozen=True)
class Figures:
    """What one way costs: seconds per clip, and the most memory it took, in 2^20 bytes."""

    seconds_per_clip: float
    peak_mib: float


def main() -> None:
    """Measure the networks that are asked for, each way in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", default=list(MODELS), help="names from `vpt models`")
    parser.add_argument("--rounds", type=int, default=1, help="after one to warm up")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        (network,) = arguments.networks
        print(json.dumps(asdict(measure(network, arguments.way, arguments.rounds))))
        return
    machine = about_this_machine()
    libraries = ", ".join(f"{each} {machine[each]}" for each in LIBRARIES)
    print(f"{machine['cpu']}, {machine['cores']} cores; {libraries}\n")
    print(f"{'seconds per clip (of an answer: x)':34}" + "".join(f"{way:>16}" for way in WAYS))
    rows = {}
    for network in arguments.networks:
        rows[network] = {way: _in_own_process(network, way, arguments.rounds) for way in WAYS}
        print(_line(network, rows[network]), flush=True)
    content = {"machine": machine, "rows": _as_json(rows)}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "training_step.json").write_text(json.dumps(content, indent=2), encoding="utf-8")


def _in_own_process(network: str, way: str, rounds: int) -> Figures:
    command = [sys.executable, str(Path(__file__)), network, "--way", way, "--rounds", str(rounds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Figures(**json.loads(done.stdout.splitlines()[-1]))


def _line(network: str, figures: dict[str, Figures]) -> str:
    answer = figures["answer"].seconds_per_clip
    seconds = [
        f"{each.seconds_per_clip:.2f} ({each.seconds_per_clip / answer:.1f}x)" for each in figures.values()
    ]
    memory = [f"{each.peak_mib:.0f} MiB" for each in figures.values()]
    return "\n".join(
        f"{name:34}" + "".join(f"{cell:>16}" for cell in cells)
        for name, cells in ((network, seconds), ("", memory))
    )


def _as_json(rows: dict[str, dict[str, Figures]]) -> dict[str, dict[str, dict[str, float]]]:
    return {network: {way: asdict(each) for way, each in ways.items()} for network, ways in rows.items()}


def measure(name: str, way: str, rounds: int) -> Figures:
    """One way of one network, in this process."""
    spec, device = MODELS[name], choose_device()
    placement = Placement(device, choose_dtype(device))
    if device.type == "cpu":
        keep_freed_memory()
    order = memory_format(placement.dtype)
    classifier = new_classifier(spec, ("finding",)).to(device)
    arrange(classifier, placement.dtype)
    count = 1 if way == "answer" else CLIPS
    clips = torch.rand(count, 1, spec.clip_slices, spec.crop_px, spec.crop_px, device=device)
    run = _answer if way == "answer" else _step(classifier, WAYS[way], placement)
    seconds = []
    for _ in range(1 + rounds):
        began = _now(device)
        run(classifier, clips.to(memory_format=order), placement)
        seconds.append(_now(device) - began)
    return Figures(statistics.median(seconds[1:]) / count, _peak_mib(device))


def _now(device: torch.device) -> float:
    if device.type == "cpu":
        return time.process_time() / torch.get_num_threads()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _answer(classifier: Classifier, clips: torch.Tensor, placement: Placement) -> None:
    classifier.eval()
    with torch.inference_mode():
        MixedPrecision(placement)(clips, classifier)


def _step(
    classifier: Classifier, way: Way, placement: Placement
) -> Callable[[Classifier, torch.Tensor, Placement], None]:
    config = FinetuneConfig(pretraining="none", batch=CLIPS, train=way.train)
    inferer = MixedPrecision(placement)
    classifier.train()
    inferer.frozen = freeze(classifier, config, epoch=1)
    step = TrainingStep(
        classifier,
        make_optimizer(classifier, config),
        inferer,
        pooling=config.pooling,
        recompute=blocks_to_recompute(classifier) if way.again else (),
    )
    step.micro_batch = way.micro_batch

    def run(classifier: Classifier, clips: torch.Tensor, placement: Placement) -> None:
        labels = torch.tensor([[1.0], [0.0]], device=clips.device)
        step(clips, labels, torch.arange(CLIPS, device=clips.device))

    return run


def _peak_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    # Counted in KiB, on macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


if __name__ == "__main__":
    main()
