"""``torchrun ... vpt finetune``: two real processes train what one trains, and one that fails ends both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vpt_plugin.cli import app
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.models.card import ModelCard
from vpt_plugin.training.model_store import ModelStore

FAILING = Path(__file__).parent / "finetune_with_a_failure.py"


@dataclass(frozen=True)
class Site:
    """A folder with studies, where each training gets a folder of models of its own."""

    folder: Path

    def arguments(self, models: str) -> list[str]:
        return [
            "finetune", str(self.folder / "manifest.csv"), "--task", "nodule", "--model", "tiny",
            "--models-dir", str(self.folder / models), "--cache", str(self.folder / "cache"),
            "--device", "cpu", "--no-report", "--epochs", "2", "--steps-per-epoch", "3",
            "--learning-rate", "0.0001", "--batch", "4", "--precision", "float32",
        ]  # fmt: skip

    def torchrun(self, program: list[str], models: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
             *program, *self.arguments(models)],
            capture_output=True, text=True, check=False, timeout=180,
            env={**os.environ, "OMP_NUM_THREADS": "1", "VPTCT_HOME": str(self.folder / "home")},
        )  # fmt: skip

    def card(self, models: str) -> ModelCard:
        (card,) = ModelStore(self.folder / models).cards()
        return card

    def probabilities(self, models: str) -> dict[str, float]:
        record = self.folder / models / "nodule_tiny" / "v0001" / "validation.json"
        studies = json.loads(record.read_text())["studies"]
        return {each["study"]: each["probabilities"]["lung_nodule"] for each in studies}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, make_study: Callable[..., Any]) -> Site:
    folder = tmp_path_factory.mktemp("site")
    sides = ["train"] * 8 + ["validation"] * 6
    studies = (make_study(folder, number, side) for number, side in enumerate(sides))
    Manifest(tuple(studies)).write(folder / "manifest.csv")
    alone = Site(folder)
    result = CliRunner().invoke(app, alone.arguments("alone"), env={"VPTCT_HOME": str(folder / "home")})
    assert result.exit_code == 0, result.stderr
    return alone


def errors(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("error")]


def test_two_processes_find_what_one_finds(site: Site) -> None:
    done = site.torchrun(["-m", "vpt_plugin.cli"], "together")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Published nodule/tiny version 1") == 1
    assert done.stderr.count("comparing") == 1
    alone, together = site.card("alone"), site.card("together")
    # The tolerance of the documentation for float32: numbers are added in another order.
    for one, two in zip(alone.training["history"], together.training["history"], strict=True):
        assert two["train_loss"] == pytest.approx(one["train_loss"], abs=1e-4)
        assert two["log_loss"] == pytest.approx(one["log_loss"], abs=1e-4)
        assert two["auroc"] == one["auroc"]
    assert together.trained_on == alone.trained_on == 8
    assert together.split_hash == alone.split_hash
    assert site.probabilities("together") == pytest.approx(site.probabilities("alone"), abs=1e-4)


def test_a_process_that_fails_ends_all_with_one_error_and_nothing_is_published(site: Site) -> None:
    done = site.torchrun([str(FAILING)], "failed")
    assert done.returncode != 0
    (error,) = errors(done.stderr)
    assert error.startswith("error in process 1 of 2 on ")
    assert error.endswith("study-003: the disk does not answer.")
    assert ModelStore(site.folder / "failed").cards() == []
