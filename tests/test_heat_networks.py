"""What is taken out of every family of networks: evidence that adds up, at the place where it is.

The networks are as published but for random weights, and see small clips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vpt_plugin.errors import NotExplainableError
from vpt_plugin.inference.heat import HIRES_CAM
from vpt_plugin.inference.heat.grid import cell_positions, step_of
from vpt_plugin.inference.heat.watch import FAMILIES, family_of
from vpt_plugin.models.backbones import stages
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.spec import ModelSpec, ShapeRule

FINDINGS = ("one", "other")
# Slices, rows and columns of a clip, and a bright block in it that lies at another place along every axis.
CLIP = (16, 64, 64)
BLOCK = (slice(10, 13), slice(4, 14), slice(46, 56))
# One of each family; where the mean over the last map goes into one linear layer, evidence adds up.
ADDING_UP = ("tiny", "slow_r50", "slowfast_r50", "penet", "swin_t", "resnet18_2d")
# Stages with so many cells that a place can be told.
FINE = {"tiny": 1, "slow_r50": 3, "slowfast_r50": 3, "penet": 3, "swin_t": 11, "resnet18_2d": 3, "mvit_b": 3}


def small_mvit() -> nn.Module:
    """MViT with four of its sixteen blocks, for small clips."""
    from pytorchvideo.models.hub import mvit_base_32x3

    network: nn.Module = mvit_base_32x3(
        depth=4, spatial_size=CLIP[1], temporal_size=CLIP[0], embed_dim_mul=[[1, 2.0]],
        atten_head_mul=[[1, 2.0]], pool_q_stride_size=[[1, 1, 2, 2]],
        pool_kv_stride_adaptive=[1, 2, 2],
    )  # fmt: skip
    return network


def spec_of(name: str) -> ModelSpec:
    if name != "mvit_b":
        return MODELS[name]
    rule = ShapeRule(only=CLIP)
    return replace(MODELS[name], build=small_mvit, feature_dim=192, shape_rule=rule)


@pytest.fixture(scope="module")
def network() -> Callable[[str], Classifier]:
    made: dict[str, Classifier] = {}

    def of_name(name: str) -> Classifier:
        if name not in made:
            made[name] = lively(new_classifier(spec_of(name), FINDINGS)).eval().requires_grad_(False)
        return made[name]

    return of_name


def lively(classifier: Classifier) -> Classifier:
    """As networks are born, norms of weight 0 silence whole blocks, and attention tells no tokens apart."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for module in classifier.modules():
            if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm)):
                module.weight.uniform_(0.3, 0.7, generator=generator)
            if isinstance(module, nn.Linear):
                module.weight.normal_(std=module.in_features**-0.5, generator=generator)
    return classifier


def clip_of(classifier: Classifier, *, block: bool = True) -> Tensor:
    """Faint noise with or without the block; of a network of single slices, its middle slice."""
    clip = torch.rand(1, 1, *CLIP, generator=torch.Generator().manual_seed(1)) / 10
    if block:
        clip[0, 0][BLOCK] = 1
    middle = (BLOCK[0].start + BLOCK[0].stop) // 2
    return clip[:, :, middle : middle + 1] if classifier.spec.shape_rule.single_slice else clip


def evidence(classifier: Classifier, clip: Tensor, finding: int) -> tuple[list[Tensor], Tensor]:
    """The evidence per pathway for a finding in a clip, and the clip's logits."""
    with family_of(classifier).watch(classifier, HIRES_CAM.stage) as watched:
        logits = classifier(clip)
        gradients = watched.gradients(logits[:, finding].sum())
        pairs = zip(watched.values(), gradients, strict=True)
        return [HIRES_CAM.rule(*pair) for pair in pairs], logits.detach()


@pytest.mark.parametrize("name", ADDING_UP)
def test_what_all_cells_say_adds_up_to_the_logit(network: Callable[[str], Classifier], name: str) -> None:
    classifier = network(name)
    pathways, logits = evidence(classifier, clip_of(classifier), 1)
    said = sum(float(each.double().sum()) for each in pathways)
    assert said == pytest.approx(float(logits[0, 1] - classifier.head.bias[1]), rel=1e-3)


@pytest.mark.parametrize("name", FINE)
def test_a_change_in_the_clip_shows_in_the_cells_that_look_at_it(
    network: Callable[[str], Classifier], name: str
) -> None:
    classifier = network(name)
    family = family_of(classifier)
    with family.watch(classifier, FINE[name]) as watched:
        seen = []
        for block in (True, False):
            classifier(clip_of(classifier, block=block))
            seen.append([each.numpy() for each in watched.values()])
    for with_block, without in zip(*seen, strict=True):
        change = np.square(with_block - without).sum(axis=1)[0]
        shape = clip_of(classifier).shape[2:]
        for axis, (pixels, part) in enumerate(zip(shape, BLOCK, strict=True)):
            cells = change.shape[axis]
            most = int(change.sum(axis=tuple(other for other in range(3) if other != axis)).argmax())
            middle = 0.5 if pixels == 1 else (part.start + part.stop) / 2
            expected = cell_positions(np.array([middle]), step_of(pixels, cells), family.alignment)[0]
            # A step of networks that halve little is finer than what their kernels reach.
            assert abs(most - expected) <= max(1, 2 * cells / pixels), (axis, cells)


