"""One clip through each of the seven networks: naive, the same with a tuned allocator, torch, OpenVINO.

(a) is the paper's way: three channels, float32, eager, as it comes. (c) is the same with an allocator that
keeps what was freed. Ours are the engines of `vpt_plugin.inference.engines`, from the bytes of a clip to the
logit. Those with a target are in bfloat16 where this device multiplies it natively, as a version is served
whose check of precision passed; random weights have none, so that it is forced here, and how far the
probability moves is judged beside. The default is what a version gets that was never checked: float32, in the
quick form by whatever is there at once, else by what the server would take. Every way has a process of its
own. First of all, the default has to say what (a) says, or the race would mean nothing.

Networks are built, and compiled by OpenVINO where that was not done before, in a step that is not timed.
Which backend is the fastest is told by a round that is not judged.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ours import CHECKED, SEVEN, UNCHECKED, fast_precision, openvino_is_there
from peers.tuned import tuned_process
from side_by_side import Race, SideBySide, Target, parser
from way_process import DoneInProcess, WayProcess

PAPER, TUNED, DEFAULT = "(a) paper's way", "(c) tuned", "default"
# Against (a): of the fastest backend, and of torch alone; the fastest against (c).
FASTEST = dict.fromkeys(SEVEN, 8.0) | {"slowfast_r50": 4.5, "penet": 4.5}
TORCH = dict.fromkeys(SEVEN, 3.0) | {"swin_t": 2.5}
AGAINST_TUNED = 2.2
# The quick form has time for a third round of what is quick, whose rounds are disturbed most.
QUICK_ROUNDS = dict.fromkeys(("slowfast_r50", "csn_r101", "penet"), 3)
# In the logit, between two implementations in float32.
SAME = 1e-3
# Of the probability, by a reduced precision: what the check of a version allows.
MOVED = Target(at_most=0.01)
Ways = dict[str, Callable[[], DoneInProcess]]


def main(argv: Sequence[str] | None = None) -> int:
    """Race the networks that are asked for."""
    options = parser(__doc__)
    options.add_argument("networks", nargs="*", help=f"of {', '.join(SEVEN)}; all where none is named")
    options.add_argument("--rounds", type=int, help="else 7; in the quick form 2 or 3")
    arguments = options.parse_args(argv)
    bench = SideBySide("clips", "one clip, from its slices to the logit; random weights")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as processes:
        clip = str(Path(folder) / "clip.npy")
        np.save(clip, np.random.default_rng(0).integers(0, 256, (32, 224, 224), dtype=np.uint8))
        ways = start(clip, processes, quick=arguments.quick)
        for network in arguments.networks or SEVEN:
            quick = QUICK_ROUNDS.get(network, 2)
            race(bench, network, ways, arguments.rounds or (quick if arguments.quick else 7))
    return bench.finish()


def start(clip: str, processes: ExitStack, *, quick: bool) -> dict[str, WayProcess]:
    """The processes of the ways."""
    fast = fast_precision()
    ways = {
        PAPER: WayProcess("peers.paper:ClipForward", {"clip": clip}),
        TUNED: tuned_process("ClipForward", {"clip": clip}),
        f"torch {fast}": _engine(clip, "torch", fast),
    }
    if openvino_is_there():
        ways[f"OpenVINO {fast}"] = _engine(clip, "openvino", fast)
    ways[DEFAULT] = _engine(clip, "auto", "auto", many_studies=not quick)
    for process in ways.values():
        processes.enter_context(process)
    return ways


def _engine(clip: str, backend: str, precision: str, **more: bool) -> WayProcess:
    settings = {"clip": clip, "backend": backend, "precision": precision, **more}
    return WayProcess("ours:ClipForward", settings, plain=False)


def race(bench: SideBySide, network: str, processes: dict[str, WayProcess], rounds: int) -> None:
    """One network: do all say the same, and how fast are they?"""
    # Built, and compiled where it has to be, two at a time, which is not timed.
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda process: process(network=network).answer, processes.values())
    said = dict(zip(processes, answers, strict=True))
    fast = [name for name in processes if name not in (PAPER, TUNED, DEFAULT)]
    compare_answers(bench, network, said, fast)
    ways: Ways = {name: partial(process, network=network) for name, process in processes.items()}
    fastest = min(fast, key=lambda name: ways[name]().seconds)
    notes = {name: "; ".join([CHECKED, *said[name]["notes"]]) for name in fast}
    notes[DEFAULT] = f"by {said[DEFAULT]['engine']}, {UNCHECKED}"
    measured = bench.race(
        network,
        ways,
        rounds=rounds,
        against=PAPER,
        targets={name: Target(at_least=TORCH[network]) for name in fast if name.startswith("torch")},
        notes=notes,
        warm_up=False,
    )
    judge_fastest(measured, network, fastest)


def compare_answers(
    bench: SideBySide, network: str, said: Mapping[str, Mapping[str, Any]], fast: Sequence[str]
) -> None:
    """The default's logit against (a)'s, and how far the others move the probability."""
    theirs = said[PAPER]["logit"]
    off = abs(said[DEFAULT]["logit"] - theirs)
    bench.figure(network, f"{DEFAULT}: off (a)'s logit by", off, "", target=Target(at_most=SAME))
    for name in fast:
        moved = abs(_probability(said[name]["logit"]) - _probability(theirs))
        bench.figure(network, f"{name}: probability moved by", moved, "", target=MOVED)


def judge_fastest(measured: Race, network: str, fastest: str) -> None:
    """The fastest of ours against (a) and against (c)."""
    note = CHECKED if openvino_is_there() else "OpenVINO is not installed here, or there is a GPU"
    name = f"fastest: {fastest}"
    measured.compare(fastest, PAPER, name=name, target=Target(at_least=FASTEST[network]), note=note)
    measured.compare(fastest, TUNED, name=name, target=Target(at_least=AGAINST_TUNED), note=note)


def _probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


if __name__ == "__main__":
    raise SystemExit(main())
