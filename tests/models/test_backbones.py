from __future__ import annotations

import pytest
import torch
from torch import nn

from vpt_plugin.models.backbones import sliding_mean, sum_input_channels
from vpt_plugin.models.catalog import get_model


def test_a_window_of_two_on_three_cells_counts_the_middle_one_twice() -> None:
    maps = torch.tensor([4.0, 8.0, 12.0]).reshape(1, 1, 3, 1, 1)
    # Windows (4, 8) and (8, 12) have the means 6 and 10.
    assert sliding_mean(maps, (2, 1, 1)).item() == 8
    maps = torch.tensor([0.0, 8.0, 0.0]).reshape(1, 1, 3, 1, 1)
    assert sliding_mean(maps, (2, 1, 1)).item() == 4


@pytest.mark.parametrize("window", [(1, 1, 1), (3, 9, 8), (4, 7, 7)])
def test_the_sliding_mean_is_pytorchvideos_pooling_followed_by_a_global_mean(window: tuple[int, ...]) -> None:
    maps = torch.randn(2, 3, 13, 9, 8, dtype=torch.float64)
    pooled = nn.functional.avg_pool3d(maps, window, stride=1).mean(dim=(2, 3, 4))
    torch.testing.assert_close(sliding_mean(maps, window), pooled, atol=1e-7, rtol=0)


def test_a_window_larger_than_the_map_is_cut_to_the_map() -> None:
    maps = torch.randn(1, 2, 2, 3, 3)
    torch.testing.assert_close(sliding_mean(maps, (8, 7, 7)), maps.mean(dim=(2, 3, 4)))


def test_features_of_bfloat16_maps_are_averaged_in_float32() -> None:
    assert sliding_mean(torch.ones(1, 2, 4, 4, 4, dtype=torch.bfloat16), (2, 4, 4)).dtype == torch.float32


def test_a_one_channel_stem_keeps_its_bias_stride_and_padding() -> None:
    conv = nn.Conv3d(3, 4, kernel_size=3, stride=2, padding=1)
    clip = torch.randn(1, 1, 6, 8, 8)
    of_three = conv(clip.expand(-1, 3, -1, -1, -1))
    sum_input_channels(conv)
    assert conv.weight.shape == (4, 1, 3, 3, 3)
    assert conv.weight.requires_grad
    torch.testing.assert_close(conv(clip), of_three, atol=1e-6, rtol=1e-5)


def test_a_grouped_stem_is_refused_because_its_channels_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="3 groups"):
        sum_input_channels(nn.Conv3d(3, 3, kernel_size=1, groups=3))


@pytest.fixture(scope="module")
def slowfast() -> nn.Module:
    return get_model("slowfast_r50").backbone().eval()


def test_slowfast_leaves_the_clip_it_is_given_alone(slowfast: nn.Module) -> None:
    # PyTorchVideo's blocks write into the list they are given.
    clip = torch.rand(1, 1, 4, 32, 32)
    before = clip.clone()
    with torch.no_grad():
        first, second = slowfast(clip), slowfast(clip)
    assert torch.equal(clip, before)
    assert torch.equal(first, second)


def test_the_slow_pathway_sees_every_fourth_slice(slowfast: nn.Module) -> None:
    seen: list[torch.Tensor] = []
    slow_stem = slowfast.blocks[0].multipathway_blocks[0]
    hook = slow_stem.register_forward_hook(lambda *call: seen.append(call[1][0]))
    numbered = torch.arange(12.0).reshape(1, 1, 12, 1, 1).expand(-1, -1, -1, 32, 32)
    with torch.no_grad():
        slowfast(numbered)
    hook.remove()
    assert seen[0][0, 0, :, 0, 0].tolist() == [0, 4, 8]
