from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from vpt_plugin.data.autoaugment import (
    IMAGENET_POLICY,
    Operation,
    change_values,
    draw_autoaugment,
    move,
    rotate,
)

AIR = 60


@pytest.fixture
def slices() -> Tensor:
    """Three slices of 16 x 16: dark, medium and bright noise."""
    rng = np.random.default_rng(0)
    levels = np.array([20, 90, 160])[:, None, None]
    return torch.from_numpy((levels + rng.integers(0, 60, (3, 16, 16))).astype(np.uint8))[None]


def test_the_policy_is_the_one_of_torchvision() -> None:
    theirs = v2.AutoAugment(v2.AutoAugmentPolicy.IMAGENET)._policies
    ours = [tuple((name, chance, level or None) for name, chance, level in pair) for pair in IMAGENET_POLICY]
    assert ours == [tuple((name, chance, level or None) for name, chance, level in pair) for pair in theirs]


def test_levels_mean_what_they_mean_in_torchvision() -> None:
    space = v2.AutoAugment._AUGMENTATION_SPACE
    used = {(name, level) for pair in IMAGENET_POLICY for name, _, level in pair}
    rng = np.random.default_rng(0)
    drawn = {(each.name, abs(each.magnitude)) for _ in range(20_000) for each in draw_autoaugment(rng)}
    expected = set()
    for name, level in used:
        magnitudes, _ = space[name]
        values = magnitudes(10, 16, 16)
        scale = 255 if name == "Solarize" else 1
        known = values is not None and name != "Color"
        expected.add((name, round(float(values[level]) * scale, 4) if known else 0.0))
    assert {(name, round(magnitude, 4)) for name, magnitude in drawn} == expected


def test_operations_are_drawn_as_often_as_the_policy_says() -> None:
    rng = np.random.default_rng(1)
    draws = [draw_autoaugment(rng) for _ in range(25_000)]
    counts = Counter(each.name for drawn in draws for each in drawn)
    # Of the 25 sub-policies two have Invert, each with 0.6, and one has it with 0.6 after a sharpening.
    assert counts["Invert"] == pytest.approx(1_800, rel=0.1)
    assert counts["ShearX"] == pytest.approx(600, rel=0.15)
    signs = [each.magnitude > 0 for drawn in draws for each in drawn if each.name == "Rotate"]
    assert np.mean(signs) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (Operation("Invert", 0), [255, 205, 155, 105, 55, 0]),
        # Three of eight bits: multiples of 32.
        (Operation("Posterize", 3), [0, 32, 96, 128, 192, 224]),
        # From the threshold on inverted.
        (Operation("Solarize", 150), [0, 50, 100, 105, 55, 0]),
        (Operation("Color", 0.9), [0, 50, 100, 150, 200, 255]),
    ],
)
def test_what_becomes_of_a_value(operation: Operation, expected: list[int]) -> None:
    clip = torch.tensor([0, 50, 100, 150, 200, 255], dtype=torch.uint8).reshape(1, 2, 1, 3)
    assert change_values(clip, operation).flatten().tolist() == expected


def test_contrast_is_changed_around_the_mean_of_the_whole_clip() -> None:
    clip = torch.tensor([[100, 100], [200, 200]], dtype=torch.uint8).reshape(1, 2, 1, 2)
    # The mean is 150: half the contrast leaves 125 and 175. By its own mean each slice would stay as it is.
    assert change_values(clip, Operation("Contrast", -0.5)).flatten().tolist() == [125, 125, 175, 175]


def test_auto_contrast_stretches_from_the_lowest_to_the_highest_value_of_the_whole_clip() -> None:
    clip = torch.tensor([[50, 60], [90, 100]], dtype=torch.uint8).reshape(1, 2, 1, 2)
    stretched = change_values(clip, Operation("AutoContrast", 0)).flatten().tolist()
    # (60 - 50) * 255 / (100 - 50) = 51; torchvision cuts decimals off.
    assert stretched == pytest.approx([0, 51, 204, 255], abs=1)


def test_equalised_slices_keep_their_order_of_brightness(slices: Tensor) -> None:
    means = change_values(slices, Operation("Equalize", 0)).double().mean(dim=(0, 2, 3))
    # Each equalised by itself would have a mean near 128.
    assert means[0] < 70
    assert means[2] > 185


def test_sharpening_looks_at_neighbours_on_the_same_slice_only(slices: Tensor) -> None:
    sharpened = change_values(slices, Operation("Sharpness", 0.7))
    for number in range(3):
        alone = tv.adjust_sharpness(slices[:, number : number + 1], 1.7)
        assert torch.equal(sharpened[:, number : number + 1], alone)


def test_all_slices_are_moved_alike(slices: Tensor) -> None:
    same = slices[:, :1].expand(1, 5, 16, 16).contiguous()
    for operation in (Operation("Rotate", 13.0), Operation("ShearX", -0.17)):
        moved = move(same, operation, AIR)
        assert not torch.equal(moved, same)
        assert all(torch.equal(moved[:, number], moved[:, 0]) for number in range(5))


def test_what_turns_in_from_outside_is_air() -> None:
    bright = torch.full((1, 2, 32, 32), 200, dtype=torch.uint8)
    turned = rotate(bright, 20.0, AIR)
    assert turned[0, :, 0, 0].tolist() == turned[0, :, -1, -1].tolist() == [AIR, AIR]
    assert turned[0, :, 16, 16].tolist() == [200, 200]
    sheared = move(bright, Operation("ShearX", 0.3), AIR)
    assert int(sheared.min()) == AIR


def test_turned_air_leaves_no_line_around_the_slice() -> None:
    air = torch.full((1, 2, 32, 32), AIR, dtype=torch.uint8)
    assert torch.equal(rotate(air, 20.0, AIR), air)
    assert torch.equal(move(air, Operation("ShearX", 0.3), AIR), air)


def test_a_shear_moves_a_row_by_its_distance_from_the_top() -> None:
    clip = torch.zeros((1, 1, 21, 41), dtype=torch.uint8)
    clip[..., 20] = 255
    columns = move(clip, Operation("ShearX", 0.3), 0)[0, 0].double().argmax(dim=1)
    # torchvision's affine goes from the output back to the input, hence the sign.
    assert int(columns[0]) == 20
    assert int(columns[20]) in (20 - 6, 20 + 6)


def test_a_quarter_turn_is_exact() -> None:
    clip = torch.arange(9, dtype=torch.uint8).reshape(1, 1, 3, 3)
    assert rotate(clip, 90.0, AIR)[0, 0].tolist() == [[2, 5, 8], [1, 4, 7], [0, 3, 6]]
    assert math.isclose(float(rotate(clip, 0.0, AIR).sum()), 36)
