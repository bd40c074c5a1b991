"""The findings of a result as a table node, for people: in Slicer's Tables module, and in files."""

from __future__ import annotations

from collections.abc import Sequence

import slicer
import vtk

from ..contract.result import FindingResult, Result
from ..finding_words import finding_in_words
from ..i18n import tr as _


def new_findings_table(scene: slicer.vtkMRMLScene, name: str, result: Result) -> slicer.vtkMRMLTableNode:
    """A new table with a row for every finding."""
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    key_slice = _("Key slice (patient z)")
    titles = (_("Finding"), _("Probability"), _("Threshold"), _("Decision"), key_slice)
    rows = [_cells(finding, unsure=result.is_unfit or finding.is_unsure) for finding in result.findings]
    for number, title in enumerate(titles):
        table.AddColumn(_column(title, [row[number] for row in rows]))
    table.SetColumnUnitLabel(key_slice, "mm")
    table.SetLocked(True)
    return table


def _cells(finding: FindingResult, *, unsure: bool) -> tuple[str, str, str, str, str]:
    undefined = _("n/a")
    decisions = {"present": _("present"), "absent": _("absent"), None: undefined}
    return (
        finding_in_words(finding.name),
        f"{finding.probability:.3f}",
        undefined if finding.threshold is None else f"{finding.threshold:.3f}",
        _("unsure") if unsure else decisions.get(finding.decision, finding.decision or undefined),
        f"{finding.key_slice_mm:.1f}",
    )


def _column(title: str, cells: Sequence[str]) -> vtk.vtkStringArray:
    column = vtk.vtkStringArray()
    column.SetName(title)
    for cell in cells:
        column.InsertNextValue(cell)
    return column
