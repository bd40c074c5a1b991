"""A DICOM folder of 300 slices to the answer, with each of the seven networks: ours and the paper's way (a).

Ours is what `vpt classify` does: the slices are read reduced, and the Predictor answers with the fastest
backend, in bfloat16 where this device multiplies it natively (random weights pass no precision check). Theirs
reads slice by slice and shows the network one clip at a time, at the same stride. Both have a process of
their own. The probabilities of the clips must agree. In the long form MONAI Label's stock task (b) answers,
too.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from ours import SEVEN, fast_precision
from side_by_side import SideBySide, Target, parser
from studies import noise
from way_process import DoneInProcess, WayProcess

from vpt_plugin.data.phantom import write_dicom

PAPER, STOCK = "(a) paper's way", "(b) MONAI Label stock"
# Each of the seven, and the fifth best of them.
EACH, FIVE_OF_SEVEN = 4.0, 6.0
# Probability of any clip: the float64 path of theirs, and bfloat16 in ours.
AGREEMENT = 0.02


def main(argv: Sequence[str] | None = None) -> int:
    """Race the networks that are asked for."""
    options = parser(__doc__)
    options.add_argument("networks", nargs="*", help=f"of {', '.join(SEVEN)}; all where none is named")
    options.add_argument("--slices", type=int, default=300)
    options.add_argument("--rounds", type=int, help="1 in the quick form, else 5")
    arguments = options.parse_args(argv)
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    title = f"a DICOM folder of {arguments.slices} slices of 512 x 512 to the answer; random weights"
    bench = SideBySide("whole_study", title)
    networks = arguments.networks or SEVEN
    with tempfile.TemporaryDirectory() as folder, ExitStack() as processes:
        study = Path(folder) / "study"
        write_dicom(noise(arguments.slices), study)
        ways = start(study, processes, stock=not arguments.quick)
        ratios = [race(bench, network, study, ways, rounds) for network in networks]
    if len(ratios) == len(SEVEN):
        fifth = sorted(ratios, reverse=True)[4]
        target = Target(at_least=FIVE_OF_SEVEN)
        bench.figure("five of the seven", "at least this ratio", fifth, "x", target=target)
    return bench.finish()


def start(study: Path, processes: ExitStack, *, stock: bool) -> dict[str, WayProcess]:
    """The processes, each with nothing loaded yet."""
    ways = {
        PAPER: WayProcess("peers.paper:WholeStudy", {"study": str(study)}),
        _ours(): WayProcess(
            "ours:WholeStudy",
            {"backend": "auto", "precision": fast_precision()},
            plain=False,
        ),
    }
    if stock:
        ways[STOCK] = WayProcess("peers.monai_stock:WholeStudy", {"study": str(study)})
    for process in ways.values():
        processes.enter_context(process)
    return ways


def _ours() -> str:
    return f"ours, {fast_precision()}"


def race(
    bench: SideBySide, network: str, study: Path, processes: dict[str, WayProcess], rounds: int
) -> float:
    """One network: its ratio against (a)."""
    ours = _ours()
    asked: dict[str, Callable[[], DoneInProcess]] = {
        PAPER: partial(processes[PAPER], network=network),
        ours: partial(processes[ours], network=network, study=str(study)),
    }
    last: dict[str, DoneInProcess] = {}
    ways = {name: partial(_kept, last, name, way) for name, way in asked.items()}
    processes[PAPER](network=network, warm_up=True)
    ready = processes[ours](network=network, study="", warm_up=True).answer
    if STOCK in processes:
        stock = partial(_kept, last, STOCK, partial(processes[STOCK], network=network))
        stock()
        ways[STOCK] = stock
    measured = bench.race(
        network, ways, rounds=rounds, against=PAPER, targets={ours: Target(at_least=EACH)},
        notes={ours: "; ".join([f"by {ready['engine']}", *ready["notes"]])}, warm_up=False,
    )  # fmt: skip
    theirs = [_probability(logit) for logit in last[PAPER].answer]
    pairs = zip(theirs, last[ours].answer["clips"], strict=True)
    off = max(abs(their - our) for their, our in pairs)
    bench.figure(
        network, f"{ours}: off (a)'s probability by", off, "", target=Target(at_most=AGREEMENT),
        note=f"of any of {len(theirs)} clips",
    )  # fmt: skip
    if STOCK in last:
        # It takes the HU window before it resizes, so that it need not say quite the same.
        off = abs(_probability(last[STOCK].answer) - max(theirs))
        bench.figure(network, f"{STOCK}: off (a)'s probability by", off, "", target=Target(at_most=AGREEMENT))
    return measured.ratio(ours, PAPER)


def _probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def _kept(last: dict[str, DoneInProcess], name: str, way: Callable[[], DoneInProcess]) -> DoneInProcess:
    """Call a way and keep what it gave."""
    last[name] = way()
    return last[name]


if __name__ == "__main__":
    raise SystemExit(main())
