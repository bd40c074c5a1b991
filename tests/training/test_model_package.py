"""A model on its way to another computer: out of one store and into another, whole or not at all."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vpt_plugin.errors import (
    ChecksumError,
    ConfigurationError,
    ModelCardError,
    NotTrainedError,
    UnknownModelError,
    VptError,
    WeightsLayoutError,
)
from vpt_plugin.models.card import Estimate, ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.tasks import TASKS
from vpt_plugin.training import model_package
from vpt_plugin.training.model_store import ModelStore

CARD = ModelCard(
    "nodule", "tiny", ("lung_nodule",), "none", 16,
    trained_on=12, validation_auroc={"lung_nodule": Estimate(0.9, (0.8, 1.0), 8)},
)  # fmt: skip
NAME = ("nodule", "tiny")


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return new_classifier(get_model("tiny"), ("lung_nodule",), seed=3)


@pytest.fixture
def theirs(tmp_path: Path, classifier: Classifier) -> ModelStore:
    """Another computer's store, with versions 1 and 2."""
    store = ModelStore(tmp_path / "theirs")
    store.publish(new_classifier(get_model("tiny"), ("lung_nodule",), seed=4), CARD)
    store.publish(classifier, CARD)
    return store


@pytest.fixture
def ours(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "ours")


@pytest.mark.parametrize("name", ["model.zip", "a folder", "not/there yet/model.ZIP", "not/there/folder"])
def test_an_exported_version_answers_on_the_other_computer(
    theirs: ModelStore, ours: ModelStore, classifier: Classifier, tmp_path: Path, name: str
) -> None:
    package = theirs.export(*NAME, 2, tmp_path / name)
    card = ours.import_(package, serve=True, why="trained in Leipzig", by="otto")
    assert card == replace(theirs.card(*NAME, 2), version=1)
    loaded, served = ours.load(TASKS["nodule"], "tiny")
    assert served == card
    for entry, value in classifier.state_dict().items():
        assert torch.equal(loaded.state_dict()[entry], value)
    (change,) = ours.served(*NAME).changes
    assert (change.how, change.why, change.by) == ("imported", "trained in Leipzig", "otto")


def test_the_folder_of_a_version_is_imported_too(theirs: ModelStore, ours: ModelStore) -> None:
    assert ours.import_(theirs.root / "nodule_tiny" / "v0002").version == 1


def test_what_is_imported_is_a_candidate_unless_told(theirs: ModelStore, ours: ModelStore) -> None:
    ours.import_(theirs.root / "nodule_tiny" / "v0001")
    assert ours.current_version(*NAME) is None
    ours.promote(*NAME, 1, why="tried it")
    ours.import_(theirs.root / "nodule_tiny" / "v0002")
    assert ours.current_version(*NAME) == 1
    assert ours.versions(*NAME) == [1, 2]


def test_the_same_model_is_not_taken_twice(theirs: ModelStore, ours: ModelStore) -> None:
    source = theirs.root / "nodule_tiny" / "v0001"
    ours.import_(source)
    with pytest.raises(ConfigurationError, match="is here already; it is version 1 of nodule_tiny"):
        ours.import_(source)
    assert ours.versions(*NAME) == [1]


@pytest.mark.parametrize("name", ["model.zip", "folder"])
def test_an_export_replaces_nothing(theirs: ModelStore, tmp_path: Path, name: str) -> None:
    theirs.export(*NAME, 1, tmp_path / name)
    before = sorted(path for path in tmp_path.rglob("*"))
    with pytest.raises(ConfigurationError, match="is there already; choose another name"):
        theirs.export(*NAME, 2, tmp_path / name)
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_a_damaged_version_is_not_exported(theirs: ModelStore, tmp_path: Path) -> None:
    (theirs.root / "nodule_tiny" / "v0001" / "weights.safetensors").write_bytes(b"half")
    with pytest.raises(ChecksumError):
        theirs.export(*NAME, 1, tmp_path / "model.zip")
    with pytest.raises(NotTrainedError, match="version 9"):
        theirs.export(*NAME, 9, tmp_path / "model.zip")
    assert not (tmp_path / "model.zip").exists()


def test_fields_of_a_newer_vptct_survive_the_journey(
    theirs: ModelStore, ours: ModelStore, tmp_path: Path
) -> None:
    path = theirs.root / "nodule_tiny" / "v0001" / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "fairness": {"by_age": [1, 2]}}))
    ours.import_(theirs.export(*NAME, 1, tmp_path / "model.zip"))
    card = json.loads((ours.root / "nodule_tiny" / "v0001" / "card.json").read_text())
    assert card["fairness"] == {"by_age": [1, 2]}


