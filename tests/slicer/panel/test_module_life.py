"""VPTCT lives in Slicer as any module does: it loads, opens, closes, is reloaded, and outlives its scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


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
