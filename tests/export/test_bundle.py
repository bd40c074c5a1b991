"""MONAI bundles: they run by MONAI alone and give our answers for whole studies."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import monai.bundle
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  the name its documentation uses
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vpt_plugin.ct import aggregation, clips, intensity
from vpt_plugin.ct.reader import read_study
from vpt_plugin.digest import file_sha256
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.export import bundle_code
from vpt_plugin.export.bundle import write_bundle
from vpt_plugin.export.bundle_code import answering, reading
from vpt_plugin.export.facts import Exported
from vpt_plugin.inference import Predictor
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.tasks import AGGREGATIONS, TASKS, ReadingTask

pytestmark = [
    # torch would rather be rid of TorchScript, but MONAI's bundles are made of it.
    pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning"),
    # MONAI says of every configuration that it can run code.
    pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning"),
    # It tries all its readers, also those that need a GPU.
    pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning"),
]


def write_study(path: Path, *, slices: int = 21) -> Path:
    """Blobs of soft tissue in lung: lying on its side, upside down, its pixels wider than high."""
    draw = np.random.default_rng(len(path.name))
    coarse = draw.normal(-600, 300, (slices // 3 + 1, 30, 20))
    hu = np.kron(coarse, np.ones((3, 3, 3)))[:slices].clip(-1100, 400).round().astype(np.int16)
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((4.0, 3.0, 2.5))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, -1))
    image.SetOrigin((10.0, 20.0, 30.0))
    sitk.WriteImage(image, str(path))
    return path


def answer_of_bundle(bundle: Path, studies: Path, into: Path) -> dict[str, Any]:
    """What the bundle's own workflow says of each study."""
    monai.bundle.run(
        config_file=str(bundle / "configs" / "inference.json"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        bundle_root=str(bundle), dataset_dir=str(studies), output_dir=str(into),
    )  # fmt: skip
    # Whoever runs a bundle within a program of their own may train there, too.
    assert torch.is_grad_enabled()
    return {path.name.removesuffix(".json"): json.loads(path.read_text()) for path in into.iterdir()}


Made = Callable[[str], tuple[Classifier, Exported]]


@pytest.mark.usefixtures("disk_without_waiting")
@pytest.mark.parametrize("model", ["tiny", "slow_r50", "r2plus1d_r50"])
def test_a_bundle_gives_our_answer_for_whole_studies(model: str, tmp_path: Path, exported_of: Made) -> None:
    classifier, exported = exported_of(model)
    write_bundle(classifier, exported, tmp_path / "bundle")
    studies = tmp_path / "studies"
    studies.mkdir()
    # 21 slices are four clips; 6 are less than one.
    paths = [write_study(studies / "a.nii.gz"), write_study(studies / "short.nii", slices=6)]
    told = answer_of_bundle(tmp_path / "bundle", studies, tmp_path / "answers")
    assert sorted(told) == ["a.nii.gz", "short.nii"]
    predictor = Predictor(classifier, exported.task, exported.card, device="cpu", unsuitable="warn")
    spread = set()
    for path in paths:
        (ours,) = predictor.predict(read_study(path)).findings
        (theirs,) = told[path.name]["findings"]
        assert theirs["probability"] == pytest.approx(ours.probability, abs=1e-6)
        assert (theirs["decision"], theirs["threshold"]) == (ours.decision, 0.47)
        assert [(each["first_slice"], each["last_slice"]) for each in theirs["clips"]] == [
            (each.first_slice, each.last_slice) for each in ours.clips
        ]
        said = [each.probability for each in ours.clips]
        assert [each["probability"] for each in theirs["clips"]] == pytest.approx(said, abs=1e-6)
        spread |= {round(each, 5) for each in said}
    # The network does not say one and the same of everything, or nothing was compared.
    assert len(spread) >= 4


def test_the_code_in_a_bundle_needs_nothing_of_ours() -> None:
    for path in Path(bundle_code.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.startswith("vpt_plugin") for name in names), path.name


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(5, 90), columns=st.integers(5, 90), row_mm=st.sampled_from([0.7, 1.0, 2.5]),
    column_mm=st.sampled_from([0.7, 1.0, 1.3]), seed=st.integers(0, 99),
)  # fmt: skip
def test_a_bundle_reduces_slices_as_we_do(
    rows: int, columns: int, row_mm: float, column_mm: float, seed: int
) -> None:
    hu = np.random.default_rng(seed).integers(-1024, 1500, (rows, columns)).astype(np.int16)
    ours = np.empty((40, 40), dtype=np.int16)
    intensity.reduce_slice(hu, (row_mm, column_mm), ours)
    np.testing.assert_array_equal(reading.reduce_slice(hu, (row_mm, column_mm), 40), ours)


@pytest.mark.parametrize("task", list(TASKS.values()), ids=lambda task: task.name)
def test_a_bundle_shows_every_hu_as_we_do(task: ReadingTask, exported_of: Made) -> None:
    facts = replace(exported_of("tiny")[1], task=task).reading()
    every_hu = np.arange(-1024, 3072, dtype=np.int16).reshape(1, 64, 64)
    ours = intensity.window_hu(every_hu, task.hu_window)
    np.testing.assert_array_equal(reading.to_levels(every_hu, facts), ours)
    for pixels in (63, 40, 64):
        np.testing.assert_array_equal(reading.centre_crop(ours, pixels), intensity.centre_crop(ours, pixels))


