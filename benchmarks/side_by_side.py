"""Several ways of one thing, timed in turns, so that a noisy machine disturbs them alike; and their targets.

    bench = SideBySide("reading", "A DICOM folder to what a network sees")
    bench.race("uncompressed", {"paper": theirs, "ours": ours}, rounds=5, against="paper",
               targets={"ours": Target(at_least=2.8)})
    bench.figure("peak memory", "ours", 98.0, "MiB", target=Target(at_most=120))
    return bench.finish()

A way is anything that can be called; it is timed here, unless it gives a ``Done``, which brings its own
seconds: what runs in a process of its own (``way_process``) is timed there. Every round calls each way once.
The ratio is the median over the rounds of how often the way fits into the time of the one it is compared
with: both of a round were disturbed alike.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from machine import about_this_machine, describe

RESULTS = Path(__file__).parent / "results"
_RED, _PLAIN = "\033[1;31m", "\033[0m"


@dataclass(frozen=True)
class Target:
    """What a ratio, or a figure that is compared with nothing, has to reach; ends included."""

    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a target needs at_least or at_most")

    def met(self, value: float) -> bool:
        """Whether the value reaches it; what is no number never does."""
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)

    def text(self, unit: str) -> str:
        """For people: ``at least 2.8x``, ``at most 120 MiB``."""
        parts = [("at least", self.at_least), ("at most", self.at_most)]
        return ", ".join(f"{word} {_with_unit(end, unit)}" for word, end in parts if end is not None)


@dataclass(frozen=True)
class Done:
    """What a way gives that times itself: its seconds, and its answer, which is not looked at here."""

    seconds: float
    answer: Any = None


@dataclass(frozen=True)
class Row:
    """What was measured of one way.

    Attributes:
        what: what was done: ``slow_r50``.
        way: how: ``torch, bfloat16``.
        unit: of median, least and most: ``s``, ``MiB``, ``%``.
        median, least, most: over the rounds; all the same for a single figure; None where it was skipped.
        rounds: how many there were.
        against: the way that ``ratio`` compares it with, or "".
        ratio: how many times faster than that way; None where it is compared with nothing.
        target: of the ratio where there is one, else of the median; None where nothing is asked.
        note: anything a person should know.
        skipped: why it was not measured, or "".
    """

    what: str
    way: str
    unit: str = "s"
    median: float | None = None
    least: float | None = None
    most: float | None = None
    rounds: int = 0
    against: str = ""
    ratio: float | None = None
    target: Target | None = None
    note: str = ""
    skipped: str = ""

    @property
    def judged(self) -> float | None:
        """The number that the target is about."""
        return self.median if self.ratio is None else self.ratio

    @property
    def verdict(self) -> str:
        """``met``, ``MISSED``, ``skipped``, or "" where nothing is asked."""
        if self.skipped:
            return "skipped"
        if self.target is None or self.judged is None:
            return ""
        return "met" if self.target.met(self.judged) else "MISSED"

    @property
    def figure(self) -> str:
        """The number that the target is about, with its unit."""
        return "" if self.judged is None else _with_unit(self.judged, self._judged_unit)

    @property
    def target_text(self) -> str:
        """The target in words."""
        return self.target.text(self._judged_unit) if self.target else ""

    def to_json(self) -> dict[str, Any]:
        """The row as JSON, with what its target came to."""
        words = {"verdict": self.verdict, "figure": self.figure, "target_text": self.target_text}
        return {**asdict(self), **words}

    @property
    def _judged_unit(self) -> str:
        return "x" if self.ratio is not None else self.unit


class SideBySide:
    """One script's measurements: printed as they come, written and judged at the end.

    Args:
        name: of the JSON file in ``benchmarks/results/``.
        title: what is measured, in a line.
        rows_of: more about the machine for the heading and the JSON: the GPU's name.
    """

    def __init__(self, name: str, title: str, **more_about_the_machine: str) -> None:
        self.name = name
        self.rows: list[Row] = []
        self._machine = {**about_this_machine(), **more_about_the_machine}
        self._began = time.perf_counter()
        print(f"\n{name}: {title}\n{describe(self._machine)}\n{_HEAD}", flush=True)

    def race(
        self,
        what: str,
        ways: Mapping[str, Callable[[], object]],
        *,
        rounds: int,
        against: str = "",
        targets: Mapping[str, Target] | None = None,
        notes: Mapping[str, str] | None = None,
        warm_up: bool = True,
    ) -> Race:
        """Time the ways in turns, after one round that does not count.

        Args:
            what: what they all do.
            ways: by name, in the order in which they run.
            rounds: how often each runs.
            against: the name of the way that the others are compared with; "" compares with none.
            targets: of the ratios, or of the median seconds where nothing is compared, by name.
            notes: by name.
            warm_up: whether the round that does not count is run; what is slow and is warm goes without.
        """
        if warm_up:
            for way in ways.values():
                way()
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                times[name].append(_seconds(way))
        race = Race(self, what, times)
        for name in ways:
            against_this = against if name != against else ""
            target, note = (targets or {}).get(name), (notes or {}).get(name, "")
            race.compare(name, against_this, target=target, note=note)
        return race

    def figure(
        self, what: str, way: str, values: float | Sequence[float], unit: str, *,
        target: Target | None = None, note: str = "",
    ) -> Row:  # fmt: skip
        """A row of something else than seconds of a race: memory, a count, a share, a percentile."""
        several = [float(value) for value in values] if isinstance(values, Sequence) else [float(values)]
        middle = statistics.median(several)
        return self.add(
            Row(what, way, unit, middle, min(several), max(several), len(several), target=target, note=note)
        )

    def skip(self, what: str, way: str, why: str, *, target: Target | None = None, unit: str = "x") -> Row:
        """A row of what cannot be measured here, and why."""
        return self.add(Row(what, way, unit, target=target, skipped=why))

    def finish(self, **more: Any) -> int:
        """Write the JSON and say what fell short.

        Args:
            more: goes into the JSON: fits, shifts, anything that is no row.

        Returns:
            What the script ends with: 1 where a target is missed, else 0.
        """
        RESULTS.mkdir(exist_ok=True)
        seconds = time.perf_counter() - self._began
        content = {
            "machine": self._machine, "seconds": seconds, "rows": [row.to_json() for row in self.rows], **more
        }  # fmt: skip
        (RESULTS / f"{self.name}.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
        missed = [row for row in self.rows if row.verdict == "MISSED"]
        asked = [row for row in self.rows if row.target is not None and not row.skipped]
        print(f"{self.name}: {len(asked) - len(missed)} of {len(asked)} targets met, {seconds:.0f} s")
        for row in missed:
            print(red(missed_line(row.to_json())))
        sys.stdout.flush()
        return 1 if missed else 0

    def add(self, row: Row) -> Row:
        """Keep a row and print it."""
        self.rows.append(row)
        print(_line(row), flush=True)
        return row


class Race:
    """The seconds of every round of every way; further comparisons are further rows."""

    def __init__(self, bench: SideBySide, what: str, times: Mapping[str, list[float]]) -> None:
        self._bench = bench
        self.what = what
        self.times = times

    def median(self, way: str) -> float:
        """The median seconds of a way."""
        return statistics.median(self.times[way])

    def ratio(self, way: str, against: str) -> float:
        """The median over the rounds of how many times faster a way is than another."""
        both = zip(self.times[way], self.times[against], strict=True)
        return statistics.median(other / own for own, other in both)

    def compare(
        self, way: str, against: str = "", *, name: str = "", target: Target | None = None, note: str = ""
    ) -> Row:
        """Add a row of one way, compared with another or with nothing; ``name`` is shown in its place."""
        own = self.times[way]
        ratio = self.ratio(way, against) if against else None
        return self._bench.add(
            Row(
                self.what, name or way, "s", self.median(way), min(own), max(own), len(own), against,
                ratio, target, note,
            )
        )  # fmt: skip


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every script has: ``--quick``."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--quick", action="store_true", help="fewer rounds, for `make bench`")
    return made


def missed_line(row: Mapping[str, Any]) -> str:
    """A missed target in a line, from a row's JSON."""
    against = f" against {row['against']}" if row["against"] else ""
    return f"MISSED: {row['what']}, {row['way']}{against}: {row['figure']}, target {row['target_text']}"


