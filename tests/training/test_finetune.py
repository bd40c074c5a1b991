from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vpt_plugin.data.augmentation import Jitter, make_augmentation
from vpt_plugin.data.bags import TrainingBags, collate_bags
from vpt_plugin.data.clip_dataset import ClipShape, CoveringClips, scale_clips
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.errors import (
    CancelledError,
    ClipShapeError,
    ConfigurationError,
    ModelCardError,
    TrainingError,
)
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec, get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import TASKS, ClipRule
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import clip_shape, finetune
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.selection import select_studies
from vpt_plugin.training.sources import ManifestSource
from vpt_plugin.training.training_data import TrainingData

NODULE = TASKS["nodule"]
SHORT = FinetuneConfig(epochs=2, steps_per_epoch=2, batch=4)


Train = Callable[..., ModelCard]
Finished = tuple[ModelStore, ModelCard, list[Progress]]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture(scope="module")
def train(ball_manifest: Manifest, ball_cache: Path, small_spec: ModelSpec) -> Train:
    """``finetune`` on the small studies; a test says what is different."""

    def train(config: FinetuneConfig = SHORT, **facts: Any) -> ModelCard:
        spec = facts.pop("spec", small_spec)
        manifest = facts.pop("manifest", ball_manifest)
        return finetune(
            ManifestSource(manifest), NODULE, spec, config, cache=ball_cache, device="cpu", **facts
        ).card

    return train