@given(slices=st.integers(1, 400), length=st.integers(1, 40), share=st.floats(0.05, 1))
def test_a_bundle_cuts_clips_as_we_do(slices: int, length: int, share: float) -> None:
    stride = max(1, int(length * share))
    ours = clips.clip_starts(slices, length=length, stride=stride)
    assert answering.clip_starts(slices, length=length, stride=stride) == ours


@pytest.mark.parametrize("rule", AGGREGATIONS)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_bundle_makes_a_studys_probability_as_we_do(rule: str, count: int) -> None:
    said = np.random.default_rng(count).random((count, 2))
    theirs = answering.study_probability(torch.from_numpy(said), rule)
    np.testing.assert_allclose(theirs.numpy(), aggregation.study_probability(said, rule), rtol=1e-12)


# What MONAI's published schema of metadata (meta_schema_20240725.json) requires, in short.
_TENSOR = {
    "type": "object",
    "properties": {
        "num_channels": {"type": "integer"}, "dtype": {"type": "string"},
        "spatial_shape": {"type": "array"}, "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"}, "channel_def": {"type": "object"},
    },
    "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"],
}  # fmt: skip
_TENSORS = {"type": "object", "additionalProperties": _TENSOR, "minProperties": 1}
_TEXTS = ["schema", "version", "monai_version", "pytorch_version", "numpy_version", "task", "description",
          "authors", "copyright"]  # fmt: skip
METADATA_SCHEMA = {
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in _TEXTS},
        "required_packages_version": {"type": "object"}, "changelog": {"type": "object"},
        "eval_metrics": {"type": "object"}, "references": {"type": "array", "items": {"type": "string"}},
        "network_data_format": {
            "type": "object", "properties": {"inputs": _TENSORS, "outputs": _TENSORS},
            "required": ["inputs", "outputs"],
        },
    },
    "required": [*_TEXTS, "required_packages_version", "network_data_format"],
}  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, exported_of: Made) -> Path:
    """A bundle of tiny."""
    place = tmp_path_factory.mktemp("bundles") / "nodule_tiny"
    write_bundle(*exported_of("tiny"), place)
    return place


def test_monai_verifies_the_metadata_and_the_network(bundle: Path, tmp_path: Path) -> None:
    # Beside where MONAI would put what it downloads.
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(METADATA_SCHEMA))
    metadata, config = bundle / "configs/metadata.json", bundle / "configs/inference.json"
    sha256 = file_sha256(schema)
    verify = partial(monai.bundle.verify_metadata, filepath=str(schema), hash_val=sha256, hash_type="sha256")
    verify(meta_file=str(metadata))
    monai.bundle.verify_net_in_out(
        "network_def", meta_file=str(metadata), config_file=str(config), bundle_root=str(bundle), device="cpu"
    )
    told = json.loads(metadata.read_text())
    del told["numpy_version"]
    (tmp_path / "less.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match="Failed validating"):
        verify(meta_file=str(tmp_path / "less.json"))


def test_a_bundle_is_an_inference_workflow_with_all_that_monai_asks_for(bundle: Path, tmp_path: Path) -> None:
    write_study(tmp_path / "a.nii")
    workflow = monai.bundle.ConfigWorkflow(
        config_file=str(bundle / "configs/inference.json"), meta_file=str(bundle / "configs/metadata.json"),
        workflow_type="infer", logging_file=False, bundle_root=str(bundle), dataset_dir=str(tmp_path),
    )  # fmt: skip
    workflow.initialize()
    assert workflow.check_properties() == []
    assert workflow.spatial_shape == [8, 64, 64]
    assert workflow.channel_def == {"0": "lung_nodule"}


def test_the_metadata_has_the_checksums_of_all_other_files(bundle: Path, exported_of: Made) -> None:
    told = json.loads((bundle / "configs/metadata.json").read_text())
    files = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert files == {*told["vptct"]["files"], "configs/metadata.json"}
    assert all(file_sha256(bundle / name) == sha for name, sha in told["vptct"]["files"].items())
    assert {name: each for name, each in told["vptct"].items() if name != "files"} == exported_of("tiny")[
        1
    ].to_json()
    assert told["eval_metrics"] == {
        "validation AUROC of lung_nodule": {"value": 0.9, "ci95": [0.8, 1.0], "n": 8}
    }
    readme = (bundle / "docs/README.md").read_text()
    assert "its AUROC is 0.900 (95 % interval 0.800 to 1.000)" in readme
    assert "not for clinical use" in readme
    assert "probability of each finding\n(of a model that is not calibrated)" in readme


def test_a_study_that_cannot_be_read_says_so_and_gets_no_answer(bundle: Path, tmp_path: Path) -> None:
    studies = tmp_path / "studies"
    studies.mkdir()
    with pytest.raises(RuntimeError) as caught:
        answer_of_bundle(bundle, studies, tmp_path / "answers")
    assert "there are no studies" in str(caught.getrepr(chain=True))
    write_study(studies / "short.nii", slices=3)
    with pytest.raises(RuntimeError) as caught:
        answer_of_bundle(bundle, studies, tmp_path / "answers")
    assert "short.nii: a volume of at least 4 slices is needed" in str(caught.getrepr(chain=True))
    assert not (tmp_path / "answers").exists()


def test_a_failed_export_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported_of: Made
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vpt_plugin.export.bundle.torch.save", full)
    with pytest.raises(OSError, match="No space left"):
        write_bundle(*exported_of("tiny"), tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "bundle").mkdir()
    with pytest.raises(ConfigurationError, match="is there already"):
        write_bundle(*exported_of("tiny"), tmp_path / "bundle")
