"""``vpt classify --versions``: other versions answer, too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from vpt_plugin.cli import app
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore


def test_other_versions_answer_in_json_and_in_words(
    tmp_path: Path, write_study: Callable[[Path], Path]
) -> None:
    task, spec = TASKS["nodule"], MODELS["tiny"]
    for seed in (1, 2, 3):
        card = ModelCard(task.name, spec.name, task.findings, "none", spec.clip_slices)
        ModelStore(tmp_path / "models").publish(new_classifier(spec, task.findings, seed=seed), card)
    study = write_study(tmp_path / "ct.nii.gz")

    def classify(*options: str) -> str:
        words = ["classify", str(study), "--task", "nodule", "--model", "tiny", "--unsuitable", "warn"]
        words += ["--models-dir", str(tmp_path / "models"), *options]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    (alone,) = json.loads(classify("--json", "--version", "1"))
    (answer,) = json.loads(classify("--json", "--versions", "2"))
    uncertainty = answer["vptct"]["uncertainty"]
    assert [each["version"] for each in uncertainty["versions"]] == [2, 1]
    # Version 1 says beside version 3 what it says alone.
    said = uncertainty["versions"][1]["probabilities"]["lung_nodule"]
    assert said == alone["vptct"]["findings"][0]["probability"]
    assert 0 < uncertainty["version_disagreement"] < 0.5
    assert "the standard deviation with them is" in " ".join(classify("--versions", "2").split())
