"""What holds for each of the paper's networks, at its full size, and for the small one."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vpt_plugin.models.catalog import MODELS, ModelSpec, get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.models.weights import WeightsFolder

# Of LRCN only the slices' network is published, which is that of resnext101_2d.
PUBLISHED = [name for name in MODELS if name not in ("tiny", "lrcn")]
FINDINGS = ("pulmonary_embolism", "lung_nodule")


@dataclass(frozen=True)
class Trial:
    """One clip through the publisher's network and through ours, with the same published weights."""

    spec: ModelSpec
    published_logits: Tensor  # on three times the same channel
    published_head: nn.Linear
    features: Tensor
    logits: Tensor


def published_logits(network: nn.Module, clip: Tensor) -> Tensor:
    """The publisher's own answer to a grey clip, before any softmax."""
    head = getattr(network, "blocks", [None])[-1]
    if getattr(head, "activation", None) is not None:
        head.activation = None  # R(2+1)D ends in a softmax
    if hasattr(network, "layer4"):  # of images
        return network(clip[:, :, 0].expand(-1, 3, -1, -1))
    colour = clip.expand(-1, 3, -1, -1, -1)
    is_slowfast = type(head).__name__ == "ResNetBasicHead" and hasattr(
        network.blocks[0], "multipathway_blocks"
    )
    return network([colour[:, :, ::4], colour] if is_slowfast else colour)


def published_head(network: nn.Module, spec: ModelSpec) -> nn.Linear:
    head = network.get_submodule(spec.head.rstrip("."))
    assert isinstance(head, nn.Linear)
    return head


