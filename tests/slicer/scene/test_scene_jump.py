"""The slice views show the very slice that is meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standin.wheel import require_scene

slicer = require_scene()

from VPTCTLib.scene.geometry import geometry_of
from VPTCTLib.scene.jump import SliceWatch, align_to_volume, current_z, jump_to, remark_on_place, show_volume

PE = {"window_centre_hu": 400.0, "window_width_hu": 1000.0}
NewVolume = Callable[..., Any]


def chest(slices: int = 11) -> Any:
    """Every slice holds its own number, along k."""
    return np.repeat(np.arange(slices, dtype=np.int16), 12 * 14).reshape(slices, 12, 14)


def turned_about_x(degrees: float, spacing: tuple[float, float, float] = (-2, -2, 3)) -> Any:
    angle = np.radians(degrees)
    turn = [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(turn) @ np.diag(spacing)
    matrix[:3, 3] = (13.0, 20.0, -100.0)
    return matrix


def red(scene: Any) -> Any:
    return next(
        view for view in slicer.util.getNodesByClass("vtkMRMLSliceNode") if view.GetLayoutName() == "Red"
    )


def shown_values(view: Any, volume: Any) -> set[int]:
    """The voxels under a grid of points all over what the view shows of the volume."""
    to_ras = slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())
    from_world = np.linalg.inv(world_of(volume))
    voxels, found = slicer.util.arrayFromVolume(volume), set()
    for x in np.linspace(-10, 10, 15):
        for y in np.linspace(-10, 10, 15):
            i, j, k = np.rint((from_world @ to_ras @ [x, y, 0, 1])[:3]).astype(int)
            if 0 <= k < voxels.shape[0] and 0 <= j < voxels.shape[1] and 0 <= i < voxels.shape[2]:
                found.add(int(voxels[k, j, i]))
    return found


def world_of(volume: Any) -> Any:
    import vtk

    matrix, parent = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    if volume.GetParentTransformNode():
        volume.GetParentTransformNode().GetMatrixTransformToWorld(parent)
    return slicer.util.arrayFromVTKMatrix(parent) @ slicer.util.arrayFromVTKMatrix(matrix)


def under_a_transform(scene: Any, volume: Any, matrix: Any) -> None:
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    volume.SetAndObserveTransformNodeID(transform.GetID())


def test_a_jump_shows_the_slice_with_that_z(scene: Any, new_volume: NewVolume) -> None:
    volume = new_volume(chest(), np.array([[-2.0, 0, 0, 13], [0, -2, 0, 11], [0, 0, 3, -100], [0, 0, 0, 1]]))
    show_volume(volume, **PE)

    jump_to(volume, -100 + 4 * 3 + 1.4)

    assert shown_values(red(scene), volume) == {4}
    assert red(scene).GetSliceOffset() == pytest.approx(-88)
    assert current_z(volume) == pytest.approx(-88)


def test_head_feet_flipped_slices_are_jumped_to_by_their_z(scene: Any, new_volume: NewVolume) -> None:
    volume = new_volume(chest(), np.array([[2.0, 0, 0, -13], [0, -2, 0, 11], [0, 0, -3, 50], [0, 0, 0, 1]]))
    show_volume(volume, **PE)

    jump_to(volume, 50 - 2 * 3)

    assert shown_values(red(scene), volume) == {2}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(degrees=st.floats(-44, 44), index=st.integers(0, 10), move=st.booleans())
def test_oblique_volumes_are_shown_slice_by_slice_also_under_a_transform(
    scene: Any, new_volume: NewVolume, degrees: float, index: int, move: bool
) -> None:
    volume = new_volume(chest(), turned_about_x(degrees))
    if move:
        under_a_transform(scene, volume, turned_about_x(15, (1, 1, 1)))
    show_volume(volume, **PE)
    z_mm = geometry_of(volume).z_of(index)

    jump_to(volume, z_mm)

    assert shown_values(red(scene), volume) == {index}
    assert current_z(volume) == pytest.approx(z_mm)


def test_a_view_that_is_turned_against_the_volume_cuts_the_slice_in_its_middle(
    scene: Any, new_volume: NewVolume
) -> None:
    volume = new_volume(chest(), turned_about_x(20))
    geometry = geometry_of(volume)

    jump_to(volume, geometry.z_of(7))

    assert red(scene).GetSliceOffset() == pytest.approx(geometry.z_of(7))
    assert current_z(volume) == pytest.approx(geometry.z_of(7))
    assert len(shown_values(red(scene), volume)) > 1
    align_to_volume(volume)
    assert shown_values(red(scene), volume) == {7}


def test_the_other_views_keep_their_place(scene: Any, new_volume: NewVolume) -> None:
    volume = new_volume(chest())
    show_volume(volume, **PE)
    _red, green, yellow = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    green.SetSliceOffset(-3)
    yellow.SetSliceOffset(-5)

    jump_to(volume, 8)

    assert (green.GetSliceOffset(), yellow.GetSliceOffset()) == (-3, -5)
    assert green.GetOrientation() == "Coronal"


def test_views_in_slicers_own_orientations_are_not_turned_by_a_straight_volume(
    scene: Any, new_volume: NewVolume
) -> None:
    show_volume(new_volume(chest()), **PE)

    views = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    assert [view.GetOrientation() for view in views] == ["Axial", "Coronal", "Sagittal"]


def test_an_oblique_volume_turns_the_three_views_as_radiologists_hold_them(
    scene: Any, new_volume: NewVolume
) -> None:
    show_volume(new_volume(chest(), turned_about_x(10)), **PE)

    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        now = slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())[:3, :3]
        usual = slicer.util.arrayFromVTKMatrix(view.GetSliceOrientationPreset(
            {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}[view.GetLayoutName()]))  # fmt: skip
        assert np.all(np.sum(now * usual, axis=0) > 0.98)


def test_a_readers_own_window_survives(new_volume: NewVolume) -> None:
    first, second = new_volume(chest()), new_volume(chest())
    show_volume(first, **PE)
    display = first.GetDisplayNode()
    assert (display.GetLevel(), display.GetWindow(), display.GetAutoWindowLevel()) == (400, 1000, 0)
    display.SetWindowLevel(350, 40)
    show_volume(second, **PE)

    show_volume(first, **PE)

    assert (display.GetLevel(), display.GetWindow()) == (40, 350)


def test_another_volume_takes_its_overlays_with_it_and_is_shown_whole(
    scene: Any, new_volume: NewVolume
) -> None:
    first = new_volume(chest())
    second = new_volume(chest(), np.array([[-20.0, 0, 0, 0], [0, -20, 0, 0], [0, 0, 3, 500], [0, 0, 0, 1]]))
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    show_volume(first, **PE)
    composites[0].SetForegroundVolumeID(first.GetID())

    show_volume(second, **PE)

    assert {each.GetBackgroundVolumeID() for each in composites} == {second.GetID()}
    assert composites[0].GetForegroundVolumeID() is None
    # 14 columns and 12 rows of 20 mm on 300 x 200 pixels: the rows decide, 1.2 mm per pixel.
    assert red(scene).GetFieldOfView()[:2] == pytest.approx((360, 240))
    assert current_z(second) is not None


@pytest.mark.parametrize("first_z_mm", [500.0, -500.0])
def test_a_volume_above_or_below_what_was_shown_is_shown_in_its_middle(
    scene: Any, new_volume: NewVolume, first_z_mm: float
) -> None:
    first = new_volume(chest())
    second = new_volume(
        chest(), np.array([[-2.0, 0, 0, 0], [0, -2, 0, 0], [0, 0, 3, first_z_mm], [0, 0, 0, 1]])
    )
    show_volume(first, **PE)

    show_volume(second, **PE)

    # Its 11 slices of 3 mm; at its face, as the view came, there would be none to look at.
    assert current_z(second) == pytest.approx(first_z_mm + 15)


def test_no_slice_is_current_beside_the_volume(scene: Any, new_volume: NewVolume) -> None:
    volume = new_volume(chest())
    show_volume(volume, **PE)

    red(scene).SetSliceOffset(10.4)
    assert current_z(volume) == pytest.approx(10)
    red(scene).SetSliceOffset(10.6)
    assert current_z(volume) is None


def test_scrolling_calls_back_once_per_slice_until_it_is_stopped(scene: Any, new_volume: NewVolume) -> None:
    volume, told = new_volume(chest()), []
    show_volume(volume, **PE)
    red(scene).SetSliceOffset(5)
    watch = SliceWatch(volume, told.append)

    for offset in (5.2, 6, 6.3, 7, 40):
        red(scene).SetSliceOffset(offset)
    assert told == [6, 7, None]

    scene.RemoveNode(volume)
    red(scene).SetSliceOffset(5)
    watch.stop()
    red(scene).SetSliceOffset(4)
    assert told == [6, 7, None]


def test_moving_the_volume_under_the_views_calls_back(scene: Any, new_volume: NewVolume) -> None:
    volume, told = new_volume(chest()), []
    show_volume(volume, **PE)
    red(scene).SetSliceOffset(5)
    watch = SliceWatch(volume, told.append)

    under_a_transform(scene, volume, np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 2.0], [0, 0, 0, 1]]))

    assert told == [3]
    assert remark_on_place(volume) == ""
    watch.stop()


def test_a_view_that_shows_the_volume_already_keeps_its_place(scene: Any, new_volume: NewVolume) -> None:
    volume = new_volume(chest())
    show_volume(volume, **PE)
    red(scene).SetSliceOffset(3)
    red(scene).SetFieldOfView(7, 7, 1)
    slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")[1].SetBackgroundVolumeID(None)

    show_volume(volume, **PE)

    assert red(scene).GetSliceOffset() == 3
    assert red(scene).GetFieldOfView()[0] == 7


def test_a_warped_volume_is_jumped_to_where_its_middle_is_shown(scene: Any, new_volume: NewVolume) -> None:
    import vtk

    volume = new_volume(chest())
    warp = vtk.vtkThinPlateSplineTransform()
    warp.SetBasisToR()
    corners = [(x, y, z) for x in (-30, 5) for y in (-30, 5) for z in (-5, 15)]
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for x, y, z in corners:
        source.InsertNextPoint(x, y, z)
        target.InsertNextPoint(x, y, z * 1.5 + 0.01 * x * z)
    warp.SetSourceLandmarks(source)
    warp.SetTargetLandmarks(target)
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    transform.SetAndObserveTransformToParent(warp)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    shown = [0.0, 0.0, 0.0]
    volume.TransformPointToWorld(geometry_of(volume).centre_ras(6), shown)

    jump_to(volume, 6)

    assert "transform bends" in remark_on_place(volume)
    matrix = slicer.util.arrayFromVTKMatrix(red(scene).GetSliceToRAS())
    assert matrix[:3, 2] @ shown == pytest.approx(matrix[:3, 2] @ matrix[:3, 3])
    assert shown[2] != pytest.approx(6, abs=1)
