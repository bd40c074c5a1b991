"""``vpt phantom`` and ``vpt finetune``: from nothing to a published model."""

from __future__ import annotations

import csv
from dataclasses import replace
from math import nan
from pathlib import Path

import pytest
import torch
from monai.engines import SupervisedTrainer
from typer.testing import CliRunner, Result

from vpt_plugin.cli import app
from vpt_plugin.cli.finetune import next_steps, progress_display, result_in_words
from vpt_plugin.cli.words import card_in_words
from vpt_plugin.models.card import Estimate, ModelCard
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.publishing import FinetuneResult

CARD = ModelCard(
    task="nodule",
    model="tiny",
    findings=("lung_nodule",),
    pretraining="none",
    clip_slices=16,
    version=2,
    trained_on=84,
    synthetic=True,
    validation_auroc={"lung_nodule": Estimate(0.93, (0.85, 0.98), 18)},
    thresholds={"lung_nodule": 0.4123},
)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VPTCT_HOME", str(tmp_path / "home"))


def vpt(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    result = vpt("phantom", folder / "set", "--count", 12, "--format", "nifti", "--format", "dicom")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"12 studies in {folder / 'set'}")
    assert f"vpt finetune {folder / 'set' / 'manifest.csv'} --task nodule --model tiny" in result.stdout
    return folder / "set"


