"""Networks in one file: what leaves the house answers as what stays, and says how a study is read for it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from vpt_plugin.digest import file_sha256
from vpt_plugin.errors import BackendDisagreesError, ConfigurationError
from vpt_plugin.export.facts import Exported
from vpt_plugin.export.network import clips_to_try, network_of, require_same
from vpt_plugin.export.one_file import write_file
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.tasks import TASKS

PE = TASKS["pe"]
Made = Callable[[str], tuple[Classifier, Exported]]


def test_the_facts_say_how_a_study_becomes_clips_and_clips_an_answer(exported_of: Made) -> None:
    _, exported = exported_of("tiny")
    exported = replace(exported, task=replace(PE, clips=exported.task.clips))
    facts = exported.to_json()
    assert facts["input"]["shape"] == ["batch", 1, 8, 64, 64]
    assert facts["input"]["range"] == [-0.15897, pytest.approx(0.84103)]
    reading = facts["reading"]
    assert (reading["low_hu"], reading["high_hu"], reading["offset"]) == (-100, 900, 0.15897)
    assert (reading["resize_px"], reading["crop_px"]) == (72, 64)
    assert (reading["clip_slices"], reading["stride_slices"], reading["min_slices"]) == (8, 6, 4)
    assert reading["air_level"] == 0
    answer = facts["answer"]
    assert (answer["temperature"], answer["aggregation"]) == (1.7, "max")
    assert answer["thresholds"] == {"pulmonary_embolism": 0.5}
    assert facts["use"] == "For research only: not a medical device, not for clinical use."
    synthetic = replace(exported, card=replace(exported.card, synthetic=True))
    assert "synthetic phantoms only" in synthetic.to_json()["use"]
    assert ModelCard.from_json(facts["card"]) == exported.card


@pytest.mark.parametrize("model", ["tiny", "slow_r50", "r2plus1d_r50"])
def test_an_onnx_file_answers_as_torch_for_batches_of_any_size(
    model: str, tmp_path: Path, exported_of: Made
) -> None:
    classifier, exported = exported_of(model)
    path = tmp_path / "network.onnx"
    assert write_file(classifier, exported, "onnx", path) < 1e-4

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    clips = clips_to_try(exported, 3)
    (logits,) = session.run(["logits"], {"clips": clips.numpy()})
    with torch.no_grad():
        expected = classifier(clips)
    assert float(expected.abs().max()) == pytest.approx(1)
    torch.testing.assert_close(torch.from_numpy(logits), expected, atol=1e-4, rtol=0)
    inside = json.loads(session.get_modelmeta().custom_metadata_map["vptct"])
    beside = json.loads(path.with_name("network.onnx.json").read_text())
    assert beside["sha256"] == file_sha256(path)
    assert {name: each for name, each in beside.items() if name not in ("checked", "sha256")} == inside
    assert beside["checked"]["logits_differ_by"] < 1e-4
    assert sorted(each.name for each in tmp_path.iterdir()) == ["network.onnx", "network.onnx.json"]


def test_torchscript_answers_as_torch_and_has_the_facts_inside(tmp_path: Path, exported_of: Made) -> None:
    classifier, exported = exported_of("tiny")
    path = tmp_path / "network.ts"
    write_file(classifier, exported, "torchscript", path)
    told = {"vptct.json": ""}
    with pytest.warns(FutureWarning, match="torch.jit"):
        network = torch.jit.load(str(path), _extra_files=told)  # type: ignore[no-untyped-call]
    clips = clips_to_try(exported, 3)
    with torch.no_grad():
        torch.testing.assert_close(network(clips), classifier(clips), atol=1e-5, rtol=0)
    assert json.loads(told["vptct.json"]) == exported.to_json()


def test_the_classifier_is_left_as_it_was(tmp_path: Path, exported_of: Made) -> None:
    classifier, exported = exported_of("tiny")
    before = {name: each.clone() for name, each in classifier.state_dict().items()}
    trained = copy.deepcopy(classifier).train().requires_grad_(True)
    write_file(trained, exported, "torchscript", tmp_path / "network.ts")
    assert trained.training
    assert all(each.requires_grad for each in trained.parameters())
    assert all(torch.equal(each, before[name]) for name, each in trained.state_dict().items())


class _Off(nn.Module):
    """A network that became another one on its way."""

    def __init__(self, network: nn.Module, by: float) -> None:
        super().__init__()
        self.network, self.by = network, by

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.network(clips) + self.by
        return logits


@pytest.mark.parametrize("by", [2e-4, -2e-4, float("nan")])
def test_a_network_that_answers_otherwise_is_refused(by: float, exported_of: Made) -> None:
    classifier, exported = exported_of("tiny")
    network = network_of(classifier)
    assert require_same(network, _Off(network, 5e-5), exported, what="it") == pytest.approx(5e-5, rel=0.01)
    with pytest.raises(BackendDisagreesError, match="nodule_tiny version 2: it answers otherwise than torch"):
        require_same(network, _Off(network, by), exported, what="it")


def test_what_answers_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported_of: Made
) -> None:
    classifier, exported = exported_of("tiny")
    load: Any = torch.jit.load
    wrong = SimpleNamespace(load=lambda *args, **kwargs: _Off(load(*args, **kwargs), 1.0))
    for name in ("trace", "save", "TracerWarning"):
        setattr(wrong, name, getattr(torch.jit, name))
    monkeypatch.setattr("vpt_plugin.export.torchscript.jit", wrong)
    with pytest.raises(BackendDisagreesError, match="TorchScript answers otherwise"):
        write_file(classifier, exported, "torchscript", tmp_path / "network.ts")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path, exported_of: Made) -> None:
    classifier, exported = exported_of("tiny")
    for taken in ("network.ts", "network.ts.json"):
        (tmp_path / taken).write_text("mine")
        with pytest.raises(ConfigurationError, match="is there already"):
            write_file(classifier, exported, "torchscript", tmp_path / "network.ts")
        assert [each.name for each in tmp_path.iterdir()] == [taken]
        (tmp_path / taken).unlink()


def test_a_network_that_leaves_out_the_filling_is_refused_with_the_way_out() -> None:
    classifier = SimpleNamespace(spec=MODELS["lrcn"])
    with pytest.raises(ConfigurationError, match=r"lrcn cannot be exported.*vpt versions export"):
        network_of(classifier)  # type: ignore[arg-type]


@pytest.mark.parametrize("taken", ["network.ts", "network.ts.json"])
def test_a_file_that_somebody_puts_there_meanwhile_stays(
    taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported_of: Made
) -> None:
    def write(network: object, exported: object, path: Path) -> float:
        (tmp_path / taken).write_text("mine")
        path.write_bytes(b"network")
        return 0.0

    monkeypatch.setattr("vpt_plugin.export.one_file._WRITERS", {"torchscript": write})
    with pytest.raises(ConfigurationError, match=f"{taken} is there already; choose another name"):
        write_file(*exported_of("tiny"), "torchscript", tmp_path / "network.ts")
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {taken: "mine"}


def test_what_a_killed_export_left_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported_of: Made
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    def write(network: object, exported: object, path: Path) -> float:
        path.write_bytes(b"network")
        return 0.0

    path = tmp_path / "network.ts"
    monkeypatch.setattr("vpt_plugin.export.one_file._WRITERS", {"torchscript": write})
    with monkeypatch.context() as patched:
        patched.setattr("vpt_plugin.export.one_file.publish_new_file", killed)
        with pytest.raises(Killed):
            write_file(*exported_of("tiny"), "torchscript", path)
    assert [each.name for each in tmp_path.iterdir()] == ["network.ts.json"]
    write_file(*exported_of("tiny"), "torchscript", path)
    assert json.loads((tmp_path / "network.ts.json").read_text())["sha256"] == file_sha256(path)
    # Somebody's own notes are none of ours.
    path.unlink()
    (tmp_path / "network.ts.json").write_text('{"mine": 1}')
    with pytest.raises(ConfigurationError, match=r"network\.ts\.json is there already"):
        write_file(*exported_of("tiny"), "torchscript", path)
