"""The evidence of a result along the patient as a chart: for every finding a curve and its threshold."""

from __future__ import annotations

from collections.abc import Sequence

import slicer
import vtk

from ..contract.result import FindingResult, Result
from ..finding_words import finding_in_words
from ..i18n import tr as _

_Z = "z_mm"
# Told apart by people who see no red or green, too (Okabe and Ito).
_COLOURS = ((0.0, 0.45, 0.70), (0.84, 0.37, 0.0), (0.0, 0.62, 0.45), (0.80, 0.47, 0.65), (0.90, 0.62, 0.0))


def new_plot(
    scene: slicer.vtkMRMLScene, name: str, result: Result
) -> tuple[slicer.vtkMRMLPlotChartNode, list[slicer.vtkMRMLNode]]:
    """A new chart node, and what it is made of: one table for all findings, and their curves."""
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", f"{name} evidence")
    heights = curve_z_mm(result.findings[0])
    table.AddColumn(_column(_Z, heights))
    table.SetColumnUnitLabel(_Z, "mm")
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", name)
    _set_axes(chart, min(heights), max(heights))
    parts = [table]
    for number, finding in enumerate(result.findings):
        colour = _COLOURS[number % len(_COLOURS)]
        table.AddColumn(_column(finding.name, curve_probabilities(finding)))
        parts.append(_curve(scene, finding_in_words(finding.name), table, finding.name, colour))
        if finding.threshold is not None:
            column = f"{finding.name} threshold"
            table.AddColumn(_column(column, [finding.threshold] * len(heights)))
            title = _("{finding}: threshold").format(finding=finding_in_words(finding.name))
            line = _curve(scene, title, table, column, colour)
            line.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleDash)
            line.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
            parts.append(line)
    for series in parts[1:]:
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    return chart, parts


def curve_z_mm(finding: FindingResult) -> list[float]:
    """Where the curve has its points: the lower end of the study, the middle of every clip, the upper end."""
    clips = finding.clips
    return [clips[0].z_mm[0], *(sum(clip.z_mm) / 2 for clip in clips), clips[-1].z_mm[1]]


def curve_probabilities(finding: FindingResult) -> list[float]:
    """The probability at these points; at an end, that of the clip that holds it."""
    said = [clip.probability for clip in finding.clips]
    return [said[0], *said, said[-1]]


def _set_axes(chart: slicer.vtkMRMLPlotChartNode, low_mm: float, high_mm: float) -> None:
    chart.SetTitleVisibility(False)
    chart.SetXAxisTitle(_("Patient z, from the feet to the head (mm)"))
    chart.SetYAxisTitle(_("Probability"))
    chart.SetXAxisRangeAuto(False)
    chart.SetXAxisRange(low_mm, high_mm)
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(0, 1)


def _curve(
    scene: slicer.vtkMRMLScene,
    title: str,
    table: slicer.vtkMRMLTableNode,
    column: str,
    colour: tuple[float, float, float],
) -> slicer.vtkMRMLPlotSeriesNode:
    series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", title)
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetXColumnName(_Z)
    series.SetYColumnName(column)
    series.SetColor(*colour)
    series.SetLineWidth(2)
    series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle)
    return series


def _column(name: str, values: Sequence[float]) -> vtk.vtkDoubleArray:
    column = vtk.vtkDoubleArray()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(value)
    return column
