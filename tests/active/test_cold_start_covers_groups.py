"""Without a label and without a trained head the first batch covers the kinds of examinations of a pool.

The pool is of phantoms of five kinds, as a hospital has them: most without contrast medium in thin slices,
few in thick slices or of a low dose. These kinds differ in how the examination was made, which is just what
the four statistics of the cold start describe, and on phantoms of such kinds they were chosen. So this test
guards what was chosen, and is no evidence for other kinds: `benchmarks/cold_start.py` has a pool whose kinds
are of anatomy, and there the first batch covers no more of them than chance does.
"""

from __future__ import annotations

from math import comb
from pathlib import Path

import numpy as np
import pytest

from vpt_plugin.acquisition.pool import Pool
from vpt_plugin.acquisition.strategies import choose
from vpt_plugin.active.cold_start import cold_start_scorer
from vpt_plugin.active.pool_reader import PoolStudy, StudyContent
from vpt_plugin.ct.intensity import prepare_slices
from vpt_plugin.ct.statistics import study_facts
from vpt_plugin.data.phantom import PhantomConfig, make_phantom
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.tasks import TASKS

NODULE = TASKS["nodule"]
PIXELS = 48
LOW, HIGH = (6.0, 10.0), (30.0, 40.0)
# Contrast medium, slice spacing, noise, and how many such studies there are.
KINDS = (
    (False, 2.5, LOW, 12),
    (True, 2.5, LOW, 6),
    (False, 6.0, LOW, 3),
    (False, 2.5, HIGH, 3),
    (True, 6.0, LOW, 3),
)
BATCH, SEEDS = 8, 20


def content_of(seed: int, contrast: bool, spacing_mm: float, noise_hu: tuple[float, float]) -> StudyContent:
    config = PhantomConfig(pixels=PIXELS, slice_spacings_mm=(spacing_mm,), noise_hu=noise_hu)
    volume = make_phantom(seed, config=config, nodule=bool(seed % 2), contrast=contrast, emboli=False).volume
    return StudyContent(prepare_slices(volume, NODULE.hu_window, pixels=112), study_facts(volume), True)


@pytest.fixture(scope="module")
def phantoms() -> tuple[np.ndarray, list[StudyContent]]:
    kinds = np.repeat(np.arange(len(KINDS)), [count for *_, count in KINDS])
    return kinds, [content_of(seed, *KINDS[kind][:3]) for seed, kind in enumerate(kinds)]


def covered_by_chance(sizes: list[int]) -> float:
    """The expected number of kinds in a batch drawn without looking."""
    total = sum(sizes)
    return sum(1 - comb(total - size, BATCH) / comb(total, BATCH) for size in sizes)


def covered_by_typical(kinds: np.ndarray, embeddings: np.ndarray) -> list[int]:
    count = len(kinds)
    pool = Pool(
        tuple(f"s{row:03d}" for row in range(count)), NODULE.findings, embeddings, embeddings, None, None,
        np.full((count, 1), np.nan), np.ones(count, dtype=bool), np.zeros(count, dtype=bool),
    )  # fmt: skip
    batches = [
        choose("typical", pool, BATCH, np.random.default_rng(seed), seed=seed) for seed in range(SEEDS)
    ]
    return [len({int(kinds[choice.row]) for choice in batch}) for batch in batches]


def test_the_first_batch_covers_more_kinds_than_chance_does(phantoms, tmp_path: Path) -> None:
    kinds, contents = phantoms
    scorer = cold_start_scorer(NODULE, "tiny", weights=WeightsFolder(tmp_path), device="cpu")
    scores = [
        scorer.score(PoolStudy(f"s{row:03d}", "", "", content), lambda: False)
        for row, content in enumerate(contents)
    ]
    assert all(each.probabilities is None for each in scores), "no head is trained, so none answers"
    covered = covered_by_typical(kinds, np.stack([each.embedding for each in scores]).astype(np.float32))
    chance = covered_by_chance([count for *_, count in KINDS])
    assert np.mean(covered) > chance + 0.4, f"{np.mean(covered):.2f}, by chance {chance:.2f}"
