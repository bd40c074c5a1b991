"""VPTCT lives in Slicer as any module does: it loads, opens, closes, is reloaded, and outlives its scene."""

from __future__ import annotations

import gc
import importlib.util
import threading
import unittest
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standin.wheel import require_scene

slicer = require_scene()

MODULE = Path(__file__).resolve().parents[3] / "slicer_module" / "VPTCT"
# Of Slicer's main window and its toolbars: a key that two things have does neither there.
KEYS_OF_SLICER = {
    *(f"Ctrl+{key}" for key in "0123456`FHOSWXYZCVP"), "Ctrl+Left", "Ctrl+Right", "Ctrl+Shift+A",
    "Ctrl+Shift+T", "Ctrl+Shift+Space", "Ctrl+Shift+Z",
}  # fmt: skip
PANEL_TEST = MODULE / "Testing" / "Python" / "VPTCTPanelTest.py"


def new_volume(name: str) -> Any:
    pixels = np.zeros((4, 8, 8), np.int16)
    return slicer.util.addVolumeFromArray(pixels, ijkToRAS=np.diag([-5.0, -5.0, 2.5, 1.0]), name=name)


def keys_of(window: Any) -> list[str]:
    import qt

    return [key.key.toString() for key in window.findChildren(qt.QShortcut)]


def test_the_module_loads_and_shows_its_panel(panel: Any, picture: Callable[..., Path]) -> None:
    assert slicer.modules.vptct.title == "Chest CT Video Networks (VPTCT)"
    assert panel.panel.widget.visible
    picture("panel-empty")


def test_every_section_is_on_screen_from_top_to_bottom(panel: Any) -> None:
    import qt

    slicer.app.processEvents()
    tops = [
        each.widget.mapTo(panel.panel.widget, qt.QPoint(0, 0)).y()
        for each in panel.panel.sections.values()
        if each.widget.visible
    ]
    assert len(tops) >= 5
    assert tops == sorted(tops)


def test_its_keys_work_while_it_is_open_and_no_longer(panel: Any, window: Any) -> None:
    there = keys_of(window)
    assert there != []
    assert len(there) == len(set(there)), "two things have the same key"
    slicer.util.selectModule("Welcome")
    assert keys_of(window) == []
    slicer.util.selectModule("VPTCT")
    assert keys_of(window) == there


def test_its_keys_are_none_of_slicers_own(panel: Any, window: Any) -> None:
    assert KEYS_OF_SLICER & set(keys_of(window)) == set()


def test_its_keys_work_again_after_a_reload(panel: Any, window: Any) -> None:
    before = keys_of(window)
    panel.onReload()
    assert keys_of(window) == before


def test_it_outlives_the_closing_of_its_scene(panel: Any) -> None:
    for name in ("first", "second"):
        volume = new_volume(name)
        panel.logic.getParameterNode().volume = volume
        slicer.app.processEvents()
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        assert panel.logic.getParameterNode().volume is None


def test_a_scene_that_is_opened_again_remembers_its_volume(panel: Any, tmp_path: Path) -> None:
    panel.logic.getParameterNode().volume = new_volume("Chest")
    panel.logic.getParameterNode().task = "pe"
    assert slicer.mrmlScene.WriteToMRB(str(tmp_path / "day.mrb"))
    slicer.mrmlScene.Clear()
    assert panel.logic.getParameterNode().task == ""
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "day.mrb"), True)
    slicer.app.processEvents()
    assert panel.logic.getParameterNode().task == "pe"
    assert panel.logic.getParameterNode().volume.GetName() == "Chest"


def test_what_a_job_brings_after_a_reload_goes_nowhere(panel: Any, wait_until: Callable[..., None]) -> None:
    go_on, heard = threading.Event(), []
    before = slicer.modules.VPTCTWidget
    before.desk.jobs.start(lambda work: go_on.wait(10), heard.append, heard.append)
    before.onReload()
    go_on.set()
    wait_until(lambda: not [each for each in threading.enumerate() if each.name == "VPTCT job"], 10)
    slicer.app.processEvents()
    assert heard == []
    assert slicer.modules.VPTCTWidget is not before


def test_it_works_without_a_main_window_as_slicers_generic_tests_have_it(
    app: Any, window: Any, monkeypatch: pytest.MonkeyPatch, no_slot_errors: list[BaseException]
) -> None:
    from standin.module_loader import load_module, unload_module

    monkeypatch.setattr(slicer.util, "mainWindow", lambda: None)
    app.set_window(None)
    module = load_module(MODULE / "VPTCT.py")
    try:
        module.widgetRepresentation().enter()
        volume = new_volume("Chest")
        slicer.modules.VPTCTWidget.logic.getParameterNode().volume = volume
        app.processEvents()
    finally:
        unload_module(module)
        app.set_window(window)


def test_nothing_holds_the_panel_after_it_is_gone(window: Any, no_slot_errors: list[BaseException]) -> None:
    from standin.opened_module import opened_module

    with opened_module(MODULE / "VPTCT.py") as widget:
        desk, section = weakref.ref(widget.desk), weakref.ref(next(iter(widget.panel.sections.values())))
    gc.collect()
    assert (desk(), section()) == (None, None)


def test_the_test_for_the_real_application_passes_in_the_stand_in(panel: Any) -> None:
    spec = importlib.util.spec_from_file_location(PANEL_TEST.stem, PANEL_TEST)
    source = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(source)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromModule(source).run(result)
    assert result.testsRun == 3
    assert [trace for _, trace in result.failures + result.errors] == []
