"""Slicer's widgets that know the scene."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from standin.pythonqt import PythonQtObject


class qMRMLWidget(PythonQtObject, QtWidgets.QWidget):  # noqa: N801
    """A widget that has a scene; others in the same .ui file are told of it by a connection there."""

    scene_signals = ("mrmlSceneChanged(vtkMRMLScene*)",)
    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        """Use this scene from now on."""
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        """The scene."""
        return self._scene


class _SceneWatch:
    """Observes a scene; outlives the widget in Python, so that it can stop when Qt deletes the widget."""

    def __init__(self) -> None:
        self._scene: Any = None
        self._tags: list[int] = []

    def start(self, scene: Any, changed: Callable[[], None]) -> None:
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent)
        self._scene = scene
        self._tags = [scene.AddObserver(event, lambda *_: changed()) for event in events]

    def stop(self, *_: Any) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._tags = []


def _option(name: str, kind: Any, default: Any) -> Any:
    def put(self: Any, value: Any) -> None:
        self._options[name] = value
        self._refresh()

    return QtCore.Property(kind, lambda self: self._options.get(name, default), put)


class qMRMLNodeComboBox(PythonQtObject, QtWidgets.QWidget):  # noqa: N801
    """Offers the nodes of the scene that are of some classes."""

    scene_signals = (
        "currentNodeChanged(vtkMRMLNode*)",
        "currentNodeChanged(bool)",
        "currentNodeIDChanged(QString)",
        "nodeAdded(vtkMRMLNode*)",
        "nodeAddedByUser(vtkMRMLNode*)",
        "nodeActivated(vtkMRMLNode*)",
    )
    currentNodeChanged = QtCore.Signal(object)
    currentNodeIDChanged = QtCore.Signal(str)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    nodeActivated = QtCore.Signal(object)
    nodeTypes = _option("nodeTypes", "QStringList", [])
    noneEnabled = _option("noneEnabled", bool, False)
    noneDisplay = _option("noneDisplay", str, "")
    addEnabled = _option("addEnabled", bool, True)
    removeEnabled = _option("removeEnabled", bool, True)
    editEnabled = _option("editEnabled", bool, False)
    renameEnabled = _option("renameEnabled", bool, False)
    showHidden = _option("showHidden", bool, False)
    showChildNodeTypes = _option("showChildNodeTypes", bool, True)
    selectNodeUponCreation = _option("selectNodeUponCreation", bool, True)
    baseName = _option("baseName", str, "")
    currentNodeID = QtCore.Property(
        str, lambda self: self._box.currentData or "", lambda self, node_id: self.setCurrentNodeID(node_id)
    )

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._scene: Any = None
        self._watch = _SceneWatch()
        self._options: dict[str, Any] = {}
        self._box = QtWidgets.QComboBox(self)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box)
        self.setFocusProxy(self._box)
        self._box.currentIndexChanged.connect(self._announce)
        self._box.activated.connect(lambda _: self.nodeActivated.emit(self.currentNode()))
        self.destroyed.connect(self._watch.stop)

    def setMRMLScene(self, scene: Any) -> None:
        """Offer the nodes of this scene."""
        self._watch.stop()
        self._scene = scene
        if scene is not None:
            self._watch.start(scene, self._refresh)
        self._refresh()

    def mrmlScene(self) -> Any:
        """The scene."""
        return self._scene

    def currentNode(self) -> Any:
        """The node that is chosen, or None."""
        node_id = self._box.currentData
        return self._scene.GetNodeByID(node_id) if self._scene is not None and node_id else None

    def setCurrentNode(self, node: Any) -> None:
        """Choose a node."""
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, node_id: str | None) -> None:
        """Choose a node by its ID; one that is not offered is chosen no more than in Slicer: none is."""
        self._box.setCurrentIndex(self._box.findData(node_id or ""))

    def nodeCount(self) -> int:
        """How many are offered."""
        return len(self._nodes())

    def _nodes(self) -> list[Any]:
        if self._scene is None:
            return []
        nodes = []
        for kind in self._options.get("nodeTypes", []):
            for node in slicer.util.getNodesByClass(kind, self._scene):
                exact = self.showChildNodeTypes or node.GetClassName() == kind
                if exact and (self.showHidden or not node.GetHideFromEditors()):
                    nodes.append(node)
        return nodes

    def _refresh(self) -> None:
        kept, nodes = self._box.currentData or "", self._nodes()
        blocked = self._box.blockSignals(True)
        self._box.clear()
        if self.noneEnabled or not nodes:
            self._box.addItem(self.noneDisplay or "None", "")
        for node in nodes:
            self._box.addItem(node.GetName(), node.GetID())
        self._box.setCurrentIndex(max(0, self._box.findData(kept)))
        self._box.blockSignals(blocked)
        if (self._box.currentData or "") != kept:
            self._announce()

    def _announce(self, *_: Any) -> None:
        self.currentNodeChanged.emit(self.currentNode())
        self.currentNodeIDChanged.emit(self._box.currentData or "")


def install_mrml_widgets(module: ModuleType) -> None:
    """Put them into ``slicer``, where loadUI and modules look for them."""
    for cls in (qMRMLWidget, qMRMLNodeComboBox):
        setattr(module, cls.__name__, cls)
