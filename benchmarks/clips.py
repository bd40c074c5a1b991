"""One clip through each of the seven networks: naive, the same with a tuned allocator, torch, OpenVINO.

(a) is the paper's way: three channels, float32, eager, as it comes. (c) is the same with an allocator that
keeps what was freed. Ours are the engines of `vpt_plugin.inference.engines`, from the bytes of a clip to the
logit, in bfloat16 where this device multiplies it natively: a network of random weights passes no precision
check, so that it is forced here, and how far the probability moves stands beside each. Every way has a
process of its own. First of all, our float32 has to say what (a) says, or the race would mean nothing.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from ours import SEVEN, fast_precision, openvino_is_there
from peers.tuned import tuned_process
from side_by_side import Race, SideBySide, Target, parser
from way_process import DoneInProcess, WayProcess

PAPER, TUNED = "(a) paper's way", "(c) tuned"
# Against (a): of the fastest backend, and of torch alone; the fastest against (c).
FASTEST = dict.fromkeys(SEVEN, 8.0) | {"slowfast_r50": 4.5, "penet": 4.5}
TORCH = dict.fromkeys(SEVEN, 3.0) | {"swin_t": 2.5}
AGAINST_TUNED = 2.2
# In the logit, between two implementations in float32.
SAME = 1e-3
Ways = dict[str, Callable[[], DoneInProcess]]


def main(argv: Sequence[str] | None = None) -> int:
    """Race the networks that are asked for."""
    options = parser(__doc__)
    options.add_argument("networks", nargs="*", help=f"of {', '.join(SEVEN)}; all where none is named")
    options.add_argument("--rounds", type=int, help="2 in the quick form, else 7")
    arguments = options.parse_args(argv)
    rounds = arguments.rounds or (2 if arguments.quick else 7)
    bench = SideBySide("clips", "one clip, from its slices to the logit; random weights")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as processes:
        clip = str(Path(folder) / "clip.npy")
        np.save(clip, np.random.default_rng(0).integers(0, 256, (32, 224, 224), dtype=np.uint8))
        ways, exact = start(clip, processes)
        for network in arguments.networks or SEVEN:
            race(bench, network, ways, exact, rounds)
    return bench.finish()


def start(clip: str, processes: ExitStack) -> tuple[dict[str, WayProcess], WayProcess]:
    """The processes of the ways, and that of torch in float32, which is not raced."""
    fast = fast_precision()
    ways = {
        PAPER: WayProcess("peers.paper:ClipForward", {"clip": clip}),
        TUNED: tuned_process("ClipForward", {"clip": clip}),
        f"torch {fast}": _engine(clip, "torch", fast),
    }
    if openvino_is_there():
        ways[f"OpenVINO {fast}"] = _engine(clip, "openvino", fast)
    exact = _engine(clip, "torch", "float32")
    for process in (*ways.values(), exact):
        processes.enter_context(process)
    return ways, exact


def _engine(clip: str, backend: str, precision: str) -> WayProcess:
    settings = {"clip": clip, "backend": backend, "precision": precision}
    return WayProcess("ours:ClipForward", settings, plain=False)


def race(
    bench: SideBySide, network: str, processes: dict[str, WayProcess], exact: WayProcess, rounds: int
) -> None:
    """One network: do all say the same, and how fast are they?"""
    # Built two at a time, which is not timed.
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda process: process(network=network).answer, [*processes.values(), exact])
        *each, exactly = answers
    said = dict(zip(processes, each, strict=True))
    theirs = said[PAPER]["logit"]
    off = abs(exactly["logit"] - theirs)
    bench.figure(
        network, "torch float32: off (a)'s logit by", off, "", target=Target(at_most=SAME)
    )  # fmt: skip
    ways: Ways = {name: partial(process, network=network) for name, process in processes.items()}
    ours = [name for name in ways if name not in (PAPER, TUNED)]
    notes = {name: "; ".join([_moved(said[name]["logit"], theirs), *said[name]["notes"]]) for name in ours}
    measured = bench.race(
        network,
        ways,
        rounds=rounds,
        against=PAPER,
        targets={name: Target(at_least=TORCH[network]) for name in ours if name.startswith("torch")},
        notes=notes,
        warm_up=False,
    )
    judge_fastest(bench, measured, network, ours)


def judge_fastest(bench: SideBySide, measured: Race, network: str, ours: Sequence[str]) -> None:
    """The fastest of ours against (a) and against (c)."""
    fastest = min(ours, key=measured.median)
    note = ""
    if not openvino_is_there():
        note = "OpenVINO is not installed here, or there is a GPU"
    name = f"fastest: {fastest}"
    measured.compare(fastest, PAPER, name=name, target=Target(at_least=FASTEST[network]), note=note)
    measured.compare(fastest, TUNED, name=name, target=Target(at_least=AGAINST_TUNED), note=note)


def _moved(logit: float, theirs: float) -> str:
    """In words, how far the probability moved."""
    ours, before = (1 / (1 + math.exp(-each)) for each in (logit, theirs))
    return f"probability moved by {abs(ours - before):.1g}"


if __name__ == "__main__":
    raise SystemExit(main())
