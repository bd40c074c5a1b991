"""2D networks through whole trainings: single slices, and a frozen encoder under a recurrence that learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vpt_plugin.data.manifest import Manifest
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec, get_model
from vpt_plugin.models.classifier import Classifier, load_weights, new_classifier
from vpt_plugin.tasks import TASKS, ClipRule
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import clip_shape, finetune
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.optimization import freeze, parameter_groups
from vpt_plugin.training.reading import reading_facts
from vpt_plugin.training.shared_norm import SharedBatchNorm, share_batch_norm
from vpt_plugin.training.sources import ManifestSource

NODULE = TASKS["nodule"]
SLICES = replace(get_model("resnet18_2d"), resize_px=40, crop_px=32)
# The same with a small network for the slices.
LRCN = replace(get_model("lrcn"), build=SLICES.build, resize_px=40, crop_px=32, clip_slices=24)
SHORT = FinetuneConfig(pretraining="none", epochs=2, steps_per_epoch=2, batch=4, precision="float32", seed=5)


def train(
    spec: ModelSpec, config: FinetuneConfig, manifest: Manifest, cache: Path, folder: Path
) -> tuple[ModelCard, Classifier]:
    """What ``finetune`` publishes: its card and its weights."""
    store = ModelStore(folder / "models")
    card = finetune(
        ManifestSource(manifest), NODULE, spec, config, store=store, cache=cache, device="cpu", report=False
    ).card
    published = new_classifier(spec, NODULE.findings)
    load_weights(published, store.place(card.task, card.model, card.version) / "weights.safetensors")
    return card, published


def state(classifier: Classifier, part: str) -> dict[str, Tensor]:
    return {name: each for name, each in classifier.state_dict().items() if name.startswith(part)}


def test_a_slice_network_is_trained_on_slices_and_validated_by_the_highest_of_them(
    ball_manifest: Manifest, ball_cache: Path, tmp_path: Path
) -> None:
    card, _ = train(SLICES, SHORT, ball_manifest, ball_cache, tmp_path)
    assert card.clip_slices == 1
    assert {name: card.reading[name] for name in ("clip_slices", "stride_slices", "min_positive_slices")} == {
        "clip_slices": 1, "stride_slices": 1, "min_positive_slices": 1,
    }  # fmt: skip
    assert card.validation_auroc["lung_nodule"].n == 8
    # 8 studies of 20 slices, all of them labelled: each slice is a clip.
    assert card.metrics["clip"]["lung_nodule"]["auroc"].n == 160


def test_a_clip_rule_for_3d_networks_changes_nothing_for_a_slice_network() -> None:
    odd = replace(NODULE, clips=ClipRule(32, 32, 20))
    shape = clip_shape(odd, SLICES)
    assert (shape.length, shape.stride, shape.min_positive_slices, shape.min_slices) == (1, 1, 1, 1)
    assert reading_facts(odd, SLICES) == reading_facts(NODULE, SLICES)


@pytest.mark.parametrize(
    "changes",
    [
        {"layer_decay": 0.5, "gradient_checkpointing": True, "micro_batch": 1},
        {"train": "head_first", "head_epochs": 1},
    ],
)
def test_of_lrcn_the_recurrence_and_the_head_learn_and_the_encoder_stays_bit_for_bit(
    changes: dict[str, object], ball_manifest: Manifest, ball_cache: Path, tmp_path: Path,
) -> None:  # fmt: skip
    config = replace(SHORT, learning_rate=1e-3, **changes)
    # 24 slices at once, of studies that have 20.
    _, trained = train(LRCN, config, ball_manifest, ball_cache, tmp_path)
    fresh = new_classifier(LRCN, NODULE.findings, seed=config.seed)
    encoder = state(fresh, "backbone.encoder.")
    assert sum("running" in name for name in encoder) == 40  # the statistics of 20 batch norms
    for name, value in encoder.items():
        assert torch.equal(trained.state_dict()[name], value), name
    for name, value in (state(fresh, "backbone.sequence.gru.weight") | state(fresh, "head.")).items():
        assert not torch.equal(trained.state_dict()[name], value), name


def test_the_optimizer_knows_of_lrcn_the_recurrence_at_its_share_and_the_head() -> None:
    classifier = new_classifier(LRCN, NODULE.findings)
    groups = parameter_groups(classifier, FinetuneConfig(learning_rate=0.1, layer_decay=0.5))
    rate_of = {id(each): group["lr"] for group in groups for each in group["params"]}
    recurrence = list(classifier.backbone.sequence.parameters())
    assert {rate_of.pop(id(each)) for each in recurrence} == {0.05}
    assert rate_of == {id(classifier.head.weight): 0.1, id(classifier.head.bias): 0.1}


def test_lrcns_encoder_is_frozen_in_every_epoch_of_every_way_to_train() -> None:
    classifier = new_classifier(LRCN, NODULE.findings)
    backbone = classifier.backbone

    def learn(config: FinetuneConfig, epoch: int) -> set[str]:
        freeze(classifier, config, epoch)
        named = backbone.named_parameters()
        return {name.split(".")[0] for name, each in named if each.requires_grad}

    head_first = FinetuneConfig(train="head_first", head_epochs=1, epochs=3)
    assert learn(FinetuneConfig(), 1) == {"sequence"}
    assert learn(FinetuneConfig(train="head"), 1) == set()
    assert [learn(head_first, epoch) for epoch in (1, 2)] == [set(), {"sequence"}]
    assert freeze(classifier, FinetuneConfig(), 1) == (backbone.encoder,)


def test_lrcns_batch_norms_stay_still_when_processes_share_them() -> None:
    classifier = new_classifier(LRCN, NODULE.findings)
    before = {name: each.clone() for name, each in classifier.state_dict().items()}
    share_batch_norm(classifier, torch.device("cpu"))
    shared = [each for each in classifier.modules() if isinstance(each, SharedBatchNorm)]
    assert len(shared) == 20
    classifier.train()
    classifier(torch.rand(2, 1, 6, 32, 32)).sum().backward()
    assert all(torch.equal(each, before[name]) for name, each in classifier.state_dict().items())
