"""Slices are made smaller to the same whole HU as on the server."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standin.wheel import require_scene

require_scene()

from vpt_plugin.ct.intensity import reduce_slices
from vpt_plugin.ct.volume import Volume
from VPTCTLib.scene.reduction import Reduction, area_taps, linear_taps


def as_the_server(hu: np.ndarray, spacing_mm: tuple[float, float], pixels: int) -> np.ndarray:
    volume = Volume(hu[None], (1.0, *spacing_mm), (0, 0, 0), np.eye(3)[:, ::-1], "study")
    return reduce_slices(volume, pixels=pixels)[0]


def as_we(hu: np.ndarray, spacing_mm: tuple[float, float], pixels: int) -> np.ndarray:
    return Reduction.of(hu.shape, spacing_mm, pixels).apply(hu.astype(np.float32))


def noise(shape: tuple[int, int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1024, 3071, shape, dtype=np.int16)


@pytest.mark.parametrize("pixels", [256, 112])
def test_a_usual_slice_is_the_servers_to_the_last_voxel(pixels: int) -> None:
    hu = noise((512, 512), 0)

    differences = np.abs(as_we(hu, (0.7, 0.7), pixels) - as_the_server(hu, (0.7, 0.7), pixels))

    # A mean that lies between two whole HU may be rounded to either.
    assert differences.max() <= (0 if pixels == 256 else 1)
    assert np.mean(differences > 0) < 1e-3


@pytest.mark.parametrize("shape", [(512, 512), (512, 498), (486, 512)])
def test_halves_are_the_same_in_whole_numbers_and_in_floats(shape: tuple[int, int]) -> None:
    hu = noise(shape, 1)
    hu[:2, :2] = 3071  # whose sum is the largest
    reduction = Reduction.of(shape, (0.7, 0.7), 256)
    assert reduction.apply(hu).dtype == np.int16
    assert (reduction.apply(hu) == reduction.apply(hu.astype(np.float32))).all()
    assert (reduction.apply(hu) == as_the_server(hu, (0.7, 0.7), 256)).all()


@settings(max_examples=150, deadline=None)
@given(
    shape=st.tuples(st.integers(3, 90), st.integers(3, 90)),
    spacing_mm=st.tuples(st.floats(0.4, 3), st.floats(0.4, 3)),
    pixels=st.integers(1, 60),
    seed=st.integers(0, 9),
)
def test_slices_of_any_shape_and_spacing_are_the_servers(
    shape: tuple[int, int], spacing_mm: tuple[float, float], pixels: int, seed: int
) -> None:
    hu = noise(shape, seed)
    reduced = as_we(hu, spacing_mm, pixels)
    if reduced.shape == shape:
        return  # not larger than what is needed: left as it is
    differences = np.abs(reduced - as_the_server(hu, spacing_mm, pixels))
    assert reduced.shape == (pixels, pixels)
    # A value that lies between two whole HU, of which there are few, may be rounded to either.
    assert differences.max() <= 1
    assert np.sum(differences > 0) <= max(4, 0.05 * differences.size)


def test_the_mean_over_an_area_by_hand() -> None:
    taps = area_taps(5, 2)  # 2.5 old pixels for a new one

    assert taps.apply(np.array([[10], [20], [30], [40], [50]], np.float32)).ravel().tolist() == [18, 42]


def test_linear_interpolation_by_hand() -> None:
    taps = linear_taps(2, 4)

    assert taps.apply(np.array([[0], [100]], np.float32)).ravel().tolist() == [0, 25, 75, 100]


def test_what_is_small_enough_stays_as_it_is() -> None:
    reduction = Reduction.of((200, 256), (0.9, 0.9), 256)

    assert (reduction.shape, reduction.spacing_mm) == ((200, 256), (0.9, 0.9))
    assert Reduction.of((512, 512), (0.7, 0.7), None).shape == (512, 512)


def test_the_field_of_view_stays() -> None:
    reduction = Reduction.of((400, 512), (0.75, 0.75), 256)

    assert reduction.padding == ((56, 56), (0, 0))
    assert reduction.spacing_mm == (1.5, 1.5)
