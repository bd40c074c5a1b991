"""Real CTs: what is computed ahead is what a reader is told afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vpt_plugin.active.cold_start import cold_start_scorer
from vpt_plugin.active.scores import ScoreFolder
from vpt_plugin.ct.archive import unpack
from vpt_plugin.ct.reader import read_study
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.tasks import TASKS


def test_a_real_ct_is_scored_as_it_is_answered(
    pool, real_data: Path, spread_out: Callable[..., None], tmp_path: Path
) -> None:
    studies = pool.root / "studies"
    (studies / "lidc").mkdir()
    unpack(real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_dicom_133.zip", studies / "lidc")
    shutil.copyfile(real_data / "chest-64" / "ct-64.nrrd", studies / "ct-64.nrrd")
    volume = read_study(studies / "lidc")
    classifier = pool.store.classifier(pool.store.card("nodule", "tiny"))
    spread_out(classifier, TASKS["nodule"], volume)
    pool.serve(classifier)
    assert pool.score().scored == 7
    found = pool.folder.read()
    (row,) = (row for row, study in enumerate(found.studies) if not study.endswith(".nrrd"))
    said = pool.scorer.predictor.predict(volume)
    assert found.probabilities[row, 0] == pytest.approx(said.findings[0].probability, abs=1e-6)
    assert found.disagreement[row, 0] == pytest.approx(said.clip_disagreement, abs=1e-6)
    assert found.disagreement[row, 0] > 0.1, "its clips are told apart"
    assert found.clips[row] == len(said.findings[0].clips) > 10
    assert found.study_dates[row] == "20000101"
    assert not found.synthetic[row]

    scorer = cold_start_scorer(TASKS["nodule"], "tiny", weights=WeightsFolder(tmp_path / "none"))
    pool.folder = ScoreFolder(tmp_path / "scores", scorer.by)
    pool.score(scorer=scorer)
    spacing, noise, bright, lung = pool.folder.read().embeddings[row]
    assert np.exp(spacing) == pytest.approx(2.5, abs=0.01)
    assert 1 < np.exp(noise) < 30
    assert 0.01 < bright < 0.2
    assert 0.05 < lung < 0.5
