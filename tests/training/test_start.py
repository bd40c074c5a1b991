from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vpt_plugin.data.manifest import Manifest
from vpt_plugin.errors import ConfigurationError, TrainingError
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec, get_model
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import FinetuneResult, finetune
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.sources import ManifestSource
from vpt_plugin.training.start import find_start
from vpt_plugin.training.validation_record import SeenStudy, ValidationRecord

TINY = get_model("tiny")
Publish = Callable[..., ModelCard]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def publish(store: ModelStore) -> Publish:
    """Publishes a classifier that began from ``pretraining`` and was trained on the given studies."""

    def publish(
        pretraining: str = "none", *, seen: tuple[SeenStudy, ...] | None = (), seed: int = 1
    ) -> ModelCard:
        classifier = new_classifier(TINY, ("lung_nodule",), seed=seed)
        card = ModelCard("nodule", "tiny", ("lung_nodule",), pretraining, 8)
        record = None if seen is None else ValidationRecord(("lung_nodule",), (), seen)
        return store.publish(classifier, card, beside=record.write if record else None)

    return publish


def config(start: str, pretraining: str = "ct") -> FinetuneConfig:
    return FinetuneConfig(pretraining=pretraining, start=start)


def same(ours: Classifier, theirs: Classifier) -> bool:
    return all(
        torch.equal(entry, theirs.backbone.state_dict()[name])
        for name, entry in ours.backbone.state_dict().items()
    )


def test_a_training_begins_with_the_backbone_of_the_served_version_and_a_head_of_its_own(
    store: ModelStore, publish: Publish
) -> None:
    publish(seed=1)
    publish(seed=2)
    start = find_start(store, TINY, config("nodule_tiny"))
    assert start is not None
    assert start.name == "nodule_tiny:2"
    begun = start.classifier(store, ("pulmonary_embolism", "lung_nodule"), seed=0)
    assert same(begun, new_classifier(TINY, ("lung_nodule",), seed=2))
    assert begun.findings == ("pulmonary_embolism", "lung_nodule")
    assert begun.head.weight.shape == (2, 32)
    # The same head every time, whatever torch's own generator drew before.
    torch.rand(3)
    again = start.classifier(store, ("pulmonary_embolism", "lung_nodule"), seed=0)
    assert torch.equal(begun.head.weight, again.head.weight)


def test_a_version_can_be_named(store: ModelStore, publish: Publish) -> None:
    publish(seed=1)
    publish(seed=2)
    start = find_start(store, TINY, config("nodule_tiny:1"))
    assert start is not None
    begun = start.classifier(store, ("lung_nodule",), seed=0)
    assert same(begun, new_classifier(TINY, ("lung_nodule",), seed=1))


def test_other_pretrainings_begin_elsewhere(store: ModelStore) -> None:
    assert find_start(store, TINY, FinetuneConfig(pretraining="none")) is None


@pytest.mark.parametrize(
    ("began", "asked", "right"),
    [
        ("none", "ct", True),
        ("ct", "ct", True),
        ("kinetics", "kinetics+ct", True),
        ("kinetics+ct", "kinetics+ct", True),
        ("kinetics", "ct", False),
        ("none", "kinetics+ct", False),
        ("imagenet", "imagenet+ct", True),
        ("imagenet+ct", "imagenet+ct", True),
    ],
)
def test_the_pretraining_has_the_name_of_what_it_began_from(
    store: ModelStore, publish: Publish, began: str, asked: str, right: bool
) -> None:
    publish(began)
    if right:
        assert find_start(store, TINY, config("nodule_tiny", asked)) is not None
        return
    other = {"ct": "kinetics+ct", "kinetics+ct": "ct"}[asked]
    with pytest.raises(
        ConfigurationError, match=f"began from '{began}'.*set pretraining to {other}".replace("+", r"\+")
    ):
        find_start(store, TINY, config("nodule_tiny", asked))


