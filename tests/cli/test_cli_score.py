"""``vpt score``: scores in the foreground, and what is told of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vpt_plugin.active.score_folders import score_folders, scores_root
from vpt_plugin.cli import app
from vpt_plugin.store.studies import StudyFolder


@pytest.fixture
def models_dir(models_dir: Path, tmp_path: Path) -> Path:
    """Scores are written beside the versions, which other tests share."""
    return shutil.copytree(models_dir, tmp_path / "trained")


@pytest.fixture
def score(
    models_dir: Path, tmp_path: Path, write_study: Callable[[Path], Path], monkeypatch
) -> Callable[..., Result]:
    monkeypatch.setenv("VPTCT_HOME", str(tmp_path / "home"))
    for name in ("a", "b"):
        write_study(tmp_path / "studies" / f"{name}.nrrd")

    def run(*arguments: str, models: Path = models_dir, studies: str = "studies") -> Result:
        return CliRunner().invoke(
            app,
            [
                "score",
                str(tmp_path / studies),
                "-t",
                "nodule",
                "-m",
                "tiny",
                "--models-dir",
                str(models),
                *arguments,
            ],
        )

    return run


def test_the_served_version_scores_once_and_then_only_what_is_new(
    score, tmp_path: Path, write_study, models_dir: Path
) -> None:
    first = score()
    assert first.exit_code == 0, first.output
    assert "2 studies have scores by nodule_tiny version 1: 2 computed in" in first.stdout
    assert "Warning: this model was trained on synthetic phantoms only" in first.stdout
    write_study(tmp_path / "studies" / "c.nrrd")
    (tmp_path / "studies" / "d.nrrd").write_bytes(b"NRRD0004\nno")
    second = score()
    assert "3 studies have scores" in second.stdout
    assert "1 computed" in second.stdout
    assert "2 from before" in second.stdout
    assert "Left out, unreadable: 1 study." in second.stdout
    assert "d.nrrd is left out: " in second.stderr
    root = scores_root(models_dir, StudyFolder(tmp_path / "studies"))
    (folder,) = score_folders(root)
    assert folder.read().studies == ("a.nrrd", "b.nrrd", "c.nrrd")
    assert json.loads((root / "source.json").read_text())["origin"] == str((tmp_path / "studies").resolve())


def test_two_folders_with_equal_names_do_not_overwrite_each_other(score, tmp_path: Path, write_study) -> None:
    for name in ("a", "b"):
        write_study(tmp_path / "elsewhere" / f"{name}.nrrd")
    first, other, again = score(), score(studies="elsewhere"), score()
    assert "2 computed" in first.stdout
    assert "2 computed" in other.stdout
    assert "0 computed" in again.stdout
    assert "2 from before" in again.stdout


def test_without_a_version_the_cold_start_says_what_it_goes_by(score, tmp_path: Path) -> None:
    result = score(models=tmp_path / "models")
    assert result.exit_code == 0, result.output
    assert "2 studies have scores by nodule_tiny, which is not trained yet" in result.stdout
    assert "Warning: no head is trained yet" in result.stdout


def test_a_version_that_is_not_there_and_a_folder_that_is_none_are_told(score, tmp_path: Path) -> None:
    missing = score("--version", "9")
    assert (missing.exit_code, "version 9" in missing.stderr) == (1, True)
    nowhere = CliRunner().invoke(app, ["score", str(tmp_path / "nowhere"), "-t", "nodule", "-m", "tiny"])
    assert nowhere.exit_code == 2
    assert "Give a folder of studies or the address" in nowhere.stderr


def test_the_network_that_is_served_scores_where_none_is_named(
    score, tmp_path: Path, models_dir: Path
) -> None:
    studies, models = str(tmp_path / "studies"), str(models_dir)
    result = CliRunner().invoke(app, ["score", studies, "-t", "nodule", "--models-dir", models])
    assert result.exit_code == 0, result.output
    assert "2 studies have scores by nodule_tiny version 1: 2 computed" in result.stdout


def test_where_nothing_is_served_the_network_that_tells_most_without_training_scores(
    score, tmp_path: Path
) -> None:
    studies, models = str(tmp_path / "studies"), str(tmp_path / "none")
    result = CliRunner().invoke(app, ["score", studies, "-t", "nodule", "--models-dir", models])
    assert result.exit_code == 0, result.output
    assert "2 studies have scores by nodule_tiny, which is not trained yet" in result.stdout


def test_a_mistyped_folder_of_labels_is_refused(score, tmp_path: Path) -> None:
    result = score("--labels-dir", str(tmp_path / "labls"))
    assert result.exit_code == 2
    assert "labls: there is no such folder" in result.stderr
