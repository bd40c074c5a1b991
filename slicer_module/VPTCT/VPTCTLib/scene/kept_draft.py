"""Kept drafts: the scene keeps what a reader has begun to say about a volume, and is saved with it."""

from __future__ import annotations

import slicer

from .nodes import belong_to, nodes_of_class, volume_of

# A node of its own for each volume: changing one of the volume would draw all views anew.
_CLASS = "vtkMRMLScriptedModuleNode"
_NAME = "VPTCT label form"


def keep_draft(volume: slicer.vtkMRMLScalarVolumeNode, task: str, text: str) -> None:
    """Keep a text for a volume and a task in the volume's scene, in place of the one before."""
    node = _node_of(volume)
    if node is None:
        _remove_orphans(volume.GetScene())
        node = volume.GetScene().AddNewNodeByClass(_CLASS, _NAME)
        node.SetModuleName(_NAME)
        belong_to(node, volume)
    if node.GetParameter(task) != text:
        node.SetParameter(task, text)


def kept_draft(volume: slicer.vtkMRMLScalarVolumeNode, task: str) -> str:
    """The text that was kept; "" where none was."""
    node = _node_of(volume)
    return "" if node is None else str(node.GetParameter(task))


def _ours(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLScriptedModuleNode]:
    return [node for node in nodes_of_class(scene, _CLASS) if node.GetModuleName() == _NAME]


def _node_of(volume: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLScriptedModuleNode | None:
    return next((node for node in _ours(volume.GetScene()) if volume_of(node) is volume), None)


def _remove_orphans(scene: slicer.vtkMRMLScene) -> None:
    """What is kept for volumes that were removed."""
    for node in _ours(scene):
        if volume_of(node) is None:
            scene.RemoveNode(node)