@pytest.mark.parametrize("name", FINE)
def test_what_a_cell_of_the_first_layer_sees_lies_around_where_it_is_said_to_look(
    network: Callable[[str], Classifier], name: str
) -> None:
    classifier = network(name)
    clip = clip_of(classifier).requires_grad_()
    outputs: list[Tensor] = []
    first: Any = stages(classifier)[0]
    if name == "slowfast_r50":
        first = first.multipathway_blocks[1]
    if name == "penet":
        first = first[0]  # its group norm sees the whole clip
    handle = first.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    classifier(clip)
    handle.remove()
    cells = cells_of(name, outputs[0])
    middle = tuple(count // 2 for count in cells.shape[-3:])
    (gradient,) = torch.autograd.grad(cells.abs().sum(dim=1)[0][middle], clip)
    for axis, (cell, pixels) in enumerate(zip(middle, clip.shape[2:], strict=True)):
        seen = gradient[0, 0].abs().amax(dim=[other for other in range(3) if other != axis]).nonzero()
        centre = (float(seen.min()) + float(seen.max()) + 1) / 2
        step = step_of(pixels, cells.shape[2 + axis])
        alignment = family_of(classifier).alignment
        assert cell_positions(np.array([centre]), step, alignment)[0] == pytest.approx(cell, abs=1e-6)


def cells_of(name: str, output: Tensor) -> Tensor:
    """A first layer's output as (batch, channels, slices, rows, columns)."""
    if name == "mvit_b":
        return output.transpose(1, 2).reshape(1, -1, 8, 16, 16)
    if name == "swin_t":
        return output.permute(0, 4, 1, 2, 3)
    return output.unsqueeze(2) if output.ndim == 4 else output


def test_mvit_is_asked_for_the_tokens_that_its_class_token_reads_last(
    network: Callable[[str], Classifier],
) -> None:
    classifier = network("mvit_b")
    (cells,), _ = evidence(classifier, clip_of(classifier), 0)
    assert cells.shape == (1, 8, 8, 8)
    assert cells.count_nonzero() == cells.numel()
    assert float(cells.abs().min()) < float(cells.abs().max()) / 10


def test_lrcn_is_asked_slice_by_slice_through_an_encoder_that_knows_no_gradients() -> None:
    spec = replace(MODELS["lrcn"], build=MODELS["resnet18_2d"].build, clip_slices=6)
    classifier = lively(new_classifier(spec, FINDINGS)).eval().requires_grad_(False)
    clip = clip_of(classifier)[:, :, 6:12].clone()
    clip[:, :, 4:] = 0  # filled up: these slices are not read
    (cells,), _ = evidence(classifier, clip, 0)
    assert cells.shape == (1, 6, 2, 2)
    assert [bool(each.any()) for each in cells[0]] == [True] * 4 + [False] * 2
    # To first order a small change of the encoder's answer changes the logit as the evidence says.
    features = classifier.backbone.encoder(clip[0, 0, :4, None, None])  # type: ignore[operator]
    more, less = (classifier.head(classifier.backbone.sequence([features * by])) for by in (1.05, 0.95))  # type: ignore[operator]
    assert float((more - less)[0, 0]) / 0.1 == pytest.approx(float(cells.sum()), rel=0.01)


def test_every_network_has_a_family() -> None:
    assert {spec.family for spec in MODELS.values()} == set(FAMILIES)


def test_a_network_of_another_kind_is_refused_with_those_that_are_known(
    network: Callable[[str], Classifier],
) -> None:
    classifier = new_classifier(MODELS["tiny"], FINDINGS)
    classifier.spec = replace(classifier.spec, family="own", name="mine")
    with pytest.raises(NotExplainableError, match="mine: where it looks cannot be computed"):
        family_of(classifier)


def test_stages_that_a_network_does_not_have_are_refused(network: Callable[[str], Classifier]) -> None:
    for name, stages_there in (("tiny", 5), ("mvit_b", 4)):
        classifier = network(name)
        for stage in (99, 0, -1):
            told = f"{name} has {stages_there} stages to look into, not {stage}"
            watching = family_of(classifier).watch(classifier, stage)
            with pytest.raises(NotExplainableError, match=told), watching:
                pass
