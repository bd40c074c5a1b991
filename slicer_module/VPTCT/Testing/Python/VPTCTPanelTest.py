"""The panel inside Slicer, without a server: it opens, outlives its scene, and is reloaded.

Run by ctest, or in Slicer's Python console with this folder's path::

    import slicer.testing; slicer.testing.runUnitTest([folder], "VPTCTPanelTest")
"""

from __future__ import annotations

import unittest

import slicer


class VPTCTPanelTest(unittest.TestCase):
    """What can be tried without a server."""

    def setUp(self):
        """Open the module over an empty scene."""
        slicer.mrmlScene.Clear()
        slicer.util.selectModule("VPTCT")
        slicer.app.processEvents()

    def tearDown(self):
        """Leave an empty scene behind."""
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()

    def test_the_panel_is_on_screen(self):
        """The module's widget made its panel."""
        assert slicer.modules.VPTCTWidget.panel.widget.visible

    def test_closing_the_scene_leaves_a_panel_that_works(self):
        """What the scene remembers goes with it; the next scene remembers anew."""
        slicer.modules.VPTCTWidget.logic.getParameterNode().task = "pe"
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        slicer.modules.VPTCTWidget.logic.getParameterNode().task = "nodule"
        assert slicer.modules.VPTCTWidget.panel.widget.visible

    def test_a_reload_makes_a_new_panel_of_a_new_library(self):
        """As the button Reload of the section for developers does."""
        before = slicer.modules.VPTCTWidget
        before.onReload()
        slicer.app.processEvents()
        after = slicer.modules.VPTCTWidget
        assert after is not before
        assert type(after.desk) is not type(before.desk)
        assert after.panel.widget.visible
