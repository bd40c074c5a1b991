"""The first batch without a label, a trained head or weights: how many kinds of a pool does it cover?

Two pools of 50 phantoms in five kinds (22, 10, 6, 6 and 6 of them), half of each with nodules:

examination  kinds differ in contrast medium, slice spacing and noise: in what the four statistics of the
             cold start measure, and on phantoms of such kinds these were chosen
anatomy      kinds differ in sex, size and fat of the patient, all scanned alike: nothing was chosen on these

Printed are the kinds among the first eight studies by `typical`, mean over 20 seeds of the
clustering with its 95 % interval (of the same pool: another one gives other figures), and the expected number
when eight are drawn by chance. About half a minute of one core.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from math import comb
from pathlib import Path

# Before torch is loaded: its threads otherwise spin while they wait.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.acquisition.pool import Pool
from vpt_plugin.acquisition.strategies import choose
from vpt_plugin.active.cold_start import cold_start_scorer
from vpt_plugin.active.pool_reader import PoolStudy, StudyContent
from vpt_plugin.active.simulation.summary import interval_over_seeds
from vpt_plugin.ct.intensity import prepare_slices
from vpt_plugin.ct.statistics import study_facts
from vpt_plugin.data.phantom import PhantomConfig, make_phantom
from vpt_plugin.data.phantom.phantom import Patient, draw_patient
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.tasks import TASKS

TASK = TASKS["nodule"]
COUNTS, BATCH, SEEDS = (22, 10, 6, 6, 6), 8, 20
LOW_NOISE, HIGH_NOISE = (6.0, 10.0), (30.0, 40.0)


@dataclass(frozen=True)
class Kind:
    """One kind of study.

    Attributes:
        contrast: with contrast medium.
        spacing_mm: of the slices.
        noise_hu: least and most.
        of: which patients are of it.
    """

    contrast: bool = False
    spacing_mm: float = 2.0
    noise_hu: tuple[float, float] = LOW_NOISE
    of: Callable[[Patient], bool] = lambda patient: True

    @property
    def config(self) -> PhantomConfig:
        """Of its phantoms."""
        return PhantomConfig(pixels=48, slice_spacings_mm=(self.spacing_mm,), noise_hu=self.noise_hu)


def _build(*, woman: bool, width: tuple[float, float], fat_mm: float = 0.0) -> Kind:
    """Patients of a sex, a width as a share of the reference man's, and with at least that much fat."""

    def of(patient: Patient) -> bool:
        chest = patient.chest
        wide = width[0] <= patient.scale[0] <= width[1]
        return (chest.breast_mm > 0) == woman and wide and chest.fat_mm >= fat_mm

    return Kind(of=of)


POOLS: Mapping[str, Sequence[Kind]] = {
    "examination": (
        Kind(),
        Kind(contrast=True),
        Kind(spacing_mm=5.0),
        Kind(noise_hu=HIGH_NOISE),
        Kind(contrast=True, spacing_mm=5.0),
    ),
    "anatomy": (
        _build(woman=False, width=(0.95, 1.05)),
        _build(woman=True, width=(0.95, 1.05)),
        _build(woman=False, width=(1.06, 1.1)),
        _build(woman=False, width=(0.9, 0.94)),
        _build(woman=True, width=(1.06, 1.1), fat_mm=15.0),
    ),
}


def studies_of(kind: Kind, first_seed: int) -> Iterator[StudyContent]:
    """Studies of a kind, without end; every second one has nodules."""
    fitting = (seed for seed in count(first_seed) if kind.of(_patient(seed, kind)))
    for number, seed in enumerate(fitting):
        volume = make_phantom(
            seed, config=kind.config, nodule=bool(number % 2), contrast=kind.contrast, emboli=False
        ).volume
        yield StudyContent(prepare_slices(volume, TASK.hu_window, pixels=112), study_facts(volume), True)


def _patient(seed: int, kind: Kind) -> Patient:
    return draw_patient(np.random.default_rng(seed), kind.config)


def embeddings_of(contents: Sequence[StudyContent]) -> NDArray[np.float32]:
    """(studies, features) of the cold start, as where no weights were fetched."""
    with tempfile.TemporaryDirectory() as empty:
        scorer = cold_start_scorer(TASK, "tiny", weights=WeightsFolder(Path(empty)), device="cpu")
        scores = [
            scorer.score(PoolStudy(f"s{row:03d}", "", "", content), lambda: False)
            for row, content in enumerate(contents)
        ]
    return np.asarray([each.embedding for each in scores], dtype=np.float32)


def covered(kinds: NDArray[np.int64], embeddings: NDArray[np.float32], seed: int) -> int:
    """Kinds among the first batch by ``typical``."""
    n = len(kinds)
    pool = Pool(
        tuple(f"s{row:03d}" for row in range(n)), TASK.findings, embeddings, embeddings, None, None,
        np.full((n, len(TASK.findings)), np.nan), np.ones(n, dtype=bool), np.zeros(n, dtype=bool),
    )  # fmt: skip
    batch = choose("typical", pool, BATCH, np.random.default_rng(seed), seed=seed)
    return len({int(kinds[each.row]) for each in batch})


def by_chance() -> float:
    """The expected number of kinds in a batch that is drawn without looking."""
    n = sum(COUNTS)
    return sum(1 - comb(n - size, BATCH) / comb(n, BATCH) for size in COUNTS)


def main() -> int:
    """The command line; its exit code."""
    kinds = np.repeat(np.arange(len(COUNTS)), COUNTS)
    print(f"| kinds of | `typical`, of {len(COUNTS)} | chance |\n|---|---:|---:|")
    for name, pool in POOLS.items():
        contents = [
            content
            for number, (kind, size) in enumerate(zip(pool, COUNTS, strict=True))
            for content in islice(studies_of(kind, 10_000 * number), size)
        ]
        embeddings = embeddings_of(contents)
        found = interval_over_seeds(
            np.array([covered(kinds, embeddings, seed) for seed in range(SEEDS)], dtype=np.float64)
        )
        low, high = found.ci95
        print(f"| {name} | {found.value:.2f} ({low:.2f} to {high:.2f}) | {by_chance():.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