def test_phantom_makes_as_many_studies_as_asked_for_in_turn_of_format(phantoms: Path) -> None:
    with (phantoms / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert sum(row["path"].endswith(".nii.gz") for row in rows) == 6
    assert sum((phantoms / row["path"]).is_dir() for row in rows) == 6


def test_phantom_does_not_overwrite_and_names_wrong_formats(phantoms: Path, tmp_path: Path) -> None:
    again = vpt("phantom", phantoms, "--count", 2)
    assert again.exit_code == 2
    assert "is there already" in again.stderr
    wrong = vpt("phantom", tmp_path / "new", "--format", "jpeg")
    assert wrong.exit_code == 2
    assert "unknown format: 'jpeg'" in wrong.stderr


def test_finetune_publishes_a_model_that_classify_answers_with(phantoms: Path, tmp_path: Path) -> None:
    models = tmp_path / "my models"
    arguments = ["--task", "nodule", "--model", "tiny", "--models-dir", models, "--device", "cpu"]
    short = ["--epochs", 1, "--steps-per-epoch", 2, "--batch", 4]
    trained = vpt("finetune", phantoms / "manifest.csv", *arguments, *short)
    assert trained.exit_code == 0, trained.stderr
    assert "Published nodule/tiny version 1" in trained.stdout
    assert f'vpt classify STUDY... --task nodule --model tiny --models-dir "{models}"' in trained.stdout
    assert "training: epoch 1/1" in trained.stderr
    card = ModelStore(models).card("nodule", "tiny")
    assert card.training["config"]["batch"] == 4
    study = next(iter(sorted((phantoms / "studies").iterdir())))
    answered = vpt("classify", study, *arguments)
    assert answered.exit_code == 0, answered.stderr
    assert "Model nodule/tiny version 1" in answered.stdout


def test_a_manifest_that_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("study,path,patient,split\na,gone.nii,p,train\n")
    result = vpt("finetune", manifest, "--task", "nodule", "--model", "tiny")
    assert result.exit_code == 1
    assert f"error: {manifest}, line 2, column path: 'gone.nii' does not exist." in result.stderr


def test_a_training_setting_out_of_range_is_a_usage_error(phantoms: Path) -> None:
    result = vpt("finetune", phantoms / "manifest.csv", "--task", "nodule", "--model", "tiny", "--epochs", 0)
    assert result.exit_code == 2
    assert "epochs must be at least 1, not 0" in result.stderr


def test_the_card_is_told_in_words() -> None:
    assert card_in_words(CARD).splitlines() == [
        "Published nodule/tiny version 2:",
        "  trained on 84 studies; all phantoms: never use it on patients",
        "  pretraining none, clips of 16 slices",
        "  not calibrated",
        "  lung_nodule: validation AUROC 0.930 [0.850, 0.980] (18 studies); present from 0.412 on",
    ]


def test_the_next_steps_name_the_task_file_and_the_models_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = next_steps(CARD, Path("own.yaml"), Path("my models"))
    assert (
        'vpt classify STUDY... --task nodule --model tiny --task-file own.yaml --models-dir "my models"'
        in text
    )
    assert (
        "OMP_WAIT_POLICY=PASSIVE python -m monailabel.main start_server --host 127.0.0.1 "
        "--app apps/vptct --studies STUDIES --conf tasks nodule --conf models tiny "
        f"--conf task_file {tmp_path / 'own.yaml'} --conf models_dir" in text
    )


def test_without_a_terminal_progress_is_a_line_per_epoch_and_state(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress_display() as show:
        show(Progress("preparing", step=1, steps=2))
        show(Progress("preparing", step=2, steps=2, note="phantom-3 is left out: no label"))
        for step in (1, 2, 3):
            show(Progress("training", step=step, steps=4, epoch=1, epochs=2, loss=0.7, seconds_left=80))
        show(Progress("validating", step=3, steps=4, epoch=1, epochs=2, loss=0.7))
        show(Progress("training", step=3, steps=4, epoch=1, epochs=2, loss=0.7, validation_auroc=0.875))
        show(Progress("training", step=4, steps=4, epoch=2, epochs=2, loss=0.5, validation_auroc=0.875))
        show(Progress("training", step=1, steps=4, epoch=1, epochs=2, loss=0.6, fold=2, folds=5))
        show(Progress("training", step=1, steps=4, epoch=1, epochs=2, loss=0.4, fold=0, folds=5))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "preparing",
        "phantom-3 is left out: no label",
        "training: epoch 1/2, loss 0.700, 1 min 20 s left",
        "training: epoch 1/2, loss 0.700, validation AUROC 0.875",
        "training: fold 2/5, epoch 1/2, loss 0.600",
        "training: all studies, epoch 1/2, loss 0.400",
    ]


def test_on_a_terminal_progress_is_a_live_bar_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_display() as show:
        show(Progress("training", step=3, steps=4, epoch=1, epochs=2, loss=0.7))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "training: epoch 1/2, loss 0.700" in captured.err
    assert "3/4" in captured.err


def test_a_candidate_is_told_with_what_is_served_and_how_to_serve_it() -> None:
    decision = "On the same 18 validation studies the new version has AUROC 0.930, the served one 0.950."
    result = FinetuneResult(
        CARD, False, decision, warnings=("Label more studies.",), report=Path("report.html")
    )
    text = result_in_words(replace(result, card=replace(CARD, training={"seconds": 80.0})), 1)
    assert "It took 1 min 20 s." in text
    assert text.index("Published nodule/tiny version 2") < text.index("warning: Label more studies.")
    assert decision in text
    assert "Served now: nodule_tiny version 1. Version 2 is a candidate; to serve it all the same:" in text
    assert "  vpt versions promote nodule_tiny 2 --why TEXT" in text
    assert "Report: report.html" in text
    served = result_in_words(FinetuneResult(CARD, True, "Nothing was served before, so this version is."), 2)
    assert "Served now: nodule_tiny version 2." in served
    assert "candidate" not in served
    assert "No version of nodule_tiny is served." in result_in_words(result, None)


def test_a_few_of_the_studies_that_were_left_out_are_named_in_the_end() -> None:
    left_out = tuple(f"p{number} is left out: it has 3 slices" for number in range(5))
    text = result_in_words(FinetuneResult(CARD, True, "Served.", left_out=left_out), 2)
    assert "p0 is left out: it has 3 slices\np1" in text
    assert "p2 is left out: it has 3 slices\nand 2 more: see above." in text


def test_figures_at_the_threshold_and_of_clips_are_told_where_the_card_has_them() -> None:
    estimate = Estimate(0.8, (0.7, 0.9), 40)
    metrics = {
        "study": {"lung_nodule": {"sensitivity": estimate, "specificity": Estimate(0.5, (nan, nan), 9)}},
        "clip": {"lung_nodule": {"auroc": estimate}},
    }
    counts = {"left_out": {"unreadable": 1, "not labelled": 12}}
    card = replace(CARD, metrics=metrics, threshold_rule="sensitivity:0.95", counts=counts)
    assert "  left out: 12 not labelled; 1 unreadable" in card_in_words(card).splitlines()
    assert card_in_words(card).splitlines()[-2:] == [
        "    sensitivity 0.800 [0.700, 0.900], specificity 0.500 [n/a, n/a] at that threshold "
        "(sensitivity:0.95)",
        "    single clips: AUROC 0.800 [0.700, 0.900] (40 clips)",
    ]


def test_a_training_that_is_interrupted_says_how_it_goes_on_and_nothing_of_a_crash(
    phantoms: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def step(*_: object) -> None:
        raise KeyboardInterrupt

    def interrupted(*_: object, **__: object) -> None:
        SupervisedTrainer(
            device=torch.device("cpu"), max_epochs=1, train_data_loader=[0], network=torch.nn.Identity(),
            optimizer=torch.optim.SGD([torch.zeros(1)]), loss_function=None, iteration_update=step,
        ).run()  # fmt: skip

    monkeypatch.setattr("vpt_plugin.training.finetune.finetune", interrupted)
    result = vpt("finetune", phantoms / "manifest.csv", "--task", "nodule", "--model", "tiny")
    assert result.exit_code == 130
    assert "terminating" not in result.stderr + caplog.text
    assert "What is served stays as it was; the same command goes on" in result.stderr
