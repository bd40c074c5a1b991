from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vpt_plugin.errors import (
    ChecksumError,
    ModelCardError,
    NotTrainedError,
    TrainingError,
    UnknownModelError,
    WeightsLayoutError,
    WeightsNotFoundError,
)
from vpt_plugin.models.card import Estimate, ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import Classifier, new_classifier, save_weights
from vpt_plugin.tasks import TASKS, HUWindow
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.reading import reading_facts
from vpt_plugin.training.version_folder import VersionFolder

NODULE = TASKS["nodule"]
CARD = ModelCard(
    task="nodule",
    model="tiny",
    findings=("lung_nodule",),
    pretraining="none",
    clip_slices=16,
    trained_on=12,
    validation_auroc={"lung_nodule": Estimate(0.9, (0.8, 1.0), 8)},
    thresholds={"lung_nodule": 0.4},
)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return new_classifier(get_model("tiny"), ("lung_nodule",), seed=3)


def listing(store: ModelStore) -> list[str]:
    paths = (path for path in store.root.rglob("*") if path.name != ".lock")
    return sorted(str(path.relative_to(store.root)) for path in paths)


def test_what_was_published_is_loaded_bit_by_bit(store: ModelStore, classifier: Classifier) -> None:
    published = store.publish(classifier, CARD)
    loaded, card = store.load(NODULE, "tiny")
    assert card == published == replace(CARD, version=1, weights_sha256=published.weights_sha256)
    for name, entry in classifier.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], entry)
    assert listing(store) == [
        "nodule_tiny",
        "nodule_tiny/served.json",
        "nodule_tiny/v0001",
        "nodule_tiny/v0001/card.json",
        "nodule_tiny/v0001/weights.safetensors",
    ]


def test_versions_count_up_the_newest_is_served_and_older_ones_stay(
    store: ModelStore, classifier: Classifier
) -> None:
    assert store.current_version("nodule", "tiny") is None
    for trained_on in (10, 20):
        store.publish(classifier, replace(CARD, trained_on=trained_on))
    assert store.current_version("nodule", "tiny") == 2
    assert store.card("nodule", "tiny").trained_on == 20
    assert store.load(NODULE, "tiny", version=1)[1].trained_on == 10
    assert [(card.task, card.model, card.version) for card in store.cards()] == [
        ("nodule", "tiny", 1),
        ("nodule", "tiny", 2),
    ]


def test_an_empty_store_has_no_cards(store: ModelStore) -> None:
    assert store.cards() == []


def test_what_was_never_trained_says_how_to_train_it(store: ModelStore, classifier: Classifier) -> None:
    with pytest.raises(NotTrainedError, match=r"vpt finetune MANIFEST\.csv --task nodule --model tiny"):
        store.load(NODULE, "tiny")
    store.publish(classifier, CARD)
    with pytest.raises(NotTrainedError, match="nodule_tiny version 7 was never trained"):
        store.load(NODULE, "tiny", version=7)
    with pytest.raises(UnknownModelError, match="unknown model 'tinny'; choose from"):
        store.load(NODULE, "tinny")


def test_weights_that_were_exchanged_are_not_loaded(store: ModelStore, classifier: Classifier) -> None:
    store.publish(classifier, CARD)
    other = new_classifier(get_model("tiny"), ("lung_nodule",), seed=4)
    save_weights(other, store.root / "nodule_tiny" / "v0001" / "weights.safetensors")
    with pytest.raises(ChecksumError, match="is not the file that was published"):
        store.load(NODULE, "tiny")


def test_weights_of_other_findings_are_not_loaded(store: ModelStore, classifier: Classifier) -> None:
    store.publish(classifier, CARD)
    task = replace(NODULE, findings=("lung_nodule", "emphysema"))
    with pytest.raises(ModelCardError, match="trained for lung_nodule, the task asks for lung_nodule, em"):
        store.load(task, "tiny")
    # A card that claims two findings for weights of one does not pass either.
    two = store.publish(classifier, replace(CARD, findings=task.findings))
    with pytest.raises(WeightsLayoutError):
        store.load(task, "tiny", version=two.version)


def test_a_damaged_card_is_named(store: ModelStore, classifier: Classifier) -> None:
    store.publish(classifier, CARD)
    path = store.root / "nodule_tiny" / "v0001" / "card.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(ModelCardError, match=r"card\.json: the model card cannot be read"):
        store.load(NODULE, "tiny")


def test_a_classifier_is_not_served_for_studies_that_are_read_in_another_way(
    store: ModelStore, classifier: Classifier
) -> None:
    store.publish(classifier, replace(CARD, reading=reading_facts(NODULE, get_model("tiny"))))
    assert store.load(NODULE, "tiny")[1].version == 1
    other = replace(NODULE, hu_window=HUWindow(400, 1000))
    message = "nodule_tiny version 1 was trained with HU window -600/1500, the task has 400/1000."
    with pytest.raises(ModelCardError) as caught:
        store.load(other, "tiny")
    assert (caught.value.message, caught.value.hint) == (
        message, "Train it again, or use the task file it was trained with.",
    )  # fmt: skip
    with pytest.raises(
        ModelCardError, match=r"offset 0, the task has 0\.5; aggregation max, the task has mean"
    ):
        store.load(replace(NODULE, offset=0.5, aggregation="mean"), "tiny")


