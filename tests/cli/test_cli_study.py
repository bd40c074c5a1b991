"""``vpt study``: what it refuses, what it would do, and the published table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from made_experiment import make_experiment, write_manifest, write_result
from typer.testing import CliRunner, Result

from vpt_plugin.cli.app import app
from vpt_plugin.cli.study import _end_stopped, _unused_gpu
from vpt_plugin.cli.study_progress import study_display
from vpt_plugin.cluster import RayPlace
from vpt_plugin.study.cell_folder import CellFolder
from vpt_plugin.study.cell_records import Failure
from vpt_plugin.study.plan import Plan
from vpt_plugin.study.runner import StudyProgress
from vpt_plugin.study.runner_cell import CellProgress
from vpt_plugin.training.progress import Progress

PLAN = """
title: A small plan
datasets:
  balls:
    task: nodule
    phantoms: {count: 8, seed: 1}
    arms:
      100: [none]
networks: [tiny]
seeds: [0, 1]
learning_rates:
  all: [1.0e-3]
"""


def vpt(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def test_a_dry_run_counts_cells_and_makes_nothing(plan: Path, tmp_path: Path) -> None:
    done = vpt("study", "--plan", plan, "--out", tmp_path / "out", "--dry-run", "--seeds", "1")
    assert done.exit_code == 0, done.output
    assert "balls final 1 0 0 1 total 1 0 0 1" in " ".join(done.output.split())
    assert "Phantoms are made first: balls.\nNothing is missing." in done.output
    assert not (tmp_path / "out").exists()


def test_a_dry_run_counts_what_the_run_would_find_and_refuses_what_it_would_refuse(tmp_path: Path) -> None:
    plan, manifest = tmp_path / "small.yaml", write_manifest(tmp_path)
    plan.write_text(PLAN.replace("phantoms: {count: 8, seed: 1}", f"manifest: {manifest}"), encoding="utf-8")
    first, second = Plan.read(str(plan)).cells()
    out = tmp_path / "out"
    CellFolder.of(out, first.id).write_failure(Failure("it failed"))
    # What only waited for another one is tried again by itself.
    CellFolder.of(out, second.id).write_failure(Failure("it waited", needs=first.id))
    asked = ("study", "--plan", plan, "--out", out, "--dry-run")
    assert "balls final 2 0 1 1 total 2 0 1 1" in " ".join(vpt(*asked).output.split())
    assert "balls final 2 0 0 2" in " ".join(vpt(*asked, "--retry-failed").output.split())

    write_result(CellFolder.of(out, first.id), first)
    refused = vpt(*asked)
    assert refused.exit_code == 2, refused.output
    assert "Nothing is missing" not in refused.output
    assert f"{first.id} is done, but of something else: changed since: the manifest's studies" in " ".join(
        refused.output.split()
    )


def test_what_the_report_warns_of_is_told_on_the_terminal_too(tmp_path: Path) -> None:
    out = make_experiment(tmp_path, arms="{100: [none, video]}", networks=("swin_t",), synthetic=True)
    done = vpt("study", "report", out)
    assert done.exit_code == 0, done.output
    warnings = [line for line in done.output.splitlines() if line.startswith("Warning: ")]
    assert any("phantoms" in each for each in warnings), done.output
    assert any("30" in each for each in warnings), done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "a study needs a plan and a folder"),
        (["--plan", "quick"], "a study needs a plan and a folder"),
        (["--plan", "nothing", "--out", "o"], "built-in plans: paper, quick"),
        (["--plan", "paper", "--out", "o"], "dataset rsna: no manifest was named"),
        (["--plan", "paper", "--out", "o", "--dataset", "rsna"], "--dataset rsna=rsna/manifest.csv"),
        (["--plan", "paper", "--out", "o", "--dataset", "rsna=x.csv"], "x.csv is no file"),
        (["--plan", "quick", "--out", "o", "--set", "epochz=3"], "epochz"),
        (["--plan", "quick", "--out", "o", "--set", "seed=3"], "seed is no setting of a plan's training"),
        (["--plan", "quick", "--out", "o", "--seeds", "one"], "these are not numbers"),
        (["--plan", "quick", "--out", "o", "--networks", "swin_t"], "no 'swin_t' among its networks"),
        (["report", "."], "is no folder of a study"),
    ],
)
def test_what_cannot_be_run_is_told_at_once(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    if words and words[0] != "report":
        words = [*words, "--dry-run"]
    done = vpt("study", *words)
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.output.split())
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_the_paper_counts_by_set_and_names_all_that_is_missing_at_once(tmp_path: Path) -> None:
    done = vpt("study", "--plan", "paper", "--out", tmp_path / "out", "--weights-dir", tmp_path, "--dry-run")
    assert done.exit_code == 2, done.output
    said = " ".join(done.output.split())
    # 180 trainings of the table: 100 on RSNA, 80 on LIDC; five rates for each of 100 choices.
    for row in ("rsna final 100 0 0 100", "lidc final 80 0 0 80", "ct_set pretrain 20 0 0 20"):
        assert row in said
    assert "total 700 0 0 700" in said
    assert "4 things are missing:" in said
    for missing in (
        "- dataset rsna: no manifest was named. Name one (--dataset rsna=DIR/manifest.csv)",
        "- dataset lidc: no manifest was named.",
        "- the set for CT pretraining is missing: --ct NAME=DIR/manifest.csv. Without one, leave out",
        "`vpt weights fetch swin_t`",
    ):
        assert missing in said


def test_a_manifest_of_a_plan_that_is_not_there_is_told_with_the_way_out(tmp_path: Path) -> None:
    plan = tmp_path / "small.yaml"
    plan.write_text(PLAN.replace("phantoms: {count: 8, seed: 1}", "manifest: nope/manifest.csv"))
    done = vpt("study", "--plan", plan, "--out", tmp_path / "out", "--dry-run")
    assert done.exit_code == 2, done.output
    said = " ".join(done.output.split())
    assert f"dataset balls: there is no {tmp_path / 'nope' / 'manifest.csv'}. The manifests of a plan" in said
    assert "(--dataset balls=DIR/manifest.csv)" in said


def test_of_a_stopped_study_it_is_said_whether_anything_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vpt_plugin.cli.study.os._exit", sys.exit)
    with pytest.raises(SystemExit, match="130"):
        _end_stopped(tmp_path)
    assert capsys.readouterr().err == "Stopped before a training began.\n"
    (tmp_path / "cells").mkdir()
    with pytest.raises(SystemExit, match="130"):
        _end_stopped(tmp_path)
    assert "What is done is kept; the same command goes on" in capsys.readouterr().err


def test_without_a_terminal_each_training_says_once_that_it_begins_and_that_it_trains(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = Plan.read(str(plan)).cells()[0]
    with study_display(tmp_path) as show:
        for state in (
            Progress("starting"),
            Progress("training", epoch=1, epochs=5),
            Progress("validating", epoch=1, epochs=5),
            Progress("training", epoch=2, epochs=5),
        ):
            show(StudyProgress(2, 0, running=((cell, CellProgress(1, "here", state)),)))
    assert capsys.readouterr().err.splitlines() == [
        "balls, tiny, none, 100 %, seed 0: starting",
        "balls, tiny, none, 100 %, seed 0: training: epoch 1/5",
    ]


def test_a_gpu_that_ray_does_not_share_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    assert "(mps): every training runs on the CPU" in _unused_gpu(RayPlace(None, 8, 0))[0]
    assert _unused_gpu(RayPlace("head:6379", 8, 0)) == ()
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert _unused_gpu(RayPlace(None, 8, 0)) == ()


def test_the_published_table_is_printed_and_its_report_written(tmp_path: Path) -> None:
    done = vpt("study", "published", "--to", tmp_path / "published")
    assert done.exit_code == 0, done.output
    assert "Video pretraining advances 3D deep learning" in " ".join(done.output.split())
    assert (tmp_path / "published" / "report.html").is_file()
