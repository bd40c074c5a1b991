"""Nodes of a scene: finding them, and those that belong to a volume."""

from __future__ import annotations

import slicer

# The role by which what we make refers to its volume; Slicer keeps it right when scenes are saved and merged.
VOLUME = "VPTCT.volume"


def nodes_of_class(scene: slicer.vtkMRMLScene, name: str) -> list[slicer.vtkMRMLNode]:
    """All nodes of a class in a scene, in their order there."""
    # Not slicer.util.getNodesByClass: whatever scene it is given, it looks in the application's.
    return [scene.GetNthNodeByClass(index, name) for index in range(scene.GetNumberOfNodesByClass(name))]


def new_node(scene: slicer.vtkMRMLScene, class_name: str, name: str) -> slicer.vtkMRMLNode:
    """A new node of this class with a name that no other node of the scene has."""
    return scene.AddNewNodeByClass(class_name, scene.GenerateUniqueName(name))


def belong_to(node: slicer.vtkMRMLNode, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Let a node of ours belong to a volume."""
    node.SetNodeReferenceID(VOLUME, volume.GetID())


def others_need(volume: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether a node that a reader sees, and that is none of ours, refers to a volume."""
    scene = volume.GetScene()
    nodes = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
    return any(
        each.HasNodeReferenceID(each.GetNthNodeReferenceRole(role), volume.GetID())
        for each in nodes
        # Views, selections and parameters of modules are hidden.
        if not each.GetHideFromEditors() and volume_of(each) is not volume
        for role in range(each.GetNumberOfNodeReferenceRoles())
    )


def volume_of(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The volume that a node belongs to; None where it is gone."""
    return node.GetNodeReference(VOLUME)
