"""VPTCT lives in Slicer as any module does: it loads, opens, closes, is reloaded, and outlives its scene."""

from __future__ import annotations

import importlib.util
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODULE = Path(__file__).resolve().parents[3] / "slicer_module" / "VPTCT"
PANEL_TEST = MODULE / "Testing" / "Python" / "VPTCTPanelTest.py"


def test_the_module_loads_and_shows_its_panel(panel: Any, picture: Callable[[str], Path]) -> None:
    import slicer

    assert slicer.modules.vptct.title == "Chest CT Video Networks (VPTCT)"
    assert panel.panel.widget.visible
    picture("panel-empty")


def test_opening_another_module_and_coming_back(panel: Any) -> None:
    import slicer

    for _ in range(2):
        slicer.util.selectModule("Welcome")
        slicer.util.selectModule("VPTCT")
    assert panel.panel.widget.visible


def test_the_test_for_the_real_application_passes_in_the_stand_in(panel: Any) -> None:
    spec = importlib.util.spec_from_file_location(PANEL_TEST.stem, PANEL_TEST)
    source = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(source)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromModule(source).run(result)
    assert result.testsRun == 3
    assert [trace for _, trace in result.failures + result.errors] == []