def test_a_card_that_does_not_say_how_studies_were_read_is_served(
    store: ModelStore, classifier: Classifier
) -> None:
    store.publish(classifier, CARD)
    assert store.load(replace(NODULE, hu_window=HUWindow(400, 1000)), "tiny")[1].reading == {}


def test_a_folder_copied_from_another_computer_is_the_version_it_is_called(
    store: ModelStore, classifier: Classifier, tmp_path: Path
) -> None:
    for trained_on in (1, 2, 3):
        store.publish(classifier, replace(CARD, trained_on=trained_on))
    other = ModelStore(tmp_path / "other")
    shutil.copytree(store.root / "nodule_tiny" / "v0003", other.root / "nodule_tiny" / "v0001")
    _, card = other.load(NODULE, "tiny")
    assert (card.version, card.trained_on) == (1, 3)
    assert [card.version for card in other.cards()] == [1]
    shutil.copytree(other.root / "nodule_tiny", other.root / "pe_tiny")
    with pytest.raises(ModelCardError, match="this is the model card of nodule_tiny"):
        other.load(TASKS["pe"], "tiny")


def test_version_zero_is_not_the_newest(store: ModelStore, classifier: Classifier) -> None:
    store.publish(classifier, CARD)
    with pytest.raises(NotTrainedError, match="nodule_tiny version 0 was never trained"):
        store.load(NODULE, "tiny", version=0)


def test_weights_that_are_missing_are_named(store: ModelStore, classifier: Classifier) -> None:
    store.publish(classifier, CARD)
    (store.root / "nodule_tiny" / "v0001" / "weights.safetensors").unlink()
    with pytest.raises(WeightsNotFoundError, match=r"weights\.safetensors is not there\. Copy it again"):
        store.load(NODULE, "tiny")


@pytest.mark.parametrize("damage", [{"schema": "vptct.card/2"}, {"validation_auroc": None}, {"metrics": 1}])
def test_a_damaged_card_does_not_hide_the_others(
    store: ModelStore, classifier: Classifier, caplog: pytest.LogCaptureFixture, damage: dict[str, object]
) -> None:
    for _ in range(3):
        store.publish(classifier, CARD)
    path = store.root / "nodule_tiny" / "v0002" / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    assert [card.version for card in store.cards()] == [1, 3]
    assert str(path) in caplog.text
    with pytest.raises(ModelCardError, match=r"v0002.card\.json: the model card cannot be read"):
        store.load(NODULE, "tiny", version=2)


class PowerCutError(Exception):
    pass


@pytest.mark.parametrize(
    "step", ["model_store.save_weights", "version_folder.write_over", "version_folder.publish_folder"]
)
def test_a_crash_between_writing_and_renaming_leaves_what_was_served(
    store: ModelStore, classifier: Classifier, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store.publish(classifier, CARD)
    before = listing(store)

    def crash(*_: object) -> str:
        raise PowerCutError

    monkeypatch.setattr(f"vpt_plugin.training.{step}", crash)
    with pytest.raises(PowerCutError):
        store.publish(classifier, CARD)
    assert listing(store) == before
    assert store.current_version("nodule", "tiny") == 1


def test_a_store_that_cannot_be_written_is_told(tmp_path: Path, classifier: Classifier) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(TrainingError, match=r"nodule_tiny cannot be published in .*Make room"):
        ModelStore(tmp_path / "models").publish(classifier, CARD)


def test_what_a_killed_training_left_behind_is_no_version(store: ModelStore, classifier: Classifier) -> None:
    store.publish(classifier, CARD)
    folder = store.root / "nodule_tiny"
    shutil.copytree(folder / "v0001", folder / ".unfinished-0123")
    assert store.current_version("nodule", "tiny") == 1
    assert len(store.cards()) == 1
    assert store.publish(classifier, CARD).version == 2


def test_several_that_publish_at_once_never_get_the_same_number(
    store: ModelStore, classifier: Classifier
) -> None:
    with ThreadPoolExecutor(4) as pool:
        cards = list(pool.map(lambda _: store.publish(classifier, CARD), range(12)))
    assert sorted(card.version for card in cards) == list(range(1, 13))
    assert [card.version for card in store.cards()] == list(range(1, 13))


def test_a_number_that_was_copied_there_meanwhile_is_not_overwritten(
    store: ModelStore, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish(classifier, replace(CARD, trained_on=99))
    shutil.copytree(store.root / "nodule_tiny" / "v0001", store.root / "nodule_tiny" / "v0002")
    with monkeypatch.context() as patched:
        seen = iter([[1], [1, 2]])
        patched.setattr(VersionFolder, "versions", lambda _: next(seen))
        assert store.publish(classifier, CARD).version == 3
    assert [card.trained_on for card in store.cards()] == [99, 99, 12]


def test_a_reader_never_sees_half_a_version(store: ModelStore, classifier: Classifier) -> None:
    store.publish(classifier, CARD)
    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(lambda: [store.publish(classifier, CARD) for _ in range(5)])
        while not publishing.done():
            store.load(NODULE, "tiny")
            assert all(card.weights_sha256 for card in store.cards())
    assert store.current_version("nodule", "tiny") == 6


def test_the_card_on_disk_follows_its_contract(store: ModelStore, classifier: Classifier) -> None:
    store.publish(classifier, CARD)
    data = json.loads((store.root / "nodule_tiny" / "v0001" / "card.json").read_text())
    assert data["schema"] == "vptct.card/1"
    assert data["validation_auroc"] == {"lung_nodule": {"value": 0.9, "ci95": [0.8, 1.0], "n": 8}}
