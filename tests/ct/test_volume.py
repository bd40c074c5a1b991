"""The canonical orientation, by hand."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from vpt_plugin.ct.volume import Turn, Volume, as_stored, canonical, turned
from vpt_plugin.errors import GeometryError

AXIAL = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])


def volume(hu, direction, spacing=(2.5, 0.8, 0.7), origin=(0.0, 0.0, 0.0)):
    return Volume(hu.astype(np.int16), spacing, origin, np.asarray(direction, dtype=float), "study")


def test_a_canonical_volume_stays_as_it_is():
    hu = np.arange(24).reshape(2, 3, 4)
    same = canonical(volume(hu, AXIAL, origin=(1.0, 2.0, 3.0)))
    np.testing.assert_array_equal(same.hu, hu)
    assert same.origin_mm == (1, 2, 3)
    assert same.slice_z_mm.tolist() == [3, 5.5]


def test_slices_from_head_to_feet_are_turned_round_and_keep_their_z():
    hu = np.arange(24).reshape(2, 3, 4)
    turned = canonical(volume(hu, AXIAL * [-1, 1, 1], origin=(0.0, 0.0, 100.0)))
    np.testing.assert_array_equal(turned.hu, hu[::-1])
    assert turned.slice_z_mm.tolist() == [97.5, 100]
    np.testing.assert_array_equal(turned.direction, AXIAL)


def test_a_swapped_and_mirrored_volume_is_put_right():
    # Array axes run to the right, to the head, to the back; they are wanted to the head, back and left.
    hu = np.arange(24).reshape(2, 3, 4)
    put_right = canonical(volume(hu, [[-1, 0, 0], [0, 0, 1], [0, 1, 0]], spacing=(0.7, 2.5, 0.8)))
    assert put_right.hu.shape == (3, 4, 2)
    assert put_right.hu[2, 3, 0] == hu[1, 2, 3]
    assert put_right.spacing_mm == (2.5, 0.8, 0.7)
    assert put_right.origin_mm == (-0.7, 0, 0)
    assert put_right.field_of_view_mm == pytest.approx((3.2, 1.4))


def test_a_volume_knows_the_axes_it_was_stored_with():
    straight = volume(np.arange(24).reshape(2, 3, 4), AXIAL, origin=(1.0, 2.0, 3.0))
    for axes, flips in product(permutations(range(3)), product([False, True], repeat=3)):
        stored = turned(straight, Turn(axes, flips))
        back = as_stored(canonical(stored))
        np.testing.assert_array_equal(back.hu, stored.hu)
        np.testing.assert_array_equal(back.direction, stored.direction)
        assert back.spacing_mm == stored.spacing_mm
        assert back.origin_mm == pytest.approx(stored.origin_mm)
        assert as_stored(back) is back


def test_z_of_a_slice_is_that_of_its_centre_on_an_oblique_volume():
    tilt = np.radians(10)
    direction = np.array([[0, 0, 1], [-np.sin(tilt), np.cos(tilt), 0], [np.cos(tilt), np.sin(tilt), 0]])
    oblique = volume(np.zeros((2, 11, 4)), direction, spacing=(2.0, 1.0, 1.0))
    assert oblique.slice_z_mm == pytest.approx([5 * np.sin(tilt), 5 * np.sin(tilt) + 2 * np.cos(tilt)])


@pytest.mark.parametrize(
    "direction",
    [AXIAL * 2, np.zeros((3, 3)), np.add(AXIAL, [[0, 0, 0], [0.3, 0, 0], [0, 0, 0]]), AXIAL * np.nan],
)
def test_axes_that_are_not_at_right_angles_are_refused(direction):
    with pytest.raises(GeometryError, match=r"study: its axes are not at right angles"):
        canonical(volume(np.zeros((2, 3, 4)), direction))
