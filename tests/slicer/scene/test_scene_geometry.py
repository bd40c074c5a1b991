"""The geometry of a volume node is the one that the server makes of the same voxels."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from standin.wheel import require_scene

require_scene()

from vpt_plugin.ct.volume import Volume, canonical
from VPTCTLib.scene.geometry import geometry_of_matrix

AXES_AND_FLIPS = [
    (order, flips)
    for order in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]
UP_TO_44_DEGREES = st.floats(-44, 44)


def turned(x: float, y: float, z: float) -> NDArray[np.float64]:
    """A rotation of 44 degrees at most around an axis that (x, y, z), in degrees, points along."""
    vector = np.array([x, y, z])
    degrees = np.linalg.norm(vector)
    if degrees == 0:
        return np.eye(3)
    axis = vector / degrees
    angle = math.radians(min(float(degrees), 44.0))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross)


def matrix_of(
    order: tuple[int, ...], flips: tuple[int, ...], turn: NDArray[np.float64], spacing: tuple[float, ...],
    origin: tuple[float, ...],
) -> NDArray[np.float64]:  # fmt: skip
    """From (i, j, k, 1) to RAS+: array axes i, j, k run along these world axes, this way, then turned."""
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.eye(3)[:, list(order)] @ np.diag(flips) @ np.diag(spacing)
    matrix[:3, 3] = origin
    return matrix


def as_stored(voxels: NDArray[np.int16], ijk_to_ras: NDArray[np.float64]) -> Volume:
    """What the server reads from a file of these voxels, before it puts them in order."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ ijk_to_ras
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    x, y, z = lps[:3, 3].tolist()
    columns_mm, rows_mm, slices_mm = spacing.tolist()
    direction = (lps[:3, :3] / spacing)[:, ::-1]
    return Volume(voxels, (slices_mm, rows_mm, columns_mm), (x, y, z), direction, "study")


@pytest.mark.parametrize(("order", "flips"), AXES_AND_FLIPS)
@settings(max_examples=15, deadline=None)
@given(
    turn=st.tuples(UP_TO_44_DEGREES, UP_TO_44_DEGREES, UP_TO_44_DEGREES),
    spacing=st.tuples(*[st.floats(0.3, 6)] * 3),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
)
@example(turn=(0.0, 0.0, 0.0), spacing=(0.7, 0.8, 5.0), origin=(-150.0, 20.0, -400.0))
def test_slices_and_their_z_are_the_servers(
    order: Any, flips: Any, turn: Any, spacing: Any, origin: Any
) -> None:
    voxels = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    matrix = matrix_of(order, flips, turned(*turn), spacing, origin)
    server = canonical(as_stored(voxels, matrix))

    ours = geometry_of_matrix(matrix, (4, 5, 6))

    assert ours.shape == server.hu.shape
    assert ours.spacing_mm == pytest.approx(server.spacing_mm)
    assert ours.origin_mm == pytest.approx(server.origin_mm)
    np.testing.assert_allclose(np.array(ours.directions).T, server.direction, atol=1e-12)
    assert [ours.z_of(index) for index in range(ours.slices)] == pytest.approx(server.slice_z_mm.tolist())
    assert [ours.slice_of(z) for z in server.slice_z_mm] == list(range(server.slices))
    in_order = voxels.transpose(ours.axes)[tuple(slice(None, None, -1 if f else 1) for f in ours.flipped)]
    np.testing.assert_array_equal(in_order, server.hu)


def test_a_usual_ct_by_hand() -> None:
    # 3 slices of 4 rows and 5 columns; the first voxel is at the right, front, lowest corner.
    matrix = np.array([[-2.0, 0, 0, 30], [0, -2, 0, 40], [0, 0, 5, -100], [0, 0, 0, 1]])

    geometry = geometry_of_matrix(matrix, (3, 4, 5))

    assert geometry.shape == (3, 4, 5)
    assert geometry.spacing_mm == (5, 2, 2)
    assert geometry.origin_mm == (-30, -40, -100)
    assert geometry.flipped == (False, False, False)
    assert geometry.z_range_mm == (-100, -90)
    # x: 30 - 2 * 2, y: 40 - 2 * 1.5.
    assert geometry.centre_ras(-95) == (26, 37, -95)
    assert geometry.centre_ras(-500) == (26, 37, -100)
    assert [geometry.slice_of(z) for z in (-97.6, -97.5, -97.4, -92.6, -92.4, 500)] == [0, 1, 1, 1, 2, 2]


def test_slices_that_run_from_head_to_feet_are_counted_from_the_feet() -> None:
    matrix = np.array([[-2.0, 0, 0, 30], [0, -2, 0, 40], [0, 0, -5, -100], [0, 0, 0, 1]])

    geometry = geometry_of_matrix(matrix, (3, 4, 5))

    assert geometry.z_range_mm == (-110, -100)
    assert geometry.flipped == (True, False, False)
    assert geometry.slice_of(-100) == 2


def test_a_sagittal_series_is_counted_along_the_patient() -> None:
    # k runs from right to left, j from head to feet, i to the back.
    matrix = np.array([[0.0, 0, -4, 50], [-1, 0, 0, 60], [0, -1.5, 0, 200], [0, 0, 0, 1]])

    geometry = geometry_of_matrix(matrix, (10, 20, 30))

    assert geometry.axes == (1, 2, 0)
    assert geometry.shape == (20, 30, 10)
    assert geometry.spacing_mm == (1.5, 1, 4)
    assert geometry.z_range_mm == (200 - 19 * 1.5, 200)


def test_an_oblique_volume_steps_less_in_z_than_its_slices_are_apart() -> None:
    turn = turned(30, 0, 0)
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([-1.0, -1.0, 4.0])

    geometry = geometry_of_matrix(matrix, (11, 3, 3))

    assert geometry.spacing_mm[0] == pytest.approx(4)
    assert geometry.step_mm == pytest.approx(4 * math.cos(math.radians(30)))


def test_axes_that_are_not_at_right_angles_are_noticed() -> None:
    sheared = np.eye(4)
    sheared[1, 2] = 0.2

    assert geometry_of_matrix(np.eye(4), (3, 3, 3)).at_right_angles
    assert not geometry_of_matrix(sheared, (3, 3, 3)).at_right_angles
