"""What an answer costs for 50, 100, 300, 600 and 1,200 slices: time, memory, and is either linear?

Ours as in `whole_study.py`, from a DICOM folder of slices of 512 x 512 to the answer, with `slowfast_r50`,
which is the quickest, so that reading shows. Memory is what the process took at the most during the answer,
beyond what it had before; it is measured in a round of its own, which warms up.

Prints a straight line through the medians, and how far the farthest lies from it; the plot goes to
`benchmarks/results/sizes.png`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ours import fast_precision
from side_by_side import RESULTS, SideBySide, Target, parser
from studies import noise
from way_process import WayProcess

from vpt_plugin.data.phantom import write_dicom

SLICES = (50, 100, 300, 600, 1200)
# Of the range from the smallest to the largest study; clips come in steps of 24 slices, the last one snapped.
RESIDUAL_PER_CENT = 5.0


@dataclass(frozen=True)
class Line:
    """A straight line through figures of several sizes.

    Attributes:
        fixed: at no slice.
        per_slice: more for each slice.
        residual_per_cent: how far the farthest figure lies from it, of the range of the figures.
    """

    fixed: float
    per_slice: float
    residual_per_cent: float

    @classmethod
    def through(cls, figures: Mapping[int, float]) -> Line:
        """The line of least squares."""
        slices = np.array(list(figures), dtype=np.float64)
        values = np.array(list(figures.values()), dtype=np.float64)
        per_slice, fixed = np.polyfit(slices, values, 1)
        off = np.abs(values - (fixed + per_slice * slices)).max()
        return cls(float(fixed), float(per_slice), float(100 * off / np.ptp(values)))

    def at(self, slices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Its height."""
        return self.fixed + self.per_slice * slices


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every size, fit, plot."""
    options = parser(__doc__)
    options.add_argument("--network", default="slowfast_r50")
    options.add_argument("--rounds", type=int, help="1 in the quick form, else 5")
    arguments = options.parse_args(argv)
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    title = f"a DICOM folder of slices of 512 x 512 to the answer, {arguments.network}"
    bench = SideBySide("sizes", title)
    with tempfile.TemporaryDirectory() as folder:
        studies = make(Path(folder))
        seconds, mib = measure(bench, arguments.network, studies, rounds)
    lines = {"seconds": Line.through(seconds), "MiB": Line.through(mib)}
    for unit, line in lines.items():
        note = f"{line.fixed:.3g} + {line.per_slice:.3g} a slice"
        target = Target(at_most=RESIDUAL_PER_CENT)
        bench.figure(f"straight line, {unit}", "farthest from it", line.residual_per_cent, "%",
                     target=target, note=note)  # fmt: skip
    plot(seconds, mib, lines)
    return bench.finish(lines={unit: asdict(line) for unit, line in lines.items()})


def make(folder: Path) -> dict[int, Path]:
    """Studies of all sizes; the smaller ones are the first slices of the largest."""
    largest = folder / "all"
    write_dicom(noise(max(SLICES)), largest)
    files = sorted(largest.iterdir())
    studies = {}
    for slices in SLICES:
        studies[slices] = folder / str(slices)
        studies[slices].mkdir()
        for file in files[:slices]:
            os.link(file, studies[slices] / file.name)
    return studies


def measure(
    bench: SideBySide, network: str, studies: Mapping[int, Path], rounds: int
) -> tuple[dict[int, float], dict[int, float]]:
    """Median seconds, and memory beyond what the network takes by itself, by number of slices."""
    settings = {"backend": "auto", "precision": fast_precision()}
    with WayProcess("ours:WholeStudy", settings, plain=False) as ours:
        ours(network=network, study="", warm_up=True)
        mib = {
            slices: float(ours(network=network, study=str(study), memory=True).answer["mib"])
            for slices, study in studies.items()
        }
        times: dict[int, list[float]] = {slices: [] for slices in studies}
        for _ in range(rounds):
            for slices, study in studies.items():
                times[slices].append(ours(network=network, study=str(study)).seconds)
    seconds = {}
    for slices, each in times.items():
        row = bench.figure(f"{slices} slices", "time", each, "s")
        seconds[slices] = float(row.median or 0)
        bench.figure(f"{slices} slices", "memory beyond the network's", mib[slices], "MiB")
    return seconds, mib


def plot(seconds: Mapping[int, float], mib: Mapping[int, float], lines: Mapping[str, Line]) -> None:
    """Both over the number of slices, with their lines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    panels = (("seconds", seconds, "seconds to the answer"), ("MiB", mib, "MiB beyond the network's"))
    for axis, (unit, figures, title) in zip(axes, panels, strict=True):
        ends = np.array([0.0, max(figures)])
        axis.plot(ends, lines[unit].at(ends), color="0.6", linewidth=1)
        axis.plot(list(figures), list(figures.values()), "o", color="tab:blue")
        axis.set(xlabel="slices", title=title, xlim=0, ylim=0)
        axis.spines[["top", "right"]].set_visible(False)
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "sizes.png", dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())
