"""Qt's loader of .ui files, with Slicer's and CTK's widgets and the connections to the scene."""

from __future__ import annotations

import inspect
import xml.etree.ElementTree as ElementTree
from types import ModuleType
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

_widgets: dict[str, type] = {}


def install_ui_loader(qt: ModuleType, ctk: ModuleType, slicer: ModuleType) -> None:
    """Make ``qt.QUiLoader`` know the widgets of all three."""
    for holder in (qt, ctk, slicer):
        for name, cls in vars(holder).items():
            if inspect.isclass(cls) and issubclass(cls, QtWidgets.QWidget):
                _widgets[name] = cls
    qt.QUiLoader = QUiLoader


class QUiLoader(QtUiTools.QUiLoader):
    """Makes the widgets by the stand-in's classes."""

    def createWidget(self, kind: str, parent: Any = None, name: str = "") -> Any:
        """Called by Qt for each widget of the file."""
        widget = _widgets[kind](parent)
        widget.setObjectName(name)
        return widget

    def load(self, device: Any, parent: Any = None) -> Any:
        """The widget that the file describes.

        Raises:
            RuntimeError: the file has a widget that the stand-in does not have.
        """
        root = ElementTree.fromstring(bytes(device.readAll()))
        if unknown := {widget.get("class", "") for widget in root.iter("widget")} - set(_widgets):
            raise RuntimeError(f"widgets that the stand-in does not have: {sorted(unknown)}")
        links = _taken_scene_links(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        widget = super().load(buffer, parent)
        for sender, receiver in links:
            _found(widget, sender).mrmlSceneChanged.connect(_found(widget, receiver).setMRMLScene)
        return widget


def _taken_scene_links(root: ElementTree.Element) -> list[tuple[str, str]]:
    """Take the connections to the scene out of the file: Qt here knows no such signal."""
    links = []
    for connections in root.iter("connections"):
        for connection in list(connections):
            if "mrmlScene" in connection.findtext("signal", ""):
                links.append((connection.findtext("sender", ""), connection.findtext("receiver", "")))
                connections.remove(connection)
    return links


def _found(widget: Any, name: str) -> Any:
    return widget if widget.objectName == name else widget.findChild(QtWidgets.QWidget, name)
