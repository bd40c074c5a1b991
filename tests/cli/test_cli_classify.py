"""``vpt classify`` from files to answers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from typer.testing import CliRunner, Result

from vpt_plugin.cli import app
from vpt_plugin.cli.explained import _file_names
from vpt_plugin.cli.options import PRECISION_HELP
from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import PhantomConfig, make_phantom, write_dicom
from vpt_plugin.errors import CancelledError, ClipShapeError
from vpt_plugin.inference import Prediction, Predictor
from vpt_plugin.inference.fitness import ANSWERED_ANYWAY
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.models.device import PRECISIONS
from vpt_plugin.training.model_store import ModelStore

WriteStudy = Callable[[Path], Path]


def classify(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["classify", *map(str, arguments)])


@pytest.fixture
def tiny(models_dir: Path) -> list[object]:
    return ["--task", "nodule", "--model", "tiny", "--models-dir", models_dir, "--device", "cpu"]


def own_task(folder: Path, more: str) -> list[object]:
    """Options for a site's own task, with one more line in its file, and for a model of random weights."""
    file, models = folder / "own.yaml", folder / "models"
    file.write_text(f"name: own\nfindings: [own]\nhu_window: {{centre: -600, width: 1500}}\n{more}\n")
    spec = get_model("tiny")
    card = ModelCard("own", spec.name, ("own",), "none", spec.clip_slices)
    ModelStore(models).publish(new_classifier(spec, ("own",), seed=3), card)
    return ["--task-file", file, "--model", "tiny", "--models-dir", models, "--device", "cpu"]


def test_one_study_gives_a_table_and_nothing_on_stderr(
    tmp_path: Path, write_study: WriteStudy, tiny: list[object]
) -> None:
    result = classify(write_study(tmp_path / "ct.nii.gz"), *tiny)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "ct.nii.gz lung_nodule" in " ".join(result.stdout.split())
    assert "Model nodule/tiny version 1" in result.stdout
    assert "trained on synthetic phantoms only" in result.stdout


@pytest.mark.parametrize("rate", ["1.19e-33", "1e-320", "nan", "inf", "9" * 400, "a tenth"])
def test_an_error_rate_that_is_none_is_refused_in_words(rate: str, tiny: list[object]) -> None:
    result = classify("nowhere.nii", *tiny, "--error-rate", rate)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert ("a valid number" if rate == "a tenth" else "at least 0.001") in " ".join(result.stderr.split())


def test_a_bad_study_is_named_with_cause_and_way_out_and_the_others_are_answered(
    tmp_path: Path, write_study: WriteStudy, tiny: list[object]
) -> None:
    good = [write_study(tmp_path / name) for name in ("a.nrrd", "c.mha")]
    bad = tmp_path / "b.nii.gz"
    bad.write_bytes(b"not a study")
    result = classify(tmp_path, tmp_path / "gone.nii", *tiny, "--json")
    assert result.exit_code == 1
    answers = json.loads(result.stdout)
    assert [each["study"] for each in answers] == [str(path) for path in good]
    assert f"error: {bad}: " in result.stderr
    assert f"error: {tmp_path / 'gone.nii'}: there is no" in result.stderr
    assert "Check the path." in result.stderr
    assert result.stderr.endswith(f"2 could not be answered: {bad}, {tmp_path / 'gone.nii'}\n")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ClipShapeError("this clip does not fit;", "choose another model."), "this clip does not fit;"),
        (MemoryError(), "there is not enough memory for it."),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device."),
    ],
)
def test_whatever_goes_wrong_with_one_study_the_others_are_answered(
    tmp_path: Path,
    write_study: WriteStudy,
    tiny: list[object],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    told: str,
) -> None:
    first, second = (write_study(tmp_path / name) for name in ("a.nii", "b.nii"))
    real = Predictor.predict

    def fail_once(self: Predictor, volume: Volume, **more: Any) -> Prediction:
        if volume.study == str(first):
            raise error
        return real(self, volume, **more)

    monkeypatch.setattr(Predictor, "predict", fail_once)
    result = classify(first, second, *tiny, "--json")
    assert result.exit_code == 1
    assert [each["study"] for each in json.loads(result.stdout)] == [str(second)]
    assert f"error: {first}: {told}\n" in result.stderr
    assert result.stderr.endswith(f"1 could not be answered: {first}\n")


