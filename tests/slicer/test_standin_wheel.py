"""The wheel's ``slicer`` is what a module inside the application sees; nothing of these tests is in it."""

from __future__ import annotations

import sys

from standin.wheel import require_scene

slicer = require_scene()


def test_the_names_of_slicer_util_are_not_spilt_into_slicer() -> None:
    assert not hasattr(slicer, "arrayFromVolume")
    assert callable(slicer.util.arrayFromVolume)


def test_the_folder_of_these_tests_is_not_mixed_into_slicer() -> None:
    assert hasattr(slicer, "vtkMRMLScene")
    assert not {name for name in sys.modules if name.startswith(("slicer.test_", "slicer.conftest"))}
