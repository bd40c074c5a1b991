"""Gradient checkpointing of every network: the same gradients and running statistics, less memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from vpt_plugin.models.backbones import always_frozen, blocks_to_recompute, stages
from vpt_plugin.models.catalog import MODELS, get_model
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.recompute import call_recomputed, recomputed

# MViT takes whole clips only, for which a pass takes half a minute; its first blocks are tried below.
SMALL = [name for name in MODELS if name != "mvit_b"]


def a_clip(classifier: Classifier) -> Tensor:
    slices = 1 if classifier.spec.shape_rule.single_slice else 8
    return torch.rand(2, 1, slices, 32, 32, generator=torch.Generator().manual_seed(1))


def learned(
    classifier: nn.Module, inputs: Tensor, context: AbstractContextManager[None]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The gradients and all buffers after one pass in training mode."""
    classifier.train().zero_grad()
    torch.manual_seed(2)
    with context:
        outputs = classifier(inputs)
    outputs.square().sum().backward()
    gradients = {
        name: each.grad.clone() for name, each in classifier.named_parameters() if each.grad is not None
    }
    return gradients, {name: each.clone() for name, each in classifier.named_buffers()}


@pytest.mark.parametrize("name", SMALL)
def test_recomputed_blocks_give_the_same_gradients_and_count_a_batch_once(
    name: str, enliven: Callable[..., nn.Module]
) -> None:
    def fresh() -> Classifier:
        classifier = new_classifier(get_model(name), ("lung_nodule",))
        enliven(classifier)
        return classifier

    kept, recomputing = fresh(), fresh()
    gradients, buffers = learned(kept, a_clip(kept), nullcontext())
    blocks = blocks_to_recompute(recomputing)
    again, buffers_again = learned(recomputing, a_clip(kept), recomputed(blocks))
    assert gradients.keys() == again.keys()
    for entry, gradient in gradients.items():
        torch.testing.assert_close(again[entry], gradient, atol=1e-6, rtol=1e-4)
    assert buffers.keys() == buffers_again.keys()
    for entry, buffer in buffers.items():
        assert torch.equal(buffers_again[entry], buffer), entry
    # What replaced the blocks' forward is gone again.
    assert not any("forward" in vars(block) for block in blocks)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_that_learns_is_in_exactly_one_stage_from_the_input_to_the_head(name: str) -> None:
    classifier = new_classifier(get_model(name), ("lung_nodule",))
    parts = stages(classifier)
    counted = [id(each) for part in parts for each in part.parameters()]
    assert sorted(counted) == sorted(id(each) for each in classifier.parameters() if each.requires_grad)
    assert parts[-1] is classifier.head
    # The stem is where the one channel comes in; LRCN's belongs to what never learns.
    (stem, *_) = always_frozen(classifier) or parts
    assert any(each.shape[1:2] == (1,) for each in stem.parameters())


def test_recomputed_blocks_keep_a_fraction_of_the_maps() -> None:
    classifier = new_classifier(get_model("slow_r50"), ("lung_nodule",))

    def kept_numbers(context: AbstractContextManager[None]) -> int:
        kept: list[int] = []

        def note(tensor: Tensor) -> Tensor:
            kept.append(tensor.numel())
            return tensor

        with saved_tensors_hooks(note, lambda tensor: tensor), context:
            classifier.train()(a_clip(classifier))
        return sum(kept)

    every_map = kept_numbers(nullcontext())
    assert kept_numbers(recomputed(blocks_to_recompute(classifier))) < every_map / 10


def test_blocks_of_mvit_pass_on_the_shape_of_their_maps() -> None:
    classifier = new_classifier(get_model("mvit_b"), ("lung_nodule",))
    blocks = blocks_to_recompute(classifier)[:2]

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(blocks)

        def forward(self, tokens: Tensor) -> Tensor:
            shape = [4, 8, 8]
            for block in self.blocks:
                tokens, shape = block(tokens, shape)
            return tokens

    tokens = torch.rand(1, 1 + 4 * 8 * 8, 96, generator=torch.Generator().manual_seed(1))
    gradients, _ = learned(Two(), tokens, nullcontext())
    again, _ = learned(Two(), tokens, recomputed(blocks))
    for entry, gradient in gradients.items():
        torch.testing.assert_close(again[entry], gradient)


def test_a_recomputed_dropout_leaves_out_the_same_numbers() -> None:
    network = nn.Sequential(nn.Linear(50, 50), nn.Dropout(0.5), nn.Linear(50, 1))
    inputs = torch.ones(1, 50)
    kept, _ = learned(network, inputs, nullcontext())
    again, _ = learned(network, inputs, recomputed([network[1], network[2]]))
    assert torch.equal(kept["0.weight"], again["0.weight"])


def test_in_evaluation_mode_the_running_statistics_are_used_and_stay() -> None:
    network = nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2)).eval()
    inputs = torch.rand(1, 1, 2, 2, 2)
    before = {name: each.clone() for name, each in network.named_buffers()}
    outputs = call_recomputed(network, network, inputs)
    assert torch.equal(outputs, network(inputs))
    outputs.sum().backward()
    assert all(torch.equal(each, before[name]) for name, each in network.named_buffers())
