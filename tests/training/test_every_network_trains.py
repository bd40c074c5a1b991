"""Each of the paper's networks learns: from a file of published weights to a loss that falls on one batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vpt_plugin.models.catalog import MODELS, ModelSpec, get_model
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.sources import WeightsSource
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.training.bag_loss import bag_cross_entropy
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.optimization import make_optimizer
from vpt_plugin.training.placement import MixedPrecision, Placement
from vpt_plugin.training.step import TrainingStep

TEN = [name for name in MODELS if name != "tiny"]
# Where the architecture allows it: slices, rows, columns. A position embedding ties MViT to whole clips.
SMALL_CLIP = (8, 32, 32)
# Of 32 pixels one cell is left: batch norm would have four numbers to go by.
SMALL_SLICE = (1, 64, 64)
# A step on a single whole clip takes MViT a quarter of a minute of one core: its batch is one clip.
CLIPS = {"mvit_b": 1}
STEPS = 5
# Adam's first steps are as large as the rate, whatever the gradient: from random weights much for these two.
RATES = {"mvit_b": 1e-5, "swin_t": 4e-6}


def as_published(entries: dict[str, Tensor], layout: str) -> Any:
    """As the publishers' training scripts saved them: the layouts that the catalog's first sources have."""
    if layout == "torchvision":
        return entries
    if layout == "penet":
        return {
            "model_state": {
                f"module.{name.replace('penet_blocks', 'xnet_blocks')}": each
                for name, each in entries.items()
            }
        }
    return {"model_state": entries}


def without_checksum(spec: ModelSpec) -> tuple[ModelSpec, WeightsSource]:
    pretraining, (published, *_) = next(iter(spec.weights.items()))
    source = replace(published, sha256="", sha256_prefix="")
    return replace(spec, weights={pretraining: (source,)}), source


@pytest.mark.parametrize("name", TEN)
def test_the_loss_on_one_batch_falls_with_every_step_from_published_weights(
    name: str, tmp_path: Path
) -> None:
    spec, source = without_checksum(get_model(name))
    torch.manual_seed(0)
    network = spec.build()
    torch.save(as_published(network.state_dict(), source.layout), tmp_path / source.filename)
    classifier = new_classifier(
        spec, ("lung_nodule",), pretraining=source.pretraining, weights=WeightsFolder(tmp_path), seed=3
    )
    begun = {name: each.clone() for name, each in classifier.state_dict().items()}
    for entry, value in spec.backbone(network).state_dict().items():
        # LRCN's recurrence is not published: it begins at random.
        assert entry.startswith("sequence.") or torch.equal(begun[f"backbone.{entry}"], value)

    step = make_step(classifier, FinetuneConfig(learning_rate=RATES.get(name, 1e-4)))
    clips = CLIPS.get(name, 4)
    small = SMALL_SLICE if spec.shape_rule.single_slice else SMALL_CLIP
    batch = torch.rand(clips, 1, *(spec.shape_rule.only or small), generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([[float(number % 2 == 0)] for number in range(clips)])
    batch[1::2] *= 0.5
    bag, losses = torch.arange(clips), []
    for _ in range(STEPS):
        # The same blocks are left out every time (Swin, PENet), or the losses could not be compared.
        torch.manual_seed(0)
        losses.append(step(batch, labels, bag))
    torch.manual_seed(0)
    with torch.no_grad():
        losses.append(float(bag_cross_entropy(classifier(batch), labels, bag, "max")))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 0.01
    weights = [name for name, each in classifier.named_parameters() if each.requires_grad]
    moved = [name for name in weights if not torch.equal(classifier.state_dict()[name], begun[name])]
    assert {weights[0], "head.weight", "head.bias"} <= set(moved)


def make_step(classifier: Classifier, config: FinetuneConfig) -> TrainingStep:
    step = TrainingStep(
        classifier, make_optimizer(classifier, config),
        MixedPrecision(Placement(torch.device("cpu"), torch.float32)), pooling=config.pooling,
    )  # fmt: skip
    step.micro_batch = config.batch
    return step
