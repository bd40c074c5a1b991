"""Two ways of doing one thing, timed in turns, so that a noisy machine disturbs both alike."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("numpy", "opencv-python-headless", "pydicom", "torch")


@dataclass(frozen=True)
class Row:
    """What one comparison gave; times in seconds, ``ratio`` of the medians (above 1: ours is faster)."""

    what: str
    ours_median: float
    ours_fastest: float
    ours_slowest: float
    theirs_median: float
    theirs_fastest: float
    theirs_slowest: float
    ratio: float


def compare(what: str, ours: Callable[[], object], theirs: Callable[[], object], *, rounds: int) -> Row:
    """Run both once to warm up, then ``rounds`` times in turns."""
    ours()
    theirs()
    ours_times, theirs_times = [], []
    for _ in range(rounds):
        ours_times.append(_seconds(ours))
        theirs_times.append(_seconds(theirs))
    ours_median, theirs_median = statistics.median(ours_times), statistics.median(theirs_times)
    return Row(
        what,
        ours_median, min(ours_times), max(ours_times),
        theirs_median, min(theirs_times), max(theirs_times),
        theirs_median / ours_median,
    )  # fmt: skip


def report(name: str, rows: list[Row]) -> None:
    """Print the rows as a table and write them as JSON."""
    machine = about_this_machine()
    libraries = ", ".join(f"{each} {machine[each]}" for each in LIBRARIES)
    print(f"\n{name}: {machine['cpu']}, {machine['cores']} cores; {libraries}")
    print(f"{'':34} {'ours, s (min-max)':>26} {'theirs, s (min-max)':>26} {'ratio':>7}")
    for row in rows:
        ours = f"{row.ours_median:.3f} ({row.ours_fastest:.3f}-{row.ours_slowest:.3f})"
        theirs = f"{row.theirs_median:.3f} ({row.theirs_fastest:.3f}-{row.theirs_slowest:.3f})"
        print(f"{row.what:34} {ours:>26} {theirs:>26} {row.ratio:>6.2f}x")
    RESULTS.mkdir(exist_ok=True)
    content = {"machine": machine, "rows": [asdict(row) for row in rows]}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2), encoding="utf-8")


def about_this_machine() -> dict[str, str | int | None]:
    """Processor, cores, system and the versions of the libraries."""
    libraries = {each: version(each) for each in LIBRARIES}
    return {"cpu": _cpu(), "cores": os.cpu_count(), "system": platform.platform(), **libraries}


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
