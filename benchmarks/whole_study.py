"""A DICOM folder of 300 slices to the answer, with each of the seven networks: ours and the paper's way (a).

Ours is what `vpt classify` of many studies does: the slices are read reduced, and the Predictor answers with
the fastest backend. The row with a target is in bfloat16 where this device multiplies it natively, as a
version is served whose check of precision passed; random weights have none, so that it is forced here. The
default is what a version gets that was never checked, float32. Theirs reads slice by slice and shows the
network one clip at a time, at the same stride. All have a process of their own. The probabilities of the
clips must agree. In the long form MONAI Label's stock task (b) answers, too.

In the quick form (a) reads the whole study, and the network's part is worked out from the first clips: all
clips of a network take alike. The default answers for a shorter study, which is worked out by clips, too; it
takes whatever is there at once, in the long form what the server would take.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ours import CHECKED, SEVEN, UNCHECKED, fast_precision
from side_by_side import SideBySide, Target, parser
from studies import noise
from way_process import DoneInProcess, WayProcess

from vpt_plugin.ct.clips import clip_starts
from vpt_plugin.data.phantom import write_dicom
from vpt_plugin.models.catalog import get_model

PAPER, STOCK, DEFAULT = "(a) paper's way", "(b) MONAI Label stock", "default"
# Each of the seven, and the fifth best of them.
EACH, FIVE_OF_SEVEN = 4.0, 6.0
# Probability of any clip: the float64 path of theirs, and bfloat16 in ours.
AGREEMENT = 0.01
# The same of the study, where the HU window comes before the resizing.
STOCK_AGREEMENT = 0.02
# In the quick form: of (a), and slices of the study for the default.
FEW_CLIPS, FEW_SLICES = 3, 80


@dataclass(frozen=True)
class Studies:
    """The study, and how much of it is shown where the rest is worked out.

    Attributes:
        whole: its folder.
        few: of its first slices, for the default; None where that answers for the whole.
        clips: how many (a) looks at; None for all.
    """

    whole: Path
    few: Path | None = None
    clips: int | None = None


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
        studies = make(Path(folder), arguments.slices, quick=arguments.quick)
        ways = start(studies, processes, quick=arguments.quick)
        ratios = [race(bench, network, studies, ways, rounds) for network in networks]
    if len(ratios) == len(SEVEN):
        fifth = sorted(ratios, reverse=True)[4]
        target = Target(at_least=FIVE_OF_SEVEN)
        bench.figure("five of the seven", "at least this ratio", fifth, "x", target=target, note=CHECKED)
    return bench.finish()


def make(folder: Path, slices: int, *, quick: bool) -> Studies:
    """The study, and in the quick form its first slices."""
    whole, few = folder / "study", folder / "few"
    write_dicom(noise(slices), whole)
    if not quick:
        return Studies(whole)
    few.mkdir()
    for file in sorted(whole.iterdir())[:FEW_SLICES]:
        os.link(file, few / file.name)
    return Studies(whole, few, FEW_CLIPS)


def start(studies: Studies, processes: ExitStack, *, quick: bool) -> dict[str, WayProcess]:
    """The processes, each with nothing loaded yet."""
    fast = {"backend": "auto", "precision": fast_precision()}
    default = {"backend": "auto", "precision": "auto", "many_studies": not quick}
    ways = {
        PAPER: WayProcess("peers.paper:WholeStudy", {"study": str(studies.whole)}),
        _ours(): WayProcess("ours:WholeStudy", fast, plain=False),
        DEFAULT: WayProcess("ours:WholeStudy", default, plain=False),
    }
    if not quick:
        ways[STOCK] = WayProcess("peers.monai_stock:WholeStudy", {"study": str(studies.whole)})
    for process in ways.values():
        processes.enter_context(process)
    return ways


def _ours() -> str:
    return f"ours, {fast_precision()}"


def race(
    bench: SideBySide, network: str, studies: Studies, processes: dict[str, WayProcess], rounds: int
) -> float:
    """One network: its ratio against (a)."""
    ours = _ours()
    last: dict[str, DoneInProcess] = {}
    asked = ways_of(network, studies, processes)
    ways = {name: partial(_kept, last, name, way) for name, way in asked.items()}
    ready = warm_up(network, processes)
    notes = {
        PAPER: f"worked out from its first {studies.clips} clips" if studies.clips else "",
        ours: "; ".join([f"by {ready[ours]['engine']}, {CHECKED}", *ready[ours]["notes"]]),
        DEFAULT: f"by {ready[DEFAULT]['engine']}, {UNCHECKED}",
    }
    if studies.few:
        notes[DEFAULT] += f"; worked out, by clips, from the first {FEW_SLICES} slices"
    measured = bench.race(
        network, ways, rounds=rounds, against=PAPER, targets={ours: Target(at_least=EACH)}, notes=notes,
        warm_up=False,
    )  # fmt: skip
    compare_answers(bench, network, last)
    return measured.ratio(ours, PAPER)


def ways_of(
    network: str, studies: Studies, processes: dict[str, WayProcess]
) -> dict[str, Callable[[], DoneInProcess]]:
    """What is raced for a network, each with the seconds of the whole study."""
    spec, whole = get_model(network), str(studies.whole)

    def paper() -> DoneInProcess:
        done = processes[PAPER](network=network, clips=studies.clips)
        logits, seconds = done.answer
        return replace(done, answer=logits, seconds=seconds)

    def default() -> DoneInProcess:
        done = processes[DEFAULT](network=network, study=str(studies.few or studies.whole))
        if studies.few is None:
            return done
        slices = len(list(studies.whole.iterdir()))
        stride = spec.clip_slices * 3 // 4
        clips = len(clip_starts(slices, length=spec.clip_slices, stride=stride))
        return replace(done, seconds=done.seconds * clips / len(done.answer["clips"]))

    ways: dict[str, Callable[[], DoneInProcess]] = {
        PAPER: paper,
        _ours(): partial(processes[_ours()], network=network, study=whole),
        DEFAULT: default,
    }
    if STOCK in processes:
        ways[STOCK] = partial(processes[STOCK], network=network)
    return ways


def warm_up(network: str, processes: dict[str, WayProcess]) -> dict[str, Any]:
    """Build the network in all processes, two at a time; what ours say of their engines, by name."""

    def one(name: str) -> Any:
        if name == STOCK:
            return processes[name](network=network).answer
        more = {} if name == PAPER else {"study": ""}
        return processes[name](network=network, warm_up=True, **more).answer

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(processes, pool.map(one, processes), strict=True))


def compare_answers(bench: SideBySide, network: str, last: Mapping[str, DoneInProcess]) -> None:
    """How far ours and the stock task are from what (a) said."""
    theirs = [_probability(logit) for logit in last[PAPER].answer]
    # (a) may have seen the first clips only.
    pairs = list(zip(theirs, last[_ours()].answer["clips"], strict=False))
    off = max(abs(their - our) for their, our in pairs)
    bench.figure(
        network, f"{_ours()}: off (a)'s probability by", off, "", target=Target(at_most=AGREEMENT),
        note=f"of any of {len(pairs)} clips",
    )  # fmt: skip
    if STOCK in last:
        # It takes the HU window before it resizes, so that it need not say quite the same.
        off = abs(_probability(last[STOCK].answer) - max(theirs))
        target = Target(at_most=STOCK_AGREEMENT)
        bench.figure(network, f"{STOCK}: off (a)'s probability by", off, "", target=target)


def _probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def _kept(last: dict[str, DoneInProcess], name: str, way: Callable[[], DoneInProcess]) -> DoneInProcess:
    """Call a way and keep what it gave."""
    last[name] = way()
    return last[name]


if __name__ == "__main__":
    raise SystemExit(main())