@pytest.fixture(scope="module")
def finished(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A training that ran to its end: the store, the card and what was reported."""
    store = ModelStore(tmp_path_factory.mktemp("finished"))
    told: list[Progress] = []
    return store, train(store=store, progress=told.append), told


def test_a_finetuning_publishes_a_classifier_with_a_complete_card(
    finished: Finished, small_spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, card, told = finished
    with pytest.raises(ModelCardError, match="slices cropped to 32, the network has 96"):
        store.load(NODULE, "tiny")
    monkeypatch.setattr("vpt_plugin.training.model_store.get_model", lambda name: small_spec)
    loaded, same = store.load(NODULE, "tiny")
    assert same == card
    assert loaded.findings == ("lung_nodule",)
    assert (card.task, card.model, card.version, card.pretraining) == ("nodule", "tiny", 1, "none")
    assert (card.clip_slices, card.trained_on, card.synthetic) == (8, 12, True)
    assert card.counts["validation"] == {"lung_nodule": {"present": 4, "absent": 4}}
    estimate = card.validation_auroc["lung_nodule"]
    assert 0 <= estimate.ci95[0] <= estimate.value <= estimate.ci95[1] <= 1
    assert estimate.n == 8
    assert 0 < card.thresholds["lung_nodule"] < 1
    assert card.ranges["slices"] == (20.0, 20.0)
    assert card.reading == {
        "hu_window": {"centre": -600, "width": 1500}, "offset": 0, "clip_slices": 8, "stride_slices": 6,
        "min_positive_slices": 4, "aggregation": "max", "resize_px": 40, "crop_px": 32,
    }  # fmt: skip
    settled = SHORT.settled(())
    assert FinetuneConfig.from_dict(card.training["config"]) == settled
    assert [each["epoch"] for each in card.training["history"]] == [1, 2]
    assert len(card.split_hash) == len(card.labels_hash) == len(card.weights_sha256) == 64
    assert card.code_version
    assert card.created.endswith("Z")
    assert not card.calibrated
    states = [progress.state for progress in told]
    assert states[:20] == ["preparing"] * 20
    assert states[-2:] == ["publishing", "done"]


def test_the_same_seed_gives_the_same_classifier_and_another_seed_another(
    finished: Finished, train: Train, ball_manifest: Manifest, store: ModelStore
) -> None:
    _, card, _ = finished
    # The order of the rows does not matter either.
    again = train(manifest=Manifest(tuple(reversed(ball_manifest.studies))), store=store)
    other = train(replace(SHORT, seed=1, epochs=1), store=store)
    assert [again.version, other.version] == [1, 2]
    assert card.weights_sha256 == again.weights_sha256 != other.weights_sha256
    assert card.to_json()["validation_auroc"] == again.to_json()["validation_auroc"]
    assert card.thresholds == again.thresholds


def selected(manifest: Manifest, cache: Path, spec: ModelSpec) -> tuple[ClipShape, TrainingData]:
    shape = clip_shape(NODULE, spec)
    data = select_studies(
        ManifestSource(manifest),
        NODULE,
        shape,
        PreparedStudies(cache, NODULE.hu_window, pixels=spec.resize_px),
        FinetuneConfig(),
        progress=lambda *_: None,
        cancelled=lambda: False,
    )
    return shape, data


def test_the_tiny_network_learns_balls_from_tubes(
    ball_manifest: Manifest, ball_cache: Path, small_spec: ModelSpec
) -> None:
    shape, data = selected(ball_manifest, ball_cache, small_spec)
    bags = TrainingBags(
        data.rounds[0].train, shape, bags=8, bag_clips=8, seed=0,
        augmentation=make_augmentation("light", shape, Jitter()),
    )  # fmt: skip
    batch = collate_bags(list(bags))
    images, labels = scale_clips(batch["image"], NODULE.offset), batch["label"]
    classifier = new_classifier(small_spec, NODULE.findings)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        loss = nn.functional.binary_cross_entropy_with_logits(classifier(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-2:]) < 0.8 * losses[0]


def test_every_slice_of_a_validation_study_is_looked_at(
    ball_manifest: Manifest, ball_cache: Path, small_spec: ModelSpec
) -> None:
    shape, data = selected(ball_manifest, ball_cache, small_spec)
    clips = list(CoveringClips(data.rounds[0].validation, shape))
    # 20 slices in clips of 8 every 6: starts 0, 6 and 12, for each of 8 studies.
    assert [int(clip["label"]) for clip in clips] == sorted([*range(8)] * 3)
    seen = torch.stack([clip["image"] for clip in clips[:3]])
    whole = torch.from_numpy(np.array(data.rounds[0].validation[0].prepared.slices[:, 4:36, 4:36]))
    assert torch.equal(torch.cat([seen[0, 0, :6], seen[1, 0, :6], seen[2, 0]]), whole)


@pytest.mark.parametrize("when", ["preparing", "training", "validating"])
def test_a_cancelled_finetuning_leaves_the_store_as_it_was(
    train: Train, store: ModelStore, when: str
) -> None:
    told: list[Progress] = []
    with pytest.raises(CancelledError):
        train(store=store, progress=told.append, cancelled=lambda: bool(told) and told[-1].state == when)
    assert told[-1].state == when
    assert store.folders() == []


def test_a_finetuning_that_goes_astray_leaves_the_store_as_it_was(train: Train, store: ModelStore) -> None:
    with pytest.raises(TrainingError, match="Try a lower learning rate"):
        train(replace(SHORT, epochs=5, learning_rate=1e30, precision="float32"), store=store)
    assert store.folders() == []


def test_what_is_missing_is_said_before_any_study_is_read(train: Train, store: ModelStore) -> None:
    told: list[Progress] = []
    with pytest.raises(ConfigurationError, match="no weights for the pretraining 'kinetics'"):
        train(replace(SHORT, pretraining="kinetics"), store=store, progress=told.append)
    with pytest.raises(ClipShapeError, match="it takes exactly 32 slices"):
        train(spec=replace(get_model("mvit_b"), clip_slices=16), store=store, progress=told.append)
    assert told == []


def test_the_clip_shape_joins_the_facts_of_task_and_network() -> None:
    shape = clip_shape(NODULE, get_model("swin_t"))
    assert (shape.length, shape.stride, shape.crop_px, shape.min_positive_slices) == (32, 24, 224, 4)
    # -1000 HU in a window from -1350 to 150: 350 / 1500 of 255.
    assert shape.air == 60
    task = replace(NODULE, clips=ClipRule(length_slices=64, stride_slices=16))
    longer = clip_shape(task, get_model("swin_t"))
    assert (longer.length, longer.stride) == (64, 16)


def test_a_network_whose_clips_could_never_be_positive_is_refused() -> None:
    task = replace(NODULE, clips=ClipRule(min_positive_slices=33))
    with pytest.raises(ClipShapeError, match=r"swin_t sees clips of 32 slices; .* only from 33 slices on"):
        clip_shape(task, get_model("swin_t"))
    assert clip_shape(replace(task, clips=ClipRule(min_positive_slices=32)), get_model("swin_t")).length == 32
