"""A small scripted module, written as for Slicer: what the stand-in itself is tested with."""

from __future__ import annotations

import sys

import qt
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin
from ToyReaderLib.words import GREETING


class ToyReader(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Toy reader")


class ToyReaderWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.entered = self.left = self.cleaned = 0

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/ToyReader.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.words = GREETING
        self.logic = ToyReaderLogic()
        self.ui.readButton.connect("clicked(bool)", self.read)
        self.ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.show)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.scene_closes)
        self.timer = qt.QTimer()
        self.timer.connect("timeout()", self.tick)
        self.ticks = 0

    def enter(self):
        self.entered += 1

    def exit(self):
        self.left += 1

    def cleanup(self):
        self.cleaned += 1
        self.removeObservers()
        self.timer.stop()

    def onReload(self):
        for name in [name for name in sys.modules if name.partition(".")[0] == "ToyReaderLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def read(self):
        node = self.ui.volumeSelector.currentNode()
        name = node.GetName() if node is not None else _("nothing")
        self.ui.answerLabel.text = _("read {name}").format(name=name)

    def show(self, node):
        slicer.util.setSliceViewerLayers(background=node, fit=True)

    def tick(self):
        self.ticks += 1

    def scene_closes(self, caller, event):
        self.ui.answerLabel.text = _("closed")


class ToyReaderLogic(ScriptedLoadableModuleLogic):
    pass


class ToyReaderTest(ScriptedLoadableModuleTest):
    def runTest(self):
        self.delayDisplay("a test")
        self.assertEqual(ToyReaderLogic().getParameterNode().GetAttribute("ModuleName"), "ToyReader")