@pytest.fixture(scope="module", params=PUBLISHED)
def trial(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    enliven: Callable[..., nn.Module],
    save_as_published: Callable[..., Path],
    without_checksum: Callable[[ModelSpec], ModelSpec],
) -> Iterator[Trial]:
    spec = without_checksum(get_model(request.param))
    pretraining, (source, *_) = next(iter(spec.weights.items()))
    folder = WeightsFolder(tmp_path_factory.mktemp("weights"))
    torch.manual_seed(0)
    network = enliven(spec.build())
    file = save_as_published(network.state_dict(), source.layout, folder.path(source))
    classifier = new_classifier(spec, FINDINGS, pretraining=pretraining, weights=folder).eval()
    file.unlink()
    seen: list[Tensor] = []
    classifier.backbone.register_forward_hook(lambda *call: seen.append(call[2]))
    clip = torch.rand(1, 1, spec.clip_slices, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = classifier(clip)
        theirs = published_logits(network, clip)
    yield Trial(spec, theirs, published_head(network, spec), seen[0], logits)
    del network, classifier
    gc.collect()


def test_the_published_head_on_our_features_gives_the_networks_own_logits(trial: Trial) -> None:
    with torch.no_grad():
        ours = trial.published_head(trial.features)
    assert trial.published_logits.std() > 0.05  # the weights say something
    torch.testing.assert_close(ours, trial.published_logits, atol=1e-5, rtol=1e-5)


def test_features_and_logits_have_the_promised_shapes(trial: Trial) -> None:
    assert trial.features.shape == (1, trial.spec.feature_dim)
    assert trial.logits.shape == (1, 2)
    assert trial.features.dtype == torch.float32


OTHER_CLIPS = {
    "slow_r50": [(1, 32, 32), (11, 40, 56)],
    "slowfast_r50": [(4, 32, 32), (40, 40, 56)],
    "csn_r101": [(1, 32, 32), (11, 40, 56)],
    "r2plus1d_r50": [(1, 32, 32), (40, 40, 56)],
    "swin_t": [(1, 32, 32), (19, 40, 56)],
    "penet": [(1, 32, 32), (11, 40, 56)],
    "resnet18_2d": [(1, 32, 32), (1, 40, 56)],
    "resnext101_2d": [(1, 32, 32), (1, 40, 56)],
    "lrcn": [(1, 32, 32), (7, 40, 56)],
    "tiny": [(1, 32, 32), (8, 96, 96)],
}


@pytest.mark.parametrize("name", OTHER_CLIPS)
def test_other_clip_lengths_and_crops_work_where_the_rule_allows_them(name: str) -> None:
    classifier = new_classifier(get_model(name), FINDINGS).eval()
    with torch.no_grad():
        for shape in OTHER_CLIPS[name]:
            features = classifier.features(torch.rand(2, 1, *shape))
            assert features.shape == (2, classifier.spec.feature_dim)
            assert features.isfinite().all()


STEMS: dict[str, Callable[[nn.Module], list[nn.Module]]] = {
    "slow_r50": lambda m: [m.blocks[0].conv],
    "slowfast_r50": lambda m: [pathway.conv for pathway in m.blocks[0].multipathway_blocks],
    "csn_r101": lambda m: [m.blocks[0].conv],
    "r2plus1d_r50": lambda m: [m.blocks[0].conv],
    "mvit_b": lambda m: [getattr(m, "network", m).patch_embed.patch_model],
    "swin_t": lambda m: [getattr(m, "network", m).patch_embed.proj],
    "penet": lambda m: [getattr(m, "network", m).in_conv[0]],
    "resnet18_2d": lambda m: [getattr(m, "network", m).conv1],
    "resnext101_2d": lambda m: [getattr(m, "network", m).conv1],
    "lrcn": lambda m: [m.encoder.network.conv1 if hasattr(m, "encoder") else m.conv1],
    "tiny": lambda m: [getattr(m, "network", m).stem[0]],
}


@pytest.mark.parametrize("name", MODELS)
def test_every_stem_takes_one_channel_exactly_as_three_times_that_channel(name: str) -> None:
    spec = get_model(name)
    network = spec.build()
    before = STEMS[name](network)
    clip = torch.rand(1, 1, 24, 24) if spec.kind == "2d" else torch.rand(1, 1, 8, 24, 24)
    with torch.no_grad():
        of_three = [stem(clip.expand(-1, 3, *clip.shape[2:])) for stem in before]
        after = STEMS[name](spec.backbone(network))
        of_one = [stem(clip) for stem in after]
    assert all(stem.weight.requires_grad for stem in after) is (name != "lrcn")
    for three, one in zip(of_three, of_one, strict=True):
        torch.testing.assert_close(one, three, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", [*PUBLISHED, "tiny"])
def test_only_the_three_channels_and_the_head_are_gone(name: str) -> None:
    spec = get_model(name)
    network = spec.build()
    parameters = sum(each.numel() for each in network.parameters())
    stems = sum(stem.weight.numel() for stem in STEMS[name](network))
    head = published_head(network, spec)
    left = sum(each.numel() for each in spec.backbone(network).parameters())
    assert left == parameters - stems * 2 // 3 - head.weight.numel() - head.bias.numel()
    assert head.in_features == spec.feature_dim


def test_r2plus1d_with_its_softmax_gives_its_own_probabilities_at_its_own_16_slices(
    enliven: Callable[..., nn.Module],
) -> None:
    spec = get_model("r2plus1d_r50")
    network = enliven(spec.build())
    head = published_head(network, spec)
    clip = torch.rand(1, 1, 16, 224, 224)
    with torch.no_grad():
        theirs = network(clip.expand(-1, 3, -1, -1, -1))
        ours = head(spec.backbone(network)(clip)).softmax(dim=1)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_gradients_reach_the_stem() -> None:
    classifier = new_classifier(get_model("tiny"), FINDINGS).train()
    classifier(torch.rand(2, 1, 4, 32, 32)).sum().backward()
    assert classifier.backbone.network.stem[0].weight.grad.abs().sum() > 0


def test_tiny_is_tiny() -> None:
    classifier = new_classifier(get_model("tiny"), FINDINGS)
    assert sum(each.numel() for each in classifier.parameters()) == 181_458  # 66 of them the head's
