"""Networks made for answering: folded, fused and lean, they say what they said before."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vpt_plugin.inference.engines.torch_ready import made_ready
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.folding import (
    fold_batch_norm,
    fuse_convolutions,
    hold_weights_in,
    pack_linear_layers,
)
from vpt_plugin.models.onednn import FusedConvolution, PackedLinear, can_fuse
from vpt_plugin.models.window_attention import LeanWindowAttention, use_lean_attention

needs_fusion = pytest.mark.skipif(not can_fuse(), reason="this torch lacks the operators of oneDNN")


def lived(name: str) -> Classifier:
    """A network whose norms are not those of a new one, in which they do nothing."""
    classifier = new_classifier(MODELS[name], ("finding",), seed=1).eval().requires_grad_(False)
    draw = torch.Generator().manual_seed(2)
    module: Any
    for module in classifier.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.normal_(0, 0.2, generator=draw)
            module.running_var.uniform_(0.5, 1.5, generator=draw)
            module.weight.uniform_(0.5, 1.2, generator=draw)
            module.bias.normal_(0, 0.2, generator=draw)
        if isinstance(getattr(module, "relative_position_bias_table", None), nn.Parameter):
            module.relative_position_bias_table.normal_(0, 1, generator=draw)
    return classifier


def clips(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3))


@torch.inference_mode()
def moved(one: Classifier, other: Classifier, seen: torch.Tensor) -> float:
    """How far the features are apart, as a share of their length."""
    before, after = one.features(seen).float(), other.features(seen).float()
    return float((after - before).norm() / before.norm())


# The convolutions of each that a batch norm follows.
@pytest.mark.parametrize(("name", "norms"), [("tiny", 8), ("r2plus1d_r50", 69)])
def test_a_folded_network_has_no_batch_norm_left_and_says_the_same(name: str, norms: int) -> None:
    network = lived(name)
    folded = copy.deepcopy(network)
    assert fold_batch_norm(folded) == norms
    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm3d)]
    assert moved(network, folded, clips(1, 1, 8, 32, 32)) < 1e-5


# Some norms of a trained network turn maps around, and some leave them out.
@pytest.mark.parametrize("name", ["slow_r50", "csn_r101"])
def test_norms_far_from_those_of_a_new_network_are_folded_to_the_same_features(name: str) -> None:
    network = lived(name)
    draw = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.normal_(0, 1, generator=draw)
            module.running_var.uniform_(0.05, 4, generator=draw)
            module.weight.normal_(0, 1, generator=draw)
            module.weight[::7] = 0
    ready = made_ready(network, torch.device("cpu"), torch.float32)
    assert not [module for module in ready.modules() if isinstance(module, nn.BatchNorm3d)]
    assert moved(network, ready, clips(1, 1, 8, 64, 64)) <= 1e-5


@needs_fusion
@pytest.mark.parametrize(
    ("name", "shape", "relus"),
    [("tiny", (2, 1, 8, 40, 32), 8), ("slowfast_r50", (1, 1, 32, 32, 32), 102)],
)
def test_convolutions_that_bring_their_sum_and_relu_say_the_same_of_maps_of_any_size(
    name: str, shape: tuple[int, ...], relus: int
) -> None:
    network = lived(name)
    fused = copy.deepcopy(network)
    fold_batch_norm(fused)
    fuse_convolutions(fused)
    convolutions = [module for module in fused.modules() if isinstance(module, FusedConvolution)]
    assert not [module for module in fused.modules() if isinstance(module, nn.Conv3d)]
    assert sum(each._relu for each in convolutions) == relus
    assert moved(network, fused, clips(*shape)) < 1e-5
    # Weights are laid out for the first two shapes; another one takes them as they are.
    for rows in (64, 32, 48):
        assert moved(network, fused, clips(1, 1, 32, rows, 48)) < 1e-5


def test_weights_are_held_in_bfloat16_only_where_autocast_would_turn_them_to_it() -> None:
    network = lived("lrcn")
    hold_weights_in(network, torch.bfloat16)
    backbone: Any = network.backbone
    kinds = {type(m): m.weight.dtype for m in backbone.encoder.modules() if hasattr(m, "weight")}
    assert kinds == {nn.Conv2d: torch.bfloat16, nn.BatchNorm2d: torch.float32}
    # The recurrence computes without autocast.
    assert {each.dtype for each in backbone.sequence.parameters()} == {torch.float32}


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 3), st.integers(8, 40), st.integers(8, 40), st.booleans())
def test_lean_attention_gives_what_torchvision_gives_on_maps_of_any_size(
    slices: int, rows: int, columns: int, shifted: bool
) -> None:
    from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        shift = [1, 3, 3] if shifted else [0, 0, 0]
        theirs = ShiftedWindowAttention3d(12, [2, 7, 7], shift, num_heads=3).eval().requires_grad_(False)
        theirs.relative_position_bias_table.normal_(0, 1)
        maps = torch.randn(2, slices, rows, columns, 12)
    torch.testing.assert_close(LeanWindowAttention(theirs)(maps), theirs(maps), atol=1e-6, rtol=1e-5)


def test_swin_with_lean_attention_says_the_same() -> None:
    network = lived("swin_t")
    lean = copy.deepcopy(network)
    use_lean_attention(lean)
    assert sum(isinstance(module, LeanWindowAttention) for module in lean.modules()) == 12
    assert moved(network, lean, clips(1, 1, 8, 64, 96)) < 1e-5


@needs_fusion
def test_packed_linear_layers_say_the_same_of_any_number_of_rows() -> None:
    held = nn.Sequential(nn.Linear(48, 96), nn.GELU(), nn.Linear(96, 16, bias=False))
    held.to(torch.bfloat16).requires_grad_(False)
    packed = copy.deepcopy(held)
    pack_linear_layers(packed)
    assert [type(module) for module in packed] == [PackedLinear, nn.GELU, PackedLinear]
    for shape in ((5, 7, 48), (2, 3, 4, 48), (1, 48)):
        vectors = clips(*shape)
        torch.testing.assert_close(packed(vectors), held(vectors.bfloat16()), atol=0.01, rtol=0.01)