def with_card(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "card.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def cut_weights(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


WRONG = {
    "other weights": (cut_weights, ChecksumError, "is not the file that was published"),
    "no weights": (lambda f: (f / "weights.safetensors").unlink(), ModelCardError, "no weights.safetensors"),
    "no card": (lambda f: (f / "card.json").unlink(), ModelCardError, "there is no card.json in it"),
    "a cut card": (lambda f: (f / "card.json").write_text("{"), ModelCardError, "card.json: the model card"),
    "a newer card": (with_card(schema="vptct.card/2"), ModelCardError, "does not follow 'vptct.card/1'"),
    "a network of the future": (with_card(model="mamba"), UnknownModelError, "unknown model 'mamba'"),
    "a task that leads out": (with_card(task="../../etc/x"), ModelCardError, "are no names of a task"),
    "a task that is no text": (with_card(task=7), ModelCardError, "task is 7, no text"),
    "a finding that is none": (with_card(findings=["<b>"]), ModelCardError, "are no names of a task"),
    "two findings": (with_card(findings=["lung_nodule", "emphysema"]), WeightsLayoutError, "head"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_refused_and_leaves_nothing(
    theirs: ModelStore, ours: ModelStore, tmp_path: Path, wrong: str, packed: bool
) -> None:
    damage, error, message = WRONG[wrong]
    source = theirs.export(*NAME, 1, tmp_path / "box" / "model")
    damage(source)
    if packed:
        source = Path(shutil.make_archive(str(tmp_path / "model"), "zip", tmp_path / "box"))
    before = {path for path in tmp_path.rglob("*") if ours.root not in path.parents}
    with pytest.raises(error, match=message):
        ours.import_(source)
    assert list(ours.root.rglob("*")) == []
    assert {path for path in tmp_path.rglob("*") if ours.root not in path.parents} - {ours.root} == before


def zip_of(path: Path, *entries: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in entries:
            packed.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "there is no card.json in it"),
        ([("card.json", b"{}")], "there is no weights.safetensors beside the card.json"),
        ([("a/card.json", b"{}"), ("weights.safetensors", b"")], "no weights.safetensors beside"),
        ([("a/card.json", b"{}"), ("b/card.json", b"{}")], "there is more than one card.json"),
    ],
)
def test_a_zip_of_something_else_is_told(
    ours: ModelStore, tmp_path: Path, entries: list[tuple[str, bytes]], message: str
) -> None:
    with pytest.raises(ModelCardError, match=message):
        ours.import_(zip_of(tmp_path / "x.zip", *entries))


def test_names_in_a_zip_lead_nowhere(theirs: ModelStore, ours: ModelStore, tmp_path: Path) -> None:
    version = theirs.root / "nodule_tiny" / "v0001"
    entries = [(f"../../{file.name}", file.read_bytes()) for file in version.iterdir()]
    ours.import_(zip_of(tmp_path / "x.zip", *entries, ("../evil.py", b"print()")))
    assert sorted(path.name for path in ours.root.rglob("*") if path.is_file() and path.name != ".lock") == [
        "card.json", "served.json", "weights.safetensors",
    ]  # fmt: skip
    assert not list(tmp_path.rglob("evil.py"))
    assert not list(tmp_path.parent.glob("*.safetensors"))


def test_a_bomb_is_cut_off(ours: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_package, "_MOST_WEIGHTS_BYTES", 1 << 20)
    bomb = zip_of(tmp_path / "x.zip", ("card.json", b"{}"), ("weights.safetensors", bytes(2 << 20)))
    assert bomb.stat().st_size < 10_000
    with pytest.raises(ModelCardError, match=r"its weights\.safetensors is larger than 1 MiB"):
        ours.import_(bomb)


@pytest.mark.parametrize("content", [b"", b"<!doctype html>", b"PK\3\4 cut short"])
def test_what_is_no_zip_file_is_told(ours: ModelStore, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(ModelCardError, match=r"x\.zip holds no model: it is damaged or no zip file"):
        ours.import_(tmp_path / "x.zip")
    with pytest.raises(ModelCardError, match="it is not there"):
        ours.import_(tmp_path / "y.zip")


def test_a_zip_cut_at_any_place_is_refused(theirs: ModelStore, ours: ModelStore, tmp_path: Path) -> None:
    whole = theirs.export(*NAME, 1, tmp_path / "whole.zip").read_bytes()
    for part in range(1, 8):
        (tmp_path / "cut.zip").write_bytes(whole[: len(whole) * part // 8])
        with pytest.raises(VptError):
            ours.import_(tmp_path / "cut.zip")
    assert ours.cards() == []
