"""Boxes around ranges of slices, and the chart in Slicer's plot view."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standin.wheel import require_scene

slicer = require_scene()

from VPTCTLib.contract.result import read_result
from VPTCTLib.scene.marks import (
    clear_ranges,
    remove_ranges_of_missing_volumes,
    set_ranges_visible,
    show_ranges,
)
from VPTCTLib.scene.plot_view import leave_plot_layout, show_chart
from VPTCTLib.scene.result_plot import new_plot

RED = (1.0, 0.0, 0.0)
NewVolume = Callable[..., Any]
CONTRACT = Path(__file__).parents[2] / "contract" / "result.json"


def air(slices: int = 11) -> Any:
    return np.full((slices, 12, 14), -1000, np.int16)


def bounds_of(box: Any) -> list[float]:
    bounds = [0.0] * 6
    box.GetRASBounds(bounds)
    return bounds


def boxes() -> list[Any]:
    return list(slicer.util.getNodesByClass("vtkMRMLMarkupsROINode"))


def test_a_box_holds_whole_slices_and_no_more(new_volume: NewVolume) -> None:
    volume = new_volume(air(), np.array([[-2.0, 0, 0, 13], [0, -2, 0, 11], [0, 0, 3, -100], [0, 0, 0, 1]]))

    (box,) = show_ranges(volume, "lung_nodule", [(-94, -88)], colour=RED)

    # 14 columns of 2 mm from x = 14 to -14, 12 rows from y = 12 to -12, slices 2 to 4 of 3 mm.
    assert bounds_of(box) == pytest.approx([-14, 14, -12, 12, -95.5, -86.5])
    assert box.GetName() == "Lung nodule: slices"
    assert box.GetLocked()
    assert not box.GetDisplayNode().GetHandlesInteractive()
    assert box.GetDisplayNode().GetSelectedColor() == RED


def test_a_box_lies_as_an_oblique_volume_does_and_follows_its_transform(
    scene: Any, new_volume: NewVolume
) -> None:
    angle = np.radians(30)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([-2.0, -2, 3])
    volume = new_volume(air(), matrix)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    (box,) = show_ranges(volume, "lung_nodule", [(-500, 500)], colour=RED)
    before = bounds_of(box)

    corners = np.array([[i, j, k, 1] for i in (-0.5, 13.5) for j in (-0.5, 11.5) for k in (-0.5, 10.5)])
    shown = (matrix @ corners.T)[:3]
    assert before[::2] == pytest.approx(shown.min(axis=1).tolist())
    assert before[1::2] == pytest.approx(shown.max(axis=1).tolist())
    moved = np.eye(4)
    moved[2, 3] = 40
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(moved))
    assert bounds_of(box)[4:] == pytest.approx([before[4] + 40, before[5] + 40])


def test_boxes_are_replaced_by_finding_hidden_and_removed_by_volume(
    scene: Any, new_volume: NewVolume
) -> None:
    volume, other = new_volume(air()), new_volume(air())
    show_ranges(volume, "lung_nodule", [(1, 2), (5, 6)], colour=RED)
    show_ranges(volume, "mass", [(3, 4)], colour=RED)
    show_ranges(other, "mass", [(3, 4)], colour=RED)
    own = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "the reader's own")

    set_ranges_visible(volume, False)
    show_ranges(volume, "lung_nodule", [(1, 2)], colour=RED)

    assert [box.GetDisplayVisibility() for box in boxes() if box is not own] == [0, 1, 0]
    clear_ranges(volume, "mass")
    assert len(boxes()) == 3
    clear_ranges(volume)
    assert len(boxes()) == 2
    scene.RemoveNode(other)
    remove_ranges_of_missing_volumes(scene)
    assert boxes() == [own]


def a_chart(scene: Any) -> Any:
    import json

    return new_plot(scene, "evidence", read_result(json.loads(CONTRACT.read_text())))[0]


def layout_of(scene: Any, arrangement: int) -> Any:
    layout = scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    layout.SetViewArrangement(arrangement)
    return layout


def test_the_plot_comes_with_a_layout_and_goes_with_it(scene: Any) -> None:
    node = slicer.vtkMRMLLayoutNode
    layout = layout_of(scene, node.SlicerLayoutConventionalView)
    view = scene.AddNewNodeByClass("vtkMRMLPlotViewNode")
    chart = a_chart(scene)

    show_chart(chart)
    show_chart(chart)

    assert view.GetPlotChartNode() is chart
    assert slicer.util.getNodesByClass("vtkMRMLSelectionNode")[0].GetActivePlotChartID() == chart.GetID()
    assert layout.GetViewArrangement() == node.SlicerLayoutFourUpPlotView
    leave_plot_layout(scene)
    assert layout.GetViewArrangement() == node.SlicerLayoutConventionalView
    leave_plot_layout(scene)
    assert layout.GetViewArrangement() == node.SlicerLayoutConventionalView


def test_a_layout_that_the_reader_chose_stays(scene: Any) -> None:
    node = slicer.vtkMRMLLayoutNode
    layout = layout_of(scene, node.SlicerLayoutConventionalPlotView)
    show_chart(a_chart(scene))
    assert layout.GetViewArrangement() == node.SlicerLayoutConventionalPlotView
    leave_plot_layout(scene)
    assert layout.GetViewArrangement() == node.SlicerLayoutConventionalPlotView

    layout.SetViewArrangement(node.SlicerLayoutConventionalView)
    show_chart(a_chart(scene))
    layout.SetViewArrangement(node.SlicerLayoutOneUpRedSliceView)
    leave_plot_layout(scene)
    assert layout.GetViewArrangement() == node.SlicerLayoutOneUpRedSliceView
