"""How long the choice of the next study takes, and how much memory, per strategy: 10,000 scored studies.

The embeddings are drawn around twenty centres, with as many features as the widest network here has; of the
studies 1 in 10 has the finding, and some are labelled. The first pick of a process imports scikit-activeml
and works out where the studies lie to each other; later ones find that done, as on a server. Every strategy
has a process of its own, so that none inherits memory; "pool" is that of the studies' numbers before a pick.

Nothing is read here: reading the scores of a version from the disk comes before the first pick, once. The
exit code is 1 where a later pick takes a second or more.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

# As the server is started: threads that wait do not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from machine import about_this_machine
from side_by_side import RESULTS

from vpt_plugin.acquisition.pool import Pool
from vpt_plugin.acquisition.strategies import STRATEGIES, Geometry, choose

CENTRES, SHARE_PRESENT, SPREAD = 20, 0.1, 2.0
BATCH = 8
LIMIT_SECONDS = 1.0
HEADS = (("first", 10), ("later, 1", 12), (f"later, {BATCH}", 12), ("pool", 12), ("peak", 12))


@dataclass(frozen=True)
class Figures:
    """Of one strategy: seconds, the median of the later picks, and memory in 2^20 bytes."""

    first_pick: float
    one: float
    batch: float
    pool_mib: float
    peak_mib: float


def main() -> int:
    """Measure every strategy, or the one that is asked for; 1 where a later pick is too slow."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--labelled", type=int, nargs="+", default=[0, 200, 2000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--strategy", choices=STRATEGIES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.strategy:
        (labelled,) = given.labelled
        pool = make_pool(given.studies, given.features, labelled)
        print(json.dumps(asdict(measure(given.strategy, pool, given.rounds))))
        return 0
    machine = about_this_machine()
    print(f"{machine['cpu']}, {machine['cores']} cores; {given.studies} studies, {given.features} features\n")
    rows = {
        str(labelled): _table(labelled, (given.studies, given.features, given.rounds))
        for labelled in given.labelled
    }
    RESULTS.mkdir(exist_ok=True)
    content = {"machine": machine, "studies": given.studies, "features": given.features, "rows": rows}
    (RESULTS / "next_study.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
    slowest = max(
        figures[each] for table in rows.values() for figures in table.values() for each in ("one", "batch")
    )
    print(f"the slowest pick after the first: {slowest:.2f} s (at most {LIMIT_SECONDS:g} s are wanted)")
    return int(slowest >= LIMIT_SECONDS)


def _table(labelled: int, size: tuple[int, int, int]) -> dict[str, dict[str, float]]:
    heads = "".join(f"{head:>{width}}" for head, width in HEADS)
    print(f"{f'{labelled} labelled':20}{heads}")
    rows = {}
    for name in STRATEGIES:
        if labelled == 0 and STRATEGIES[name].needs == "probabilities":
            continue
        rows[name] = _in_own_process(name, labelled, size)
        seconds = "".join(
            f"{rows[name][each]:>{width}.2f} s"
            for each, width in (("first_pick", 8), ("one", 10), ("batch", 10))
        )
        memory = "".join(f"{rows[name][each]:>8.0f} MiB" for each in ("pool_mib", "peak_mib"))
        print(f"{name:20}{seconds}{memory}", flush=True)
    print()
    return rows


def _in_own_process(strategy: str, labelled: int, size: Sequence[int]) -> dict[str, float]:
    studies, features, rounds = map(str, size)
    command = [
        sys.executable, str(Path(__file__)), "--strategy", strategy, "--labelled", str(labelled),
        "--studies", studies, "--features", features, "--rounds", rounds,
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def make_pool(studies: int, features: int, labelled: int) -> Pool:
    """A pool of made-up studies; with no label there is no trained head either."""
    rng = np.random.default_rng(0)
    centres = SPREAD * rng.normal(size=(CENTRES, features)).astype(np.float32)
    embeddings = rng.standard_normal((studies, features), dtype=np.float32)
    embeddings += centres[rng.integers(CENTRES, size=studies)]
    present = rng.random(studies) < SHARE_PRESENT
    logits = rng.normal(np.where(present, 0.0, -4.0), 1.5)
    probabilities = (1 / (1 + np.exp(-logits)))[:, None] if labelled else None
    taken = np.zeros(studies, dtype=bool)
    taken[rng.permutation(studies)[:labelled]] = True
    states = np.where(taken, present.astype(np.float64), np.nan)[:, None]
    return Pool(
        tuple(f"p{number:06}--ct" for number in range(studies)), ("finding",),
        embeddings, np.maximum(embeddings, 0), probabilities,
        None if probabilities is None else probabilities * (1 - probabilities), states, ~taken, taken,
    )  # fmt: skip


def measure(strategy: str, pool: Pool, rounds: int) -> Figures:
    """One strategy, in this process."""
    before = _peak_mib()
    geometry = Geometry(pool.embeddings, pool.key_embeddings)
    first = _seconds(strategy, pool, geometry, 1, 0)
    one = [_seconds(strategy, pool, geometry, 1, number) for number in range(rounds)]
    batch = [_seconds(strategy, pool, geometry, BATCH, number) for number in range(rounds)]
    return Figures(first, statistics.median(one), statistics.median(batch), before, _peak_mib())


def _seconds(strategy: str, pool: Pool, geometry: Geometry, n: int, seed: int) -> float:
    began = time.perf_counter()
    choices = choose(strategy, pool, n, np.random.default_rng(seed), geometry=geometry)
    assert len(choices) == n
    return time.perf_counter() - began


def _peak_mib() -> float:
    # Counted in KiB, on macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


if __name__ == "__main__":
    raise SystemExit(main())
