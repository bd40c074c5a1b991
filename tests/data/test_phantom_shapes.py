"""Soft-edged shapes keep their volume and their place on any grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.data.phantom.anatomy import draw_chest, lung_depth
from vpt_plugin.data.phantom.shapes import Grid, Pose, chain, coverage, tube_share
from vpt_plugin.data.phantom.vessels import grow_tree, lung_points


def grid(spacing_mm: float, half_mm: float = 30) -> Grid:
    axis = np.arange(-half_mm, half_mm + spacing_mm, spacing_mm)
    return Grid(axis, axis, axis, (spacing_mm, spacing_mm, spacing_mm))


def test_a_voxel_on_the_surface_is_half_inside() -> None:
    depth = np.array([-3, -1, 0, 0.5, 1, 3], dtype=np.float32)
    assert coverage(depth, 2.0).tolist() == [0, 0, 0.5, 0.75, 1, 1]


@pytest.mark.parametrize(("radius_mm", "tolerance"), [(8.0, 0.06), (4.0, 0.12), (0.8, 0.5), (0.3, 0.5)])
def test_a_tube_holds_the_volume_of_a_tube_even_when_thinner_than_a_voxel(
    radius_mm: float, tolerance: float
) -> None:
    tube = chain([(0.3, -0.2, -20), (0.3, -0.2, 20)], [radius_mm, radius_mm])
    share = tube_share(tube, grid(2.0))
    middle = share[10:21]  # away from its round ends
    volume = float(middle.sum()) * 2.0**3
    assert volume == pytest.approx(np.pi * radius_mm**2 * 22, rel=tolerance)


def test_a_tapering_tube_is_wide_where_it_starts() -> None:
    share = tube_share(chain([(0, 0, -20), (0, 0, 20)], [10, 2]), grid(1.0))
    assert share[15].sum() > 8 * share[45].sum()


def test_a_tube_outside_the_grid_leaves_nothing() -> None:
    assert tube_share(chain([(0, 0, 100), (0, 0, 140)], [5, 5]), grid(2.0)).max() == 0


@given(
    roll=st.floats(-0.3, 0.3),
    scale=st.tuples(st.floats(0.8, 1.2), st.floats(0.8, 1.2), st.floats(0.8, 1.2)),
    shift=st.tuples(st.floats(-300, 300), st.floats(-300, 300), st.floats(-900, 900)),
    point=st.tuples(st.floats(-150, 150), st.floats(-150, 150), st.floats(-150, 150)),
)
def test_to_the_patient_and_back_is_where_it_was(
    roll: float,
    scale: tuple[float, float, float],
    shift: tuple[float, float, float],
    point: tuple[float, float, float],
) -> None:
    pose = Pose(scale, roll, shift)
    points = np.array([point])
    assert np.allclose(pose.to_reference(pose.to_patient(points)), points, atol=1e-8)


def test_the_axes_of_a_grid_and_a_list_of_points_agree_on_the_reference_man() -> None:
    pose = Pose((1.1, 0.9, 1.0), 0.1, (5, -7, 40))
    voxels = grid(10.0)
    x, y, z = voxels.reference_axes(pose, (slice(2, 3), slice(4, 5), slice(1, 2)))
    point = np.array([[voxels.x_mm[1], voxels.y_mm[4], voxels.z_mm[2]]])
    assert np.allclose([x.item(), y.item(), z.item()], pose.to_reference(point)[0], atol=1e-4)


@pytest.mark.parametrize("side", [-1, 1])
def test_points_of_a_lung_lie_in_that_lung(side: int) -> None:
    rng = np.random.default_rng(0)
    chest = draw_chest(rng)
    points = lung_points(rng, chest, 200, side=side, margin_mm=5)
    assert points.shape == (200, 3)
    assert (np.sign(points[:, 0]) == side).all()
    assert (lung_depth(chest, *points.T.astype(np.float32)) > 5).all()


@pytest.mark.parametrize("count", [1, 2, 3, 57, 200])
def test_a_tree_reaches_every_end_hangs_together_and_tapers(count: int) -> None:
    rng = np.random.default_rng(count)
    root, ends = np.zeros(3), rng.uniform(10, 100, size=(count, 3))
    tree = grow_tree(rng, root, ends, leaf_radius=0.6)
    assert len(tree) == 2 * count - 1  # a tree that forks in two
    leaves = {tuple(np.round(end, 6)) for end in ends}
    assert leaves <= {tuple(np.round(end, 6)) for end in tree.end}
    nodes = {tuple(root), *(tuple(end) for end in tree.end)}
    assert all(tuple(start) in nodes for start in tree.start)
    assert (tree.end_radius <= tree.start_radius + 1e-9).all()
    assert tree.end_radius.min() == pytest.approx(0.6)
    assert tree.end_radius.max() == pytest.approx(0.6 * count ** (1 / 2.55))
