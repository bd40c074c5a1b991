"""Results in the scene: kept with the volume they are of, so that a saved scene brings them back.

A result is a text node with the answer as it came, a table of its findings for people, and a table and plots
of the evidence along z; where it was asked why, a heat map per finding, too. All refer to their volume, and
none is taken for other voxels or another grid.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import slicer

from ..contract.result import Result, read_result
from ..errors import ContractError
from .fingerprint import Fingerprint, fingerprint_of, read_fingerprint
from .heat_map import MAP_OF, ReadMap, add_heat_map, remove_heat_map
from .nodes import belong_to, nodes_of_class, volume_of
from .result_plot import new_plot
from .result_table import new_findings_table

SCHEMA = "vptct.kept_result/1"
_TASK, _MODEL, _KEPT = "VPTCT.task", "VPTCT.model", "VPTCT.result"
_CLASSES = (
    "vtkMRMLTextNode", "vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode",
    "vtkMRMLScalarVolumeNode",
)  # fmt: skip
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResultNodes:
    """The nodes of one result.

    Attributes:
        text: the answer as it came, and of what.
        findings: a table for people.
        chart: the evidence along z; its series and their table are reached from it.
    """

    text: slicer.vtkMRMLTextNode
    findings: slicer.vtkMRMLTableNode
    chart: slicer.vtkMRMLPlotChartNode

    def heat_map(self, finding: str) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The heat map of a finding; None where it was not asked for, or is gone."""
        return next((each for each in _parts(self.text) if each.GetAttribute(MAP_OF) == finding), None)


@dataclass(frozen=True)
class KeptResult:
    """A result that was found in the scene.

    Attributes:
        result: as the server gave it.
        server: its address.
        when: it was given, ``2026-11-20T20:31:05Z``.
        nodes: that hold it.
    """

    result: Result
    server: str
    when: str
    nodes: ResultNodes


def keep_result(
    volume: slicer.vtkMRMLScalarVolumeNode,
    result: Result,
    *,
    server: str,
    when: str,
    of: Fingerprint | None = None,
    maps: Sequence[ReadMap] = (),
) -> ResultNodes:
    """Put a result into the scene; an older one of this volume, task and network goes.

    Args:
        volume: it is of.
        result: from the server.
        server: its address.
        when: in UTC, ``2026-11-20T20:31:05Z``.
        of: the fingerprint of the volume when it was sent; None takes that of now.
        maps: of its findings.
    """
    scene, task, model = volume.GetScene(), result.task, result.model.name
    for text in _texts_of(volume):
        if (text.GetAttribute(_TASK), text.GetAttribute(_MODEL)) == (task, model):
            _remove(scene, text)
    name = f"{volume.GetName()} {task} {model}"
    text = scene.AddNewNodeByClass("vtkMRMLTextNode", name)
    text.SetText(json.dumps({
        "schema": SCHEMA, "when": when, "server": server,
        "volume": (fingerprint_of(volume) if of is None else of).to_text(), "answer": result.raw,
    }))  # fmt: skip
    findings = new_findings_table(scene, f"{name} findings", result)
    chart, series = new_plot(scene, name, result)
    drawn = [add_heat_map(volume, each, name=f"{name} heat map of {each.finding}") for each in maps]
    parts = (*series, *drawn)
    for node in (text, findings, chart, *parts):
        belong_to(node, volume)
        node.SetAttribute(_TASK, task)
        node.SetAttribute(_MODEL, model)
    for role, node in (("findings", findings), ("chart", chart)):
        text.SetNodeReferenceID(f"VPTCT.{role}", node.GetID())
    for part in parts:
        text.AddNodeReferenceID("VPTCT.parts", part.GetID())
    # Last: from here on it counts as a result.
    text.SetAttribute(_KEPT, "1")
    return ResultNodes(text, findings, chart)


def results_of(volume: slicer.vtkMRMLScalarVolumeNode) -> tuple[KeptResult, ...]:
    """The results that still fit this volume, the newest first."""
    if volume.GetImageData() is None:
        return ()
    now = fingerprint_of(volume)
    found = [kept for kept in (_read(text, now) for text in _texts_of(volume)) if kept is not None]
    return tuple(sorted(found, key=lambda kept: kept.when, reverse=True))


def result_of(volume: slicer.vtkMRMLScalarVolumeNode, task: str, model: str = "") -> KeptResult | None:
    """The newest result of a volume for a task, of one network or of any; None where none fits."""
    return next(
        (
            kept
            for kept in results_of(volume)
            if kept.result.task == task and model in ("", kept.result.model.name)
        ),
        None,
    )


def forget_results(volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Remove all results of a volume from the scene."""
    for text in _texts_of(volume):
        _remove(volume.GetScene(), text)


def remove_results_of_missing_volumes(scene: slicer.vtkMRMLScene) -> None:
    """Remove what belonged to volumes that are gone."""
    for name in _CLASSES:
        for node in nodes_of_class(scene, name):
            if node.GetAttribute(_TASK) and volume_of(node) is None:
                _remove_node(scene, node)


def _texts_of(volume: slicer.vtkMRMLScalarVolumeNode) -> list[slicer.vtkMRMLTextNode]:
    return [
        text
        for text in nodes_of_class(volume.GetScene(), "vtkMRMLTextNode")
        if text.GetAttribute(_KEPT) and volume_of(text) is volume
    ]


def _read(text: slicer.vtkMRMLTextNode, now: Fingerprint) -> KeptResult | None:
    """What a text node keeps; None where it is of other voxels, or damaged."""
    parsed = _parsed(text.GetText())
    if parsed is None:
        return None
    result, server, when, of = parsed
    if of is None or not of.fits(now):
        return None
    findings, chart = (text.GetNodeReference(f"VPTCT.{role}") for role in ("findings", "chart"))
    return KeptResult(result, server, when, ResultNodes(text, findings, chart))


@lru_cache(maxsize=16)
def _parsed(text: str) -> tuple[Result, str, str, Fingerprint | None] | None:
    """Result, server, time and fingerprint in a text, asked for often; None in a damaged one."""
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            raise ValueError(f"it is of the kind {data['schema']!r}")
        result, server, when = read_result(data["answer"]), str(data["server"]), str(data["when"])
        return result, server, when, read_fingerprint(data["volume"])
    except (ValueError, TypeError, KeyError, ContractError) as error:
        _log.warning("A result that the scene keeps cannot be read: %s", error)
        return None


def _parts(text: slicer.vtkMRMLTextNode) -> list[slicer.vtkMRMLNode]:
    """The series, tables and maps of a result that are still there."""
    count = text.GetNumberOfNodeReferences("VPTCT.parts")
    parts = [text.GetNthNodeReference("VPTCT.parts", index) for index in range(count)]
    return [part for part in parts if part is not None]


def _remove(scene: slicer.vtkMRMLScene, text: slicer.vtkMRMLTextNode) -> None:
    roles = [text.GetNodeReference(f"VPTCT.{role}") for role in ("findings", "chart")]
    for node in (*_parts(text), *roles, text):
        if node is not None:
            _remove_node(scene, node)


def _remove_node(scene: slicer.vtkMRMLScene, node: slicer.vtkMRMLNode) -> None:
    if node.GetAttribute(MAP_OF):
        remove_heat_map(node)
    else:
        scene.RemoveNode(node)
