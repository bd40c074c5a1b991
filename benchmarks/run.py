"""All benchmarks, one after the other: ``make bench`` (quick) and ``make bench-full``.

Every script runs in a process of its own, so that none warms the next one up and none that fails stops the
others. At the end stands every target with its figure, then what was skipped and what fell short. Ends with 1
where a target is missed, a script failed, or one judged nothing though it does not need a GPU.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from side_by_side import RESULTS, missed_line, parser, red

HERE = Path(__file__).parent
# The quick form of each on 2 cores, in seconds; one that takes four times as long has gone astray.
QUICK_SECONDS = {
    "reading": 40,
    "clips": 140,
    "whole_study": 140,
    "cache": 15,
    "server": 45,
    "upload": 35,
    "sizes": 30,
    "archive": 45,
    "stores": 45,
    "overlap": 20,
    "gpu": 5,
}
# They train first and measure no speed: in the quick form they run only where they are named.
FULL_FORM_SECONDS = {"pointing_game": 180}
# These may have nothing to measure on a machine that is as it should be.
MAY_SKIP_ALL = frozenset({"gpu"})
_ASTRAY = 4


@dataclass(frozen=True)
class Outcome:
    """What one script came to.

    Attributes:
        script: its name.
        seconds: how long it took.
        rows: of its JSON; empty where it failed.
        problem: why it failed, or "".
    """

    script: str
    seconds: float
    rows: tuple[Mapping[str, Any], ...] = ()
    problem: str = ""

    @property
    def judged(self) -> bool:
        """Whether it came to a verdict about any row."""
        return any(row["verdict"] in ("met", "MISSED") for row in self.rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the scripts that are asked for."""
    options = parser(__doc__)
    every = (*QUICK_SECONDS, *FULL_FORM_SECONDS)
    options.add_argument("scripts", nargs="*", metavar="SCRIPT", help=f"of {', '.join(every)}")
    arguments = options.parse_args(argv)
    if unknown := set(arguments.scripts) - set(every):
        options.error(f"no such script: {', '.join(sorted(unknown))}; choose from {', '.join(every)}")
    began = time.perf_counter()
    usual = QUICK_SECONDS if arguments.quick else every
    outcomes = [run(name, quick=arguments.quick) for name in arguments.scripts or usual]
    print(f"\nAll in {(time.perf_counter() - began) / 60:.1f} minutes\n")
    return summarise(outcomes)


def run(script: str, *, quick: bool) -> Outcome:
    """Run one script and read what it wrote."""
    command = [sys.executable, str(HERE / f"{script}.py"), *(["--quick"] if quick else [])]
    limit = (QUICK_SECONDS | FULL_FORM_SECONDS)[script] * _ASTRAY if quick else None
    began, began_clock = time.perf_counter(), time.time()
    problem = ""
    try:
        code = subprocess.run(command, check=False, timeout=limit).returncode
    except subprocess.TimeoutExpired:
        code, problem = 1, f"was ended after {limit} s"
    seconds = time.perf_counter() - began
    written = RESULTS / f"{script}.json"
    # Written by this run, not by an earlier one.
    if problem or not written.is_file() or written.stat().st_mtime < began_clock:
        return Outcome(script, seconds, problem=problem or f"ended with {code} and without results")
    rows = tuple(json.loads(written.read_text(encoding="utf-8"))["rows"])
    missed = any(row["verdict"] == "MISSED" for row in rows)
    # What it measured stands even where it failed later on.
    problem = f"ended with {code} though no target is missed" if code and not missed else ""
    return Outcome(script, seconds, rows, problem)


def summarise(outcomes: Sequence[Outcome]) -> int:
    """Print every target, then what was skipped and what fell short; returns the exit code."""
    verdicts = {"met": 0, "MISSED": 0, "skipped": 0}
    skips, problems = [], []
    for outcome in outcomes:
        skips += [f"{_skipped_line(row)} ({outcome.script}.py)" for row in outcome.rows if row["skipped"]]
        print(
            f"{outcome.script} ({outcome.seconds:.0f} s){': ' + outcome.problem if outcome.problem else ''}"
        )
        if outcome.problem:
            problems.append(f"FAILED: {outcome.script}.py {outcome.problem}")
        elif not outcome.judged and outcome.script not in MAY_SKIP_ALL:
            problems.append(f"FAILED: {outcome.script}.py judged nothing")
        for row in (row for row in outcome.rows if row["target_text"]):
            verdicts[row["verdict"]] += 1
            print(_line(row))
            if row["verdict"] == "MISSED":
                problems.append(f"{missed_line(row)} ({outcome.script}.py)")
    print("\n" + ", ".join(f"{verdict.lower()}: {count}" for verdict, count in verdicts.items()))
    for line in (*skips, *map(red, problems)):
        print(line)
    return 1 if problems else 0


def _skipped_line(row: Mapping[str, Any]) -> str:
    asked = f", target {row['target_text']}" if row["target_text"] else ""
    what = ", ".join(part for part in (row["what"], row["way"]) if part)
    return f"skipped: {what}: {row['skipped']}{asked}"


def _line(row: Mapping[str, Any]) -> str:
    way = f"{row['way']}, against {row['against']}" if row["against"] else row["way"]
    verdict = red(row["verdict"]) if row["verdict"] == "MISSED" else row["verdict"]
    figure = row["figure"] or row["skipped"]
    return f"  {row['what']:30} {way:44} {figure:>12}  {row['target_text']:22} {verdict}"


if __name__ == "__main__":
    raise SystemExit(main())