def red(text: str) -> str:
    """The text in red where a person sees it, plain in a file."""
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return f"{_RED}{text}{_PLAIN}" if coloured else text


_HEAD = f"{'':30} {'':56} {'median (min to max)':>30} {'ratio':>8}  target"


def _line(row: Row) -> str:
    way = f"{row.way}, against {row.against}" if row.against else row.way
    if row.skipped:
        return f"{row.what:30} {way:56} skipped: {row.skipped}"
    ratio = "" if row.ratio is None else _with_unit(row.ratio, "x")
    line = f"{row.what:30} {way:56} {_spread(row):>30} {ratio:>8}"
    if row.target is not None:
        verdict = red(row.verdict) if row.verdict == "MISSED" else row.verdict
        line += f"  {row.target_text}: {verdict}"
    return line + (f"  ({row.note})" if row.note else "")


def _spread(row: Row) -> str:
    figures = (row.median, row.least, row.most)
    middle, least, most = (value for value in figures if value is not None)
    spread = "" if row.rounds == 1 else f" ({_number(least)} to {_number(most)})"
    return _with_unit(middle, row.unit) + spread


def _with_unit(value: float, unit: str) -> str:
    """``2.8x``, ``3x floor``, ``120 MiB``."""
    return f"{_number(value)}{'' if unit.startswith('x') else ' '}{unit}".rstrip()


def _number(value: float) -> str:
    """Three figures, and no exponent for what people count."""
    if value != 0 and abs(value) < 0.001:
        return f"{value:.1e}"
    decimals = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    shown = f"{value:,.{decimals}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _seconds(way: Callable[[], object]) -> float:
    start = time.perf_counter()
    result = way()
    elapsed = time.perf_counter() - start
    return result.seconds if isinstance(result, Done) else elapsed
