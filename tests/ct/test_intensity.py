"""What a network sees of a slice: numbers one can check by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.ct.intensity import air, centre_crop, prepare_slices, resize_slices, window_hu
from vpt_plugin.ct.volume import Volume
from vpt_plugin.tasks import TASKS, HUWindow

PE, NODULE = TASKS["pe"].hu_window, TASKS["nodule"].hu_window
AXIAL = np.eye(3)[:, ::-1]


def row(*values):
    return np.array([[values]], dtype=np.int16)


def test_the_pe_window_runs_from_minus_100_to_900():
    assert window_hu(row(-3000, -100, 400, 900, 3071), PE).tolist() == [[[0, 0, 128, 255, 255]]]


def test_the_nodule_window_runs_from_minus_1350_to_150():
    assert window_hu(row(-1024, -600, 150, 500), NODULE).tolist() == [[[55, 128, 255, 255]]]


@given(st.lists(st.integers(-1024, 3071), min_size=1), st.integers(-1000, 1000), st.integers(1, 3000))
def test_a_windowed_value_is_within_half_a_step_of_the_exact_one(values, centre, width):
    window = HUWindow(centre, width)
    hu = row(*values)
    exact = np.clip((hu - window.low) / window.width, 0, 1)
    assert np.abs(window_hu(hu, window) / 255 - exact).max() <= 0.5 / 255 + 1e-12


def test_air_is_what_minus_1000_hu_becomes():
    assert (air(PE), air(NODULE)) == (0, 60)  # 350 of 1500 HU: 59.5, rounded to even


def test_512_to_256_is_the_mean_of_four_pixels():
    hu = np.random.default_rng(0).integers(-1024, 3071, (3, 512, 512), dtype=np.int16)
    mean = hu.reshape(3, 256, 2, 256, 2).mean(axis=(2, 4))
    assert np.abs(resize_slices(hu, 256) - mean).max() <= 0.5


def test_a_slice_that_is_not_square_is_filled_up_with_air_on_both_sides():
    hu = np.full((2, 4, 8), 40, dtype=np.int16)
    resized = resize_slices(hu, 8)
    assert resized.shape == (2, 8, 8)
    assert (resized[:, :2] == -1000).all()
    assert (resized[:, 2:6] == 40).all()
    assert (resized[:, 6:] == -1000).all()


def test_slices_grow_as_well_as_shrink():
    hu = np.arange(16, dtype=np.int16).reshape(1, 4, 4)
    assert resize_slices(hu, 8).shape == (1, 8, 8)
    assert resize_slices(hu, 8).mean() == pytest.approx(hu.mean(), abs=0.5)
    np.testing.assert_array_equal(resize_slices(hu, 4), hu)


def test_the_crop_is_the_middle():
    slices = np.zeros((1, 256, 256), dtype=np.uint8)
    slices[0, 16:240, 16:240] = 1
    cropped = centre_crop(slices, 224)
    assert cropped.shape == (1, 224, 224)
    assert cropped.all()


def test_slices_are_resized_first_and_windowed_then():
    # A pixel of bone among air: the mean of the four is -525 HU, seen by the nodule window as 140.
    hu = np.full((3, 8, 8), -1000, dtype=np.int16)
    hu[:, 0, 0] = 900
    prepared = prepare_slices(Volume(hu, (2.5, 1, 1), (0, 0, 0), AXIAL, "study"), NODULE, pixels=4)
    assert prepared.shape == (3, 4, 4)
    assert prepared[0, 0].tolist() == [140, 60, 60, 60]


def test_pixels_that_are_not_square_are_made_so_before_anything_is_cropped_or_padded():
    # 10 rows 2 mm apart and 20 columns 1 mm apart: a square slice, nothing to pad.
    hu = np.full((3, 10, 20), 40, dtype=np.int16)
    prepared = prepare_slices(Volume(hu, (1, 2, 1), (0, 0, 0), AXIAL, "study"), PE, pixels=16)
    assert np.unique(prepared).tolist() == window_hu(row(40), PE).flatten().tolist()
