"""One chest CT in every format, flipped and permuted: one answer, one key slice (DESIGN, invariant 1)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk  # noqa: N813  the name its documentation uses
from typer.testing import CliRunner

from vpt_plugin.cli import app
from vpt_plugin.ct.archive import unpack
from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.volume import Volume
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.tasks import TASKS, ReadingTask
from vpt_plugin.training.model_store import ModelStore

SpreadOut = Callable[[Classifier, ReadingTask, Volume], None]
Change = Callable[[sitk.Image], sitk.Image]

VARIANTS: dict[str, Change] = {
    "plain.nii.gz": lambda image: image,
    "plain.nrrd": lambda image: image,
    "plain.mha": lambda image: image,
    "upside_down.nrrd": lambda image: sitk.Flip(image, (False, False, True)),
    "flipped.nii": lambda image: sitk.Flip(image, (True, True, True)),
    "sagittal.mha": lambda image: sitk.PermuteAxes(image, (1, 2, 0)),
    "coronal.nrrd": lambda image: sitk.PermuteAxes(image, (0, 2, 1)),
    "coronal_flipped.nii": lambda image: sitk.Flip(sitk.PermuteAxes(image, (0, 2, 1)), (True, False, True)),
}


@pytest.fixture(scope="module")
def archive(real_data: Path) -> Path:
    return real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_dicom_133.zip"


@pytest.fixture(scope="module")
def dicom(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dicom")
    unpack(archive, folder)
    return folder


@pytest.fixture(scope="module")
def variants(dicom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study as other programs would write it, a file per variant."""
    reader = sitk.ImageSeriesReader()
    series = next(path.parent for path in sorted(dicom.rglob("*.dcm")))
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(series)))
    image = reader.Execute()
    folder = tmp_path_factory.mktemp("variants")
    for name, change in VARIANTS.items():
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(folder / name))
        writer.SetCompressionLevel(1)
        writer.Execute(change(image))
    return folder


@pytest.fixture(scope="module")
def spread_models_dir(dicom: Path, spread_out: SpreadOut, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds nodule/tiny with random weights, published on purpose, that tells this study's clips apart."""
    task, spec = TASKS["nodule"], MODELS["tiny"]
    classifier = new_classifier(spec, task.findings, seed=3)
    spread_out(classifier, task, read_study(dicom))
    root = tmp_path_factory.mktemp("models")
    card = ModelCard(task.name, spec.name, task.findings, "none", spec.clip_slices)
    ModelStore(root).publish(classifier, card)
    return root


def arguments(models_dir: Path, *studies: Path) -> list[str]:
    model = ["--task", "nodule", "--model", "tiny", "--models-dir", str(models_dir), "--device", "cpu"]
    return ["classify", *map(str, studies), *model, "--json"]


@pytest.fixture(scope="module")
def answers(spread_models_dir: Path, archive: Path, dicom: Path, variants: Path) -> dict[str, Any]:
    """The finding of every variant, by the study's name."""
    result = CliRunner().invoke(app, arguments(spread_models_dir, archive, dicom, variants))
    assert (result.exit_code, result.stderr) == (0, "")
    return {Path(each["study"]).name: each["vptct"]["findings"][0] for each in json.loads(result.stdout)}


def test_every_variant_was_answered(answers: dict[str, Any], archive: Path, dicom: Path) -> None:
    assert set(answers) == {archive.name, dicom.name, *VARIANTS}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_has_the_answer_of_the_dicom_folder(
    name: str, answers: dict[str, Any], dicom: Path
) -> None:
    expected, found = answers[dicom.name], answers[name]
    assert found["probability"] == pytest.approx(expected["probability"], abs=1e-4)
    assert [clip["probability"] for clip in found["clips"]] == pytest.approx(
        [clip["probability"] for clip in expected["clips"]], abs=1e-4
    )
    # NIfTI keeps positions in 32 bits: a thousandth of a millimetre.
    assert found["key_slice_mm"] == pytest.approx(expected["key_slice_mm"], abs=1e-3)


def test_the_clips_differ_so_that_a_mistake_would_show(answers: dict[str, Any], dicom: Path) -> None:
    probabilities = [clip["probability"] for clip in answers[dicom.name]["clips"]]
    assert max(probabilities) - min(probabilities) > 0.3


def test_the_clips_cover_all_133_slices(answers: dict[str, Any], dicom: Path) -> None:
    clips = answers[dicom.name]["clips"]
    covered = {i for clip in clips for i in range(clip["first_slice"], clip["last_slice"] + 1)}
    assert covered == set(range(133))


def test_the_command_in_a_process_of_its_own_says_the_same(
    answers: dict[str, Any], spread_models_dir: Path, archive: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vpt_plugin.cli", *arguments(spread_models_dir, archive)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    (answer,) = json.loads(done.stdout)
    assert done.stderr == ""
    (finding,) = answer["vptct"]["findings"]
    assert finding["probability"] == pytest.approx(answers[archive.name]["probability"], abs=1e-4)
    assert finding["key_slice_mm"] == answers[archive.name]["key_slice_mm"]
