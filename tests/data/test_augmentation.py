from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vpt_plugin.data import augmentation
from vpt_plugin.data.augmentation import (
    AUGMENTATIONS,
    Jitter,
    change_brightness,
    crop,
    draw_angle,
    draw_corner,
    make_augmentation,
)
from vpt_plugin.data.autoaugment import Operation
from vpt_plugin.data.clip_dataset import ClipShape

SHAPE = ClipShape(length=5, stride=4, crop_px=24, min_positive_slices=4, air=60)


def noise(seed: int = 0) -> NDArray[np.uint8]:
    """5 slices of 32 x 32."""
    return np.random.default_rng(seed).integers(0, 256, (5, 32, 32), dtype=np.uint8)


@pytest.fixture
def nothing_but(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``nothing_but(operations, degrees=0.0)``: what the paper's augmentation draws."""

    def fix(*operations: Operation, degrees: float = 0.0) -> None:
        monkeypatch.setattr(augmentation, "draw_autoaugment", lambda rng: operations)
        monkeypatch.setattr(augmentation, "draw_angle", lambda rng: degrees)
        monkeypatch.setattr(augmentation, "draw_corner", lambda rng, pixels, crop_px: (0, 0))

    return fix


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_same_generator_gives_the_same_clip_and_torchs_own_is_left_alone(name: str) -> None:
    augment = make_augmentation(name, SHAPE, Jitter())
    before = torch.random.get_rng_state()
    original = noise()
    varied = [augment(noise(), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(clip.shape == (5, 24, 24) and clip.dtype == np.uint8 for clip in varied)
    assert np.array_equal(varied[0], varied[1])
    assert np.array_equal(varied[0], varied[2]) == (name == "none")
    assert np.array_equal(noise(), original)


def test_none_is_the_middle_of_every_slice() -> None:
    varied = make_augmentation("none", SHAPE, Jitter())(noise(), np.random.default_rng(0))
    assert np.array_equal(varied, noise()[:, 4:28, 4:28])


@pytest.mark.parametrize("name", ["paper", "light"])
def test_one_draw_holds_for_all_slices(name: str) -> None:
    augment = make_augmentation(name, SHAPE, Jitter())
    same = np.broadcast_to(noise()[:1], (5, 32, 32)).copy()
    for seed in range(40):
        varied = augment(same.copy(), np.random.default_rng(seed))
        assert (varied == varied[0]).all()


def test_the_corners_that_turn_in_are_air(nothing_but: Callable[..., None]) -> None:
    nothing_but(degrees=20.0)
    varied = make_augmentation("paper", SHAPE, Jitter())(np.full((5, 32, 32), 200, np.uint8), None)  # type: ignore[arg-type]
    assert varied[0, 0, 0] == 60
    assert varied[0, 16, 16] == 200


def test_air_that_turned_in_is_inverted_with_all_other_air(nothing_but: Callable[..., None]) -> None:
    nothing_but(Operation("Invert", 0.0), degrees=20.0)
    clip = np.full((5, 32, 32), 60, np.uint8)
    varied = make_augmentation("paper", SHAPE, Jitter())(clip, None)  # type: ignore[arg-type]
    assert set(np.unique(varied)) == {195}


def test_the_policys_operations_are_done_in_their_order(nothing_but: Callable[..., None]) -> None:
    clip = np.full((5, 32, 32), 200, np.uint8)
    augment = make_augmentation("paper", SHAPE, Jitter())
    # 200 -> 55 -> the upper three bits, 32; the other way round 200 -> 192 -> 63.
    nothing_but(Operation("Invert", 0.0), Operation("Posterize", 3.0))
    assert set(np.unique(augment(clip.copy(), None))) == {32}  # type: ignore[arg-type]
    nothing_but(Operation("Posterize", 3.0), Operation("Invert", 0.0))
    assert set(np.unique(augment(clip.copy(), None))) == {63}  # type: ignore[arg-type]


def test_angles_lie_within_20_degrees_and_use_them_all() -> None:
    rng = np.random.default_rng(0)
    angles = [draw_angle(rng) for _ in range(2_000)]
    assert -20 <= min(angles) < -19.5
    assert 19.5 < max(angles) <= 20
    assert np.mean(angles) == pytest.approx(0, abs=1)


@given(st.integers(1, 30), st.integers(0, 20), st.integers(0, 1000))
def test_a_drawn_square_lies_inside_the_slice(crop_px: int, margin: int, seed: int) -> None:
    pixels = crop_px + margin
    clip = np.zeros((1, pixels, pixels), dtype=np.uint8)
    corner = draw_corner(np.random.default_rng(seed), pixels, crop_px)
    assert crop(clip, corner, crop_px).shape == (1, crop_px, crop_px)


def test_every_corner_is_drawn_as_often() -> None:
    rng = np.random.default_rng(0)
    corners = Counter(draw_corner(rng, 6, 4) for _ in range(9_000))
    assert len(corners) == 9
    assert all(count == pytest.approx(1_000, abs=130) for count in corners.values())


def test_brightness_is_changed_around_the_middle_of_the_window() -> None:
    clip = np.array([[[0, 51, 255]]], dtype=np.uint8)
    assert change_brightness(clip, (1.0, 0.0)).tolist() == [[[0, 51, 255]]]
    # (0.2 - 0.5) * 0.5 + 0.5 = 0.35, the ends go to 0.25 and 0.75.
    assert change_brightness(clip, (0.5, 0.0)).tolist() == [[[64, 89, 191]]]
    assert change_brightness(clip, (1.0, 0.2)).tolist() == [[[51, 102, 255]]]
