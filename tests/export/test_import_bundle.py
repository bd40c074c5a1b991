"""A bundle that we wrote becomes a version again; one of somebody else is refused with what is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from vpt_plugin.cli import app
from vpt_plugin.digest import file_sha256
from vpt_plugin.errors import ChecksumError, ConfigurationError, ModelCardError, WeightsError
from vpt_plugin.export.bundle import write_bundle
from vpt_plugin.export.facts import Exported
from vpt_plugin.export.import_bundle import import_bundle
from vpt_plugin.inference.typicality import FeatureReference, fit_reference, reference_file
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore

Made = Callable[[str], tuple[Classifier, Exported]]


@pytest.fixture
def bundle(tmp_path: Path, exported_of: Made) -> Path:
    """A bundle of tiny."""
    write_bundle(*exported_of("tiny"), tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def test_a_bundle_becomes_a_candidate_with_the_same_weights_and_card(
    bundle: Path, store: ModelStore, exported_of: Made
) -> None:
    classifier, exported = exported_of("tiny")
    card = import_bundle(bundle, store)
    assert store.current_version("nodule", "tiny") is None
    assert card == replace(exported.card, version=1, weights_sha256=card.weights_sha256)
    taken = store.classifier(card).state_dict()
    assert all(torch.equal(taken[name], each) for name, each in classifier.state_dict().items())
    with pytest.raises(ConfigurationError, match="bundle is here already; it is version 1 of nodule_tiny"):
        import_bundle(bundle, store)


def test_what_the_training_studies_were_like_goes_along(
    tmp_path: Path, store: ModelStore, exported_of: Made
) -> None:
    draw = np.random.default_rng(0)
    reference = fit_reference(draw.normal(size=(80, 32)), draw.normal(size=(60, 32)))
    assert reference is not None
    (tmp_path / "version").mkdir()
    (tmp_path / "version" / reference_file(reference.sha256)).write_bytes(reference.to_bytes())
    classifier, exported = exported_of("tiny")
    exported = replace(exported, card=replace(exported.card, typicality_sha256=reference.sha256))
    bundle = tmp_path / "bundle"
    write_bundle(classifier, exported, bundle, version_folder=tmp_path / "version")

    place = store.place("nodule", "tiny", import_bundle(bundle, store).version)
    assert FeatureReference.read(place, reference.sha256) is not None
    (bundle / "models" / "typicality.safetensors").write_bytes(reference.to_bytes()[:-1])
    with pytest.raises(ChecksumError, match=r"typicality\.safetensors is not the file that was exported"):
        import_bundle(bundle, store)


def test_a_changed_file_is_refused(bundle: Path, store: ModelStore) -> None:
    weights = bundle / "models" / "model.pt"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ChecksumError, match=r"model\.pt is not the file that was exported"):
        import_bundle(bundle, store)
    assert store.versions("nodule", "tiny") == []


def test_weights_that_hold_code_are_refused_unread(bundle: Path, store: ModelStore) -> None:
    path = bundle / "models" / "model.pt"
    torch.save({"head.weight": print}, path)
    told = json.loads((bundle / "configs/metadata.json").read_text())
    told["vptct"]["files"]["models/model.pt"] = file_sha256(path)
    (bundle / "configs/metadata.json").write_text(json.dumps(told))
    with pytest.raises(WeightsError, match="no file of weights"):
        import_bundle(bundle, store)


def test_a_foreign_bundle_is_refused_with_what_is_missing(bundle: Path, store: ModelStore) -> None:
    def refusal() -> str:
        with pytest.raises(ModelCardError) as caught:
            import_bundle(bundle, store)
        return str(caught.value)

    metadata = bundle / "configs" / "metadata.json"
    told = json.loads(metadata.read_text())
    facts = told.pop("vptct")
    metadata.write_text(json.dumps(told))
    assert "no block `vptct`" in refusal()
    assert "how a study is read" in refusal()
    metadata.write_text(json.dumps({**told, "vptct": {**facts, "files": {}}}))
    assert "does not tell the checksum of models/model.pt" in refusal()
    metadata.write_text(json.dumps({**told, "vptct": {**facts, "card": {"schema": "vptct.card/1"}}}))
    assert "the model card in its configs/metadata.json is damaged" in refusal()
    for damage in ({"model": ["tiny"]}, {"temperature": 0}, {"clip_slices": "x"}):
        card = {**facts["card"], **damage}
        metadata.write_text(json.dumps({**told, "vptct": {**facts, "card": card}}))
        assert f"the model card in its configs/metadata.json is damaged: {next(iter(damage))} is" in refusal()
    metadata.write_text(json.dumps({**told, "vptct": facts}))
    (bundle / "models" / "model.pt").unlink()
    assert "there is no models/model.pt in it" in refusal()
    metadata.write_text("{")
    assert "is no JSON" in refusal()
    metadata.unlink()
    assert "there is no configs/metadata.json in it" in refusal()
    shutil.rmtree(bundle)
    assert "it is no folder; unpack it first" in refusal()


def test_the_commands_export_a_version_and_bring_it_back(tmp_path: Path, store: ModelStore) -> None:
    findings = TASKS["nodule"].findings
    for seed in (1, 2):
        card = ModelCard("nodule", "tiny", findings, "none", 8)
        store.publish(new_classifier(MODELS["tiny"], findings, seed=seed), card)

    def vpt(*words: object, root: Path = store.root) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, [*map(str, words), "--models-dir", str(root)])
        return done.exit_code, done.stdout, done.stderr

    place = tmp_path / "first"
    assert vpt("export", "nodule_tiny", "--format", "bundle", "--version", 1, "-o", place)[:2] == (
        0,
        f"{place}\n",
    )
    elsewhere = tmp_path / "elsewhere"
    assert vpt("import-bundle", place, "--serve", "--why", "a test", root=elsewhere)[:2] == (
        0,
        f"{place}: now version 1 of nodule_tiny.\nIt is served from now on.\n",
    )
    there = ModelStore(elsewhere).card("nodule", "tiny")
    assert there.weights_sha256 == store.card("nodule", "tiny", 1).weights_sha256
    code, _, told = vpt("export", "nodule_tiny", "--format", "keras", "-o", place)
    assert (code, "choose from bundle, torchscript, onnx" in " ".join(told.split())) == (2, True)
    code, _, told = vpt("export", "nodule_tiny", "--format", "torchscript", "-o", place)
    assert (code, "is there already" in " ".join(told.split())) == (2, True)
