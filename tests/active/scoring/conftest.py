"""A small folder of studies, a version to score them by, and what a scoring did."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vpt_plugin.active.job import ScoringProgress, ScoringResult
from vpt_plugin.active.pool_reader import PoolReader
from vpt_plugin.active.score_folders import scores_root
from vpt_plugin.active.scorer import scorer_of_version
from vpt_plugin.active.scores import ScoreFolder
from vpt_plugin.active.scoring import Watch, score_pool
from vpt_plugin.ct.volume import Provenance, Volume
from vpt_plugin.data.phantom import write_dicom, write_nrrd
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.store.source import OpenedStudy, SourceState
from vpt_plugin.store.studies import StudyFolder
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore

NODULE, TINY = TASKS["nodule"], MODELS["tiny"]


def small_volume(seed: int, *, slices: int = 12) -> Volume:
    """Noise of 16 x 16 pixels around a bright block; another seed, another scan."""
    hu = np.random.default_rng(seed).normal(-700, 150, size=(slices, 16, 16)).astype(np.int16)
    hu[:, 4:12, 4:12] += 600
    provenance = Provenance("phantom", patient_id=f"P{seed}")
    return Volume(hu, (3.0, 2.0, 2.0), (0.0, 0.0, 0.0), np.eye(3)[::-1].copy(), f"scan {seed}", provenance)


class CountingFolder(StudyFolder):
    """Counts what is opened, and may be told to fail."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, fresh_seconds=0)
        self.errors: dict[str, Exception] = {}
        self.away: Callable[[], Exception | None] = lambda: None

    def opened(
        self, study_id: str, *, cancelled: Callable[[], bool] | None = None
    ) -> AbstractContextManager[OpenedStudy]:
        if (error := self.away() or self.errors.get(study_id)) is not None:
            raise error
        return super().opened(study_id, cancelled=cancelled)

    def state(self) -> SourceState:
        return SourceState("folder")


@dataclass
class Pool:
    """Studies, a version that was published for them, and the scorings that were made."""

    root: Path
    told: list[ScoringProgress] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.root / "studies").mkdir()
        self.source = CountingFolder(self.root / "studies")
        self.store = ModelStore(self.root / "models")
        self.serve(new_classifier(TINY, NODULE.findings, seed=3))

    def serve(self, classifier: Classifier) -> None:
        """Publish a version; from now on it scores."""
        card = ModelCard("nodule", "tiny", NODULE.findings, "none", TINY.clip_slices, temperature=2.5)
        self.store.publish(classifier, card)
        self.scorer = scorer_of_version(self.store, NODULE, "tiny", device="cpu")
        self.folder = ScoreFolder(scores_root(self.store.root, self.source), self.scorer.by)

    def add(self, *seeds: int, slices: int = 12) -> None:
        for seed in seeds:
            write_nrrd(small_volume(seed, slices=slices), self.path(seed))

    def add_dicom(self, name: str, seed: int) -> None:
        write_dicom(small_volume(seed), self.root / "studies" / name)

    def path(self, seed: int) -> Path:
        return self.root / "studies" / f"s{seed:03d}.nrrd"

    def reader(self, **options: Any) -> PoolReader:
        return PoolReader(self.source, NODULE.hu_window, pixels=TINY.resize_px, **options)

    def score(self, *, labelled: frozenset[str] = frozenset(), **options: Any) -> ScoringResult:
        watch = {
            name: options.pop(name)
            for name in ("cancelled", "paused", "clock", "now", "sleep", "patience_seconds")
            if name in options
        }
        limits = {name: options.pop(name) for name in ("limit", "compare_seconds") if name in options}
        scorer = options.pop("scorer", self.scorer)
        reader = options.pop("reader", None) or self.reader()
        return score_pool(
            reader, scorer, self.folder, labelled=labelled,
            watch=Watch(progress=self.told.append, **watch), **limits,
        )  # fmt: skip

    @property
    def notes(self) -> list[str]:
        return [each.note for each in self.told if each.note]


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    """A pool of five studies, s001 to s005."""
    made = Pool(tmp_path)
    made.add(1, 2, 3, 4, 5)
    return made
