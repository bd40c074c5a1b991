"""Answers computed by OpenVINO: the same as torch's, kept compiled, and torch's where that does not work."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("openvino", reason="needs OpenVINO: the extra `openvino`")

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.inference.engines import Engine, make_engine
from vpt_plugin.inference.engines import openvino_engine as of_openvino
from vpt_plugin.inference.engines.choose import expected_backend
from vpt_plugin.inference.engines.compiled_cache import CompiledCache
from vpt_plugin.inference.engines.openvino_network import installed_version, openvino
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.precision import computed_with
from vpt_plugin.models.precision_record import PrecisionCheck
from vpt_plugin.tasks import TASKS, ClipRule, ReadingTask

PE = TASKS["pe"]
SIGNS_OF_CI = ("CI", "TF_BUILD", "JENKINS_URL")


def small(network: str, *, pixels: int, slices: int) -> tuple[Classifier, ReadingTask]:
    """A network of random weights for clips of this size, whose head is as loud as a trained one's."""
    task = replace(PE, clips=ClipRule(length_slices=slices, min_positive_slices=1))
    classifier = new_classifier(replace(get_model(network), crop_px=pixels), task.findings)
    with torch.no_grad():
        classifier.head.weight.mul_(20)
    return classifier, task


def engine(
    backend: str,
    cache: Path,
    classifier: Classifier,
    task: ReadingTask,
    precision: str = "float32",
    temperature: float = 1.0,
) -> Engine:
    card = ModelCard(
        task.name, classifier.spec.name, task.findings, "none", classifier.spec.clip_slices,
        temperature=temperature,
    )  # fmt: skip
    return make_engine(
        classifier, task, card,
        device="cpu", precision=precision, backend=backend, cache=cache, many_studies=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tiny() -> tuple[Classifier, ReadingTask]:
    return small("tiny", pixels=96, slices=8)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, tiny: tuple[Classifier, ReadingTask]) -> Path:
    """A folder in which tiny is kept, compiled."""
    folder = tmp_path_factory.mktemp("compiled")
    engine("openvino", folder, *tiny)
    return folder


def float32_entry(folder: Path) -> Path:
    (kept,) = (each for each in folder.glob("*/facts.json") if "float32" in each.read_text())
    return kept.parent


def a_study(classifier: Classifier, task: ReadingTask) -> torch.Tensor:
    length = classifier.spec.clip_numbers(task.clips).length
    shape = (length + 5, classifier.spec.crop_px, classifier.spec.crop_px)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("network", "pixels", "slices"), [("slow_r50", 32, 4), ("penet", 32, 8)])
def test_openvino_and_torch_say_the_same_of_every_clip(
    network: str, pixels: int, slices: int, tmp_path: Path
) -> None:
    classifier, task = small(network, pixels=pixels, slices=slices)
    study, starts = a_study(classifier, task), (0, 3, 5)
    logits, features = engine("openvino", tmp_path, classifier, task).answer(study, starts)
    expected = engine("torch", tmp_path, classifier, task).answer(study, starts)
    torch.testing.assert_close(logits, expected[0], rtol=0, atol=1e-3)
    torch.testing.assert_close(features, expected[1], rtol=1e-3, atol=1e-3)
    assert logits.dtype == torch.float64
    assert len(set(logits[:, 0].tolist())) == 3


@pytest.mark.parametrize(("precision", "allowed"), [("float32", 1e-3), ("bfloat16", 0.01)])
def test_tiny_says_the_same_in_both_precisions(
    precision: str, allowed: float, tiny: tuple[Classifier, ReadingTask], cache: Path
) -> None:
    ours = engine("openvino", cache, *tiny, precision=precision)
    assert (ours.name, ours.precision, ours.notes) == ("openvino", precision, ())
    ours.warm_up()
    study = a_study(*tiny)
    said = torch.sigmoid(ours.answer(study, (0, 5))[0])
    expected = torch.sigmoid(engine("torch", cache, *tiny).answer(study, (0, 5))[0])
    torch.testing.assert_close(said, expected, rtol=0, atol=allowed)