def test_what_cannot_be_begun_from_is_refused_with_the_choices(store: ModelStore, publish: Publish) -> None:
    with pytest.raises(ConfigurationError, match="nothing of the network tiny was published here"):
        find_start(store, TINY, config("nodule_tiny"))
    publish()
    with pytest.raises(ConfigurationError, match=r"version 7 was never trained.*choose from nodule_tiny:1\."):
        find_start(store, TINY, config("nodule_tiny:7"))
    with pytest.raises(ConfigurationError, match=r"'pe_swin_t' is no tiny.*choose from nodule_tiny:1\."):
        find_start(store, TINY, config("pe_swin_t"))
    publish("photographs")
    with pytest.raises(
        ConfigurationError, match="began from 'photographs'; choose one that began from none or"
    ):
        find_start(store, TINY, config("nodule_tiny"))


def test_a_version_that_does_not_say_whom_it_was_trained_on_may_be_begun_from_with_a_note(
    store: ModelStore, publish: Publish
) -> None:
    publish(seen=None)
    start = find_start(store, TINY, config("nodule_tiny"))
    assert start is not None
    assert "nodule_tiny:1 does not say which studies it was trained on" in start.note
    publish()
    start = find_start(store, TINY, config("nodule_tiny"))
    assert start is not None
    assert start.note == ""


def test_what_its_start_does_not_say_its_descendants_do_not_know_either(
    ball_manifest: Manifest, ball_cache: Path, small_spec: ModelSpec, store: ModelStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("vpt_plugin.training.model_store.get_model", lambda name: small_spec)
    monkeypatch.setattr("vpt_plugin.training.version_folder.get_model", lambda name: small_spec)
    sides = ["train"] * 4 + ["validation"] * 8
    rows = zip(ball_manifest.studies[-12:], sides, strict=True)
    source = ManifestSource(Manifest(tuple(replace(row, split=side) for row, side in rows)))
    short = FinetuneConfig(epochs=1, steps_per_epoch=2, batch=4)

    def train(config: FinetuneConfig) -> FinetuneResult:
        return finetune(
            source, TASKS["nodule"], small_spec, config,
            store=store, cache=ball_cache, device="cpu", report=False,
        )  # fmt: skip

    train(short)
    # As an imported version: nothing lies beside it.
    (store.place("nodule", "tiny", 1) / "validation.json").unlink()
    for version in (1, 2):
        begun = replace(short, pretraining="ct", start=f"nodule_tiny:{version}")
        result = train(begun)
        record = ValidationRecord.read(store.place("nodule", "tiny", version + 1))
        assert record is not None
        assert not record.complete
        assert f"nodule_tiny:{version} does not say which studies" in "".join(result.warnings)
    assert find_start(store, TINY, config("nodule_tiny:3")).note  # type: ignore[union-attr]


def test_whom_its_start_was_trained_on_validates_nothing_and_its_descendants_neither(
    ball_manifest: Manifest, ball_cache: Path, small_spec: ModelSpec, store: ModelStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("vpt_plugin.training.model_store.get_model", lambda name: small_spec)
    monkeypatch.setattr("vpt_plugin.training.version_folder.get_model", lambda name: small_spec)
    short = FinetuneConfig(epochs=1, steps_per_epoch=2, batch=4)

    def train(manifest: Manifest, config: FinetuneConfig = short) -> ModelCard:
        return finetune(
            ManifestSource(manifest), TASKS["nodule"], small_spec, config,
            store=store, cache=ball_cache, device="cpu", report=False,
        ).card  # fmt: skip

    def sides(train: range, validation: range) -> Manifest:
        studies = ball_manifest.studies
        return Manifest(
            tuple(replace(studies[number], split="train") for number in train)
            + tuple(replace(studies[number], split="validation") for number in validation)
        )

    train(sides(range(4), range(12, 20)))
    begun = replace(short, pretraining="ct", start="nodule_tiny:1")
    card = train(sides(range(4, 8), range(12, 20)), begun)
    assert (card.pretraining, card.training["config"]["start"]) == ("ct", "nodule_tiny:1")
    with pytest.raises(TrainingError, match="nodule_tiny:1 was trained on patients of the validation side"):
        train(sides(range(4, 8), range(4)), begun)
    # Version 2 was trained on studies 4 to 7, but what it began from knows 0 to 3.
    begun = replace(short, pretraining="ct", start="nodule_tiny:2")
    with pytest.raises(TrainingError, match=r"study-000, study-001, study-002 and 1 more"):
        train(sides(range(8, 12), range(4)), begun)