def test_a_containers_quota_is_heeded_before_an_engine_fixes_its_threads(
    tmp_path: Path, write_study: WriteStudy, tiny: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, begun = [], Predictor.__init__
    monkeypatch.setattr("vpt_plugin.models.device.heed_cpu_quota", lambda: made.append("threads"))

    def begin(predictor: Predictor, *given: Any, **settings: Any) -> None:
        made.append("engine")
        begun(predictor, *given, **settings)

    monkeypatch.setattr(Predictor, "__init__", begin)
    assert classify(write_study(tmp_path / "ct.nii.gz"), *tiny).exit_code == 0
    assert made == ["threads", "engine"]


def test_a_cancelled_answer_ends_all(
    tmp_path: Path, write_study: WriteStudy, tiny: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(*_: Any, **__: Any) -> Prediction:
        raise CancelledError

    monkeypatch.setattr(Predictor, "predict", cancel)
    result = classify(write_study(tmp_path / "a.nii"), write_study(tmp_path / "b.nii"), *tiny)
    assert (result.exit_code, result.stderr) == (1, "error: cancelled\n")


def test_the_series_that_was_named_is_read(tmp_path: Path, tiny: list[object]) -> None:
    config = PhantomConfig(pixels=32, slice_spacings_mm=(8.0,))
    for seed in (1, 2):
        volume = make_phantom(seed, config=config, nodule=True, contrast=False, emboli=False).volume
        provenance = replace(volume.provenance, patient_id="p", series_uid=f"1.2.{seed}")
        write_dicom(replace(volume, provenance=provenance), tmp_path / str(seed))
        for file in (tmp_path / str(seed)).iterdir():
            (tmp_path / "exam").mkdir(exist_ok=True)
            file.rename(tmp_path / "exam" / f"{seed}-{file.name}")
    for seed in (1, 2):
        result = classify(tmp_path / "exam", *tiny, "--series", f"1.2.{seed}", "--json")
        (answer,) = json.loads(result.stdout)
        assert any(told.startswith(f"Read series 1.2.{seed} ") for told in answer["vptct"]["warnings"])
    gone = classify(tmp_path / "exam", *tiny, "--series", "9.9")
    assert gone.exit_code == 1
    assert "holds no CT series 9.9. It holds 1.2.1, 1.2.2." in " ".join(gone.stderr.split())


def test_coarse_to_fine_is_said_with_the_answer_and_refused_for_the_mean_of_clips(
    tmp_path: Path, write_study: WriteStudy, tiny: list[object]
) -> None:
    study = write_study(tmp_path / "ct.nii")
    result = classify(study, *tiny, "--stride", "coarse-to-fine:2")
    assert result.exit_code == 0
    assert "note: read coarse to fine: clips of 8 slices side by side, and every 2 slices" in result.stdout
    refused = classify(study, *own_task(tmp_path, "aggregation: mean"), "--stride", "coarse-to-fine")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "its probability is the mean of all clips" in refused.stderr


def test_the_help_names_every_precision() -> None:
    assert set(PRECISION_HELP.rstrip(".").replace(" or ", ", ").split(", ")) == set(PRECISIONS)
    for command in ("classify", "finetune"):
        told = CliRunner().invoke(app, [command, "--help"], terminal_width=200).stdout
        assert PRECISION_HELP in " ".join(told.split())


def test_the_json_is_the_result_contract_with_the_study(tmp_path: Path, write_study: WriteStudy) -> None:
    options = own_task(tmp_path, "clips: {length_slices: 16, stride_slices: 12}")
    study = write_study(tmp_path / "ct.nrrd")
    (answer,) = json.loads(classify(study, "--task", "own", *options, "--json").stdout)
    assert list(answer) == ["study", "prediction", "vptct"]
    result = answer["vptct"]
    assert result["schema"] == "vptct.result/1"
    (finding,) = result["findings"]
    # 20 slices in clips of 16 with stride 12: from 0 and, moved back to the end, from 4; 3 mm apart.
    assert [clip["z_mm"] for clip in finding["clips"]] == [[0.0, 45.0], [12.0, 57.0]]
    assert finding["probability"] == max(clip["probability"] for clip in finding["clips"])
    assert answer["prediction"][0]["score"] == finding["probability"]


def test_the_same_study_in_three_formats_has_one_answer(
    tmp_path: Path, write_study: WriteStudy, tiny: list[object]
) -> None:
    for name in ("ct.nii", "ct.nrrd", "ct.mha"):
        write_study(tmp_path / name)
    rows = list(csv.DictReader(io.StringIO(classify(tmp_path, *tiny, "--csv").stdout)))
    assert len(rows) == 3
    assert len({(row["probability"], row["key_slice_mm"]) for row in rows}) == 1


def test_a_model_that_was_never_trained_does_not_answer(tmp_path: Path, write_study: WriteStudy) -> None:
    study = write_study(tmp_path / "ct.nii")
    result = classify(study, "--task", "pe", "--model", "tiny", "--models-dir", tmp_path / "none", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "pe_tiny was never trained here" in result.stderr
    assert "vpt finetune MANIFEST.csv --task pe --model tiny" in result.stderr


def test_an_unknown_model_is_a_usage_error_that_names_the_choices(tiny: list[object]) -> None:
    result = classify("ct.nii", "--task", "nodule", "--model", "huge")
    assert result.exit_code == 2
    assert "unknown model 'huge'" in result.stderr
    assert "swin_t" in result.stderr


def test_a_version_that_does_not_exist_is_an_error(tmp_path: Path, tiny: list[object]) -> None:
    result = classify(tmp_path / "ct.nii", *tiny, "--version", 7)
    assert result.exit_code == 1
    assert "version 7" in result.stderr


def test_a_task_file_alone_says_what_to_look_for(tmp_path: Path, write_study: WriteStudy) -> None:
    options = own_task(tmp_path, "aggregation: mean")
    study = write_study(tmp_path / "ct.nii")
    (answer,) = json.loads(classify(study, *options, "--json").stdout)
    (finding,) = answer["vptct"]["findings"]
    probabilities = [clip["probability"] for clip in finding["clips"]]
    assert len(probabilities) > 1
    assert finding["probability"] == pytest.approx(sum(probabilities) / len(probabilities))


def test_the_progress_bar_of_a_terminal_never_gets_into_the_json(
    tmp_path: Path, write_study: WriteStudy, tiny: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = classify(write_study(tmp_path / "ct.nii"), *tiny, "--json")
    assert "clips of ct.nii" in result.stderr
    assert len(json.loads(result.stdout)) == 1


def test_heat_maps_are_written_beside_the_answers_one_per_study_and_finding(
    tmp_path: Path, write_study: WriteStudy, tiny: list[object]
) -> None:
    studies, folder = tmp_path / "studies", tmp_path / "maps" / "today"
    first, second = write_study(studies / "a" / "ct.nii.gz"), write_study(studies / "b" / "ct.mha")
    result = classify(studies, *tiny, "--json", "--explain", folder)
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in folder.iterdir()) == [
        "a_ct.lung_nodule.nii.gz", "b_ct.lung_nodule.nii.gz",
    ]  # fmt: skip
    for answer, study in zip(json.loads(result.stdout), (first, second), strict=True):
        (told,) = answer["vptct"]["heat_map"]["findings"]
        assert told["part"] == str(folder / f"{study.parent.name}_ct.lung_nodule.nii.gz")
        ct, heat = (SimpleITK.ReadImage(str(path)) for path in (study, told["part"]))
        assert heat.GetSize() == ct.GetSize()
        hottest = heat.TransformPhysicalPointToIndex(told["hottest_mm"])
        highest = SimpleITK.GetArrayViewFromImage(heat).max()
        assert heat[hottest] == pytest.approx(highest)
        assert answer["vptct"]["seconds"]["explain"] > 0
    written = {path: path.read_bytes() for path in folder.iterdir()}
    again = classify(studies, *tiny, "--explain", folder)
    assert (again.exit_code, again.stdout) == (2, "")
    told = " ".join(again.stderr.split())
    assert (
        f"the heat map {folder / 'a_ct.lung_nodule.nii.gz'} is there already; choose another folder" in told
    )
    assert {path: path.read_bytes() for path in folder.iterdir()} == written


def test_studies_of_the_same_name_do_not_share_a_heat_map(tmp_path: Path) -> None:
    names = [tmp_path / "a" / "b.nii.gz", tmp_path / "a_b.mha", tmp_path / "A" / "b.nrrd"]
    assert _file_names(names) == ["a_b", "a_b-2", "A_b-3"]


def test_a_study_without_lungs_is_refused_by_name_and_answered_with_a_warning_where_that_is_asked_for(
    tmp_path: Path, write_study: WriteStudy, tiny: list[object]
) -> None:
    good, water = write_study(tmp_path / "good.nrrd"), tmp_path / "water.nrrd"
    image = SimpleITK.ReadImage(str(good))
    hu = SimpleITK.GetArrayFromImage(image)
    filled = SimpleITK.GetImageFromArray(np.where((hu > -950) & (hu < -500), 20, hu))
    filled.CopyInformation(image)
    SimpleITK.WriteImage(filled, str(water))
    refused = classify(good, water, *tiny, "--json")
    assert refused.exit_code == 1
    told = " ".join(refused.stderr.split())
    assert f"{water}: no lungs were found in this study" in told
    assert all(way in told for way in ("--unsuitable warn", "params.anyway", "--conf unsuitable warn"))
    assert [each["study"] for each in json.loads(refused.stdout)] == [str(good)]
    asked = classify(water, *tiny, "--json", "--unsuitable", "warn")
    (answer,) = json.loads(asked.stdout)
    assert answer["vptct"]["suitability"]["verdict"] == "unfit"
    assert answer["vptct"]["warnings"][0] == ANSWERED_ANYWAY
    assert answer["vptct"]["warnings"][1].startswith("no lungs were found")