def test_the_second_start_converts_nothing(
    tiny: tuple[Classifier, ReadingTask], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr(of_openvino, "convert", never)
    assert engine("openvino", cache, *tiny).name == "openvino"


def test_weights_that_were_trained_further_are_compiled_anew(
    tiny: tuple[Classifier, ReadingTask], cache: Path, tmp_path: Path
) -> None:
    shutil.copytree(cache, tmp_path / "compiled")
    further, _ = small("tiny", pixels=96, slices=8)
    with torch.no_grad():
        further.head.bias.add_(1.0)
    study = a_study(*tiny)
    before = engine("openvino", tmp_path / "compiled", *tiny).answer(study, (0,))[0]
    after = engine("openvino", tmp_path / "compiled", further, tiny[1]).answer(study, (0,))[0]
    torch.testing.assert_close(after, before + 1, rtol=0, atol=1e-4)


def test_a_damaged_entry_is_made_again(
    tiny: tuple[Classifier, ReadingTask], cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study, folder = a_study(*tiny), tmp_path / "compiled"
    shutil.copytree(cache, folder)
    before = engine("openvino", folder, *tiny).answer(study, (0,))[0]
    blob = float32_entry(folder) / "compiled.blob"
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes(content)
    assert torch.equal(engine("openvino", folder, *tiny).answer(study, (0,))[0], before)
    assert "damaged or another's; it is made again" in caplog.text
    assert blob.read_bytes() != content


def keep_moved(cache: Path, folder: Path, move: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Copy tiny's entry to a folder, and change the logits of torch that are kept in it."""
    kept = float32_entry(cache)
    logits = torch.tensor(json.loads((kept / "expected.json").read_text()), dtype=torch.float64)
    files = {
        "compiled.blob": (kept / "compiled.blob").read_bytes(),
        "expected.json": json.dumps(move(logits).tolist()).encode(),
    }
    CompiledCache(folder).store(json.loads((kept / "facts.json").read_text())["facts"], files)


def by_a_quarter(logits: torch.Tensor) -> torch.Tensor:
    """Logits whose probabilities are a quarter nearer to the other end."""
    said = torch.sigmoid(logits)
    return torch.logit(torch.where(said < 0.5, said + 0.25, said - 0.25))


def test_torch_computes_where_openvino_says_something_else(
    tiny: tuple[Classifier, ReadingTask], cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep_moved(cache, tmp_path, by_a_quarter)
    ours = engine("openvino", tmp_path, *tiny)
    assert ours.name == "torch"
    version = installed_version()
    note = f"OpenVINO {version} differs from torch by 0.2500 in a probability of tiny"
    assert any(each.startswith(note) for each in ours.notes)
    assert [note in each for each in caplog.messages].count(True) == 1


def test_the_probabilities_that_are_compared_are_those_of_the_cards_temperature(
    tiny: tuple[Classifier, ReadingTask], cache: Path, tmp_path: Path
) -> None:
    # A thousandth of a logit is 0.00025 of a probability at most; divided by 10 it is within 0.0001.
    keep_moved(cache, tmp_path, lambda logits: logits - 0.001 * logits.sign())
    assert engine("openvino", tmp_path, *tiny, temperature=10.0).name == "openvino"
    assert engine("openvino", tmp_path, *tiny, temperature=1.0).name == "torch"


def test_what_disagrees_when_it_is_made_is_not_kept(
    tiny: tuple[Classifier, ReadingTask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(of_openvino.ALLOWED_SHIFT, "float32", -1.0)
    assert engine("openvino", tmp_path, *tiny).name == "torch"
    assert not list(tmp_path.glob("*/compiled.blob"))


def test_an_intact_entry_that_openvino_refuses_is_replaced(
    tiny: tuple[Classifier, ReadingTask], cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = float32_entry(cache)
    files = {
        "compiled.blob": b"of another OpenVINO",
        "expected.json": (kept / "expected.json").read_bytes(),
    }
    CompiledCache(tmp_path).store(json.loads((kept / "facts.json").read_text())["facts"], files)
    for _ in range(2):
        assert engine("openvino", tmp_path, *tiny).name == "openvino"
    assert caplog.text.count("does not take the network it compiled before") == 1
    assert (float32_entry(tmp_path) / "compiled.blob").stat().st_size > 1000


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("vpt_plugin.inference.engines.openvino_engine.processor", "cannot tell what this processor is"),
        ("vpt_plugin.inference.engines.openvino_engine.CompiledNetwork.answer", "cannot compute tiny"),
        ("vpt_plugin.inference.engines.openvino_engine.CompiledNetwork.to_bytes", "cannot export tiny"),
    ],
)
def test_auto_takes_torch_whatever_part_of_openvino_fails(
    part: str,
    words: str,
    tiny: tuple[Classifier, ReadingTask],
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("Exception from src/inference/src/cpp/core.cpp")

    monkeypatch.setattr(part, fails)
    monkeypatch.delenv("VPTCT_BACKEND", raising=False)
    folder = tmp_path if "to_bytes" in part else cache
    ours = engine("auto", folder, *tiny)
    assert ours.name == "torch"
    assert words in ours.notes[-1]
    assert "core.cpp" in ours.notes[-1]
    with pytest.raises(ConfigurationError, match=words) as told:
        engine("openvino", folder, *tiny)
    assert isinstance(told.value.__cause__, RuntimeError)


def test_lrcn_reads_clips_of_any_length_so_torch_computes_it(tmp_path: Path) -> None:
    classifier = Classifier(get_model("lrcn"), PE.findings, torch.nn.Identity())
    with pytest.raises(ConfigurationError, match="lrcn reads clips of any length"):
        engine("openvino", tmp_path, classifier, PE)


def test_auto_takes_torch_for_penet_which_torch_computes_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VPTCT_BACKEND", raising=False)
    assert engine("auto", tmp_path, *small("penet", pixels=32, slices=8)).name == "torch"


def test_what_is_expected_of_auto_knows_the_networks_that_torch_computes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("VPTCT_BACKEND", raising=False)
    expected = {"tiny": "openvino", "swin_t": "openvino", "penet": "torch", "lrcn": "torch"}
    assert {name: expected_backend(get_model(name), "cpu") for name in expected} == expected
    assert expected_backend(get_model("penet"), "cpu", "openvino") == "openvino"


def test_auto_takes_the_backend_that_may_compute_in_bfloat16_before_the_faster_one_that_may_not(
    tmp_path: Path, tiny: tuple[Classifier, ReadingTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VPTCT_BACKEND", raising=False)
    monkeypatch.setattr("vpt_plugin.models.precision.has_native_bfloat16", lambda device: True)
    classifier, task = tiny
    here = computed_with("torch", torch.device("cpu"))
    passed = {"torch bfloat16 on cpu": PrecisionCheck(60, 60, 0.004, computed_with=here)}
    card = ModelCard(task.name, "tiny", task.findings, "none", 8, precision_checks=passed)
    ours = make_engine(classifier, task, card, device="cpu", cache=tmp_path, many_studies=True)
    assert (ours.name, ours.precision) == ("torch", "bfloat16")
    expected = expected_backend(classifier.spec, "cpu", card=card)
    assert (expected, expected_backend(classifier.spec, "cpu", card=card, precision="float32")) == (
        "torch", "openvino",
    )  # fmt: skip


def test_a_network_that_cannot_be_converted_names_the_cause(
    tiny: tuple[Classifier, ReadingTask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no such operation: aten::fold")

    monkeypatch.setattr(of_openvino, "convert", fails)
    with pytest.raises(ConfigurationError, match=r"cannot convert tiny.*aten::fold.*backend torch"):
        engine("openvino", tmp_path, *tiny)
    monkeypatch.delenv("VPTCT_BACKEND", raising=False)
    ours = engine("auto", tmp_path, *tiny)
    assert ours.name == "torch"
    assert "aten::fold" in ours.notes[-1]


def test_without_the_package_it_is_told_how_to_install_it(
    tiny: tuple[Classifier, ReadingTask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'vptct\[openvino\]'"):
        engine("openvino", tmp_path, *tiny)
    monkeypatch.delenv("VPTCT_BACKEND", raising=False)
    assert engine("auto", tmp_path, *tiny).name == "torch"


def test_a_folder_that_cannot_be_written_to_costs_only_time(
    tiny: tuple[Classifier, ReadingTask], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert engine("openvino", taken, *tiny).name == "openvino"
    assert "cannot be kept" in caplog.text
    assert taken.read_text() == "a file where the folder should be"


REPORTS_NOTHING = """
import sys
asked = []
reaching_out = ("socket.connect", "socket.getaddrinfo", "socket.sendto")
sys.addaudithook(lambda name, what: asked.append(what) if name in reaching_out else None)
from vpt_plugin.inference.engines.openvino_network import installed_version, openvino
openvino()
# What a conversion reports goes through the same module.
assert sys.modules["openvino.tools.ovc.telemetry_utils"].tm.__name__ == "openvino.tools.ovc.telemetry_stub"
assert not asked, asked
"""


def test_openvino_reports_nothing_to_its_makers(tmp_path: Path) -> None:
    # As on a user's computer: a home without the file that says no, and no sign of CI.
    environment = {name: value for name, value in os.environ.items() if name not in SIGNS_OF_CI}
    ended = subprocess.run(
        [sys.executable, "-c", REPORTS_NOTHING],
        env=environment | {"HOME": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert not list(tmp_path.iterdir())


def test_nor_does_it_where_somebody_else_imported_its_reporter_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in SIGNS_OF_CI:
        monkeypatch.delenv(name, raising=False)
    reporter = pytest.importorskip("openvino_telemetry")
    openvino()
    made = reporter.Telemetry("OpenVINO", "1", "no-such-database", "ga4", enable_opt_in_dialog=False)
    assert not made.consent
    assert not list(tmp_path.iterdir())
