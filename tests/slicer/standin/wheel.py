"""Import Slicer's scene from the wheel slicer-core as a module inside Slicer sees it.

Importing ``slicer`` needs care here, twice. The package adds every folder named ``slicer`` on ``sys.path`` to
itself and imports what is in it: these tests lie in such a folder. And the wheel spills the names of
``slicer.util`` into ``slicer``, where the application has none of them: what works with the wheel alone would
fail in Slicer.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

HOW_TO_INSTALL = (
    'pip install -e ".[dev]"; on Debian 12 or Ubuntu, what slicer-core and PySide6 need of the system: '
    "apt-get install libegl1 libgl1 libglib2.0-0 libxkbcommon0 libdbus-1-3 libfontconfig1 "
    "libgssapi-krb5-2 fonts-dejavu-core"
)
_TESTS = str(Path(__file__).resolve().parents[2])


def missing_scene() -> str:
    """What is missing for the scene, by name; empty where nothing is. Imports ``slicer`` where it can."""
    others = [folder for folder in sys.path if str(Path(folder or ".").resolve()) != _TESTS]
    before, sys.path[:] = list(sys.path), others
    try:
        import slicer

        util = importlib.import_module("slicer.util")
    except ImportError as error:
        # Without the wheel the folder of these tests, or nothing, would stay behind under its name.
        for name in [name for name in sys.modules if name.partition(".")[0] == "slicer"]:
            del sys.modules[name]
        return f"slicer-core: {error}"
    finally:
        sys.path[:] = before
    for name in util.__all__:
        vars(slicer).pop(name, None)
    # Files of Slicer's own Python that need no application, and that the wheel has not.
    for name, file in {"i18n": "i18n", "parameterNodeWrapper": "parameter_node"}.items():
        module = importlib.import_module(f"standin.{file}")
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
    return ""


def missing_window() -> str:
    """What is missing for the window, by name; empty where nothing is."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    # Enums that are integers, as PythonQt's are; read once, when PySide6 is imported first.
    os.environ.setdefault("PYSIDE6_OPTION_PYTHON_ENUM", "0x02")
    try:
        importlib.import_module("PySide6.QtUiTools")
        importlib.import_module("PySide6.QtNetwork")
    except ImportError as error:
        return f"PySide6-Essentials: {error}"
    return ""


def skip_or_fail(missing: str) -> None:
    """Skip the test that asks and name what is missing; fail it where VPT_REQUIRE_SLICER is 1, as in CI."""
    if not missing:
        return
    text = f"needs Slicer's scene and Qt. {missing}. {HOW_TO_INSTALL}"
    if os.environ.get("VPT_REQUIRE_SLICER") == "1":
        pytest.fail(text, pytrace=False)
    pytest.skip(text, allow_module_level=True)


def require_scene() -> ModuleType:
    """Slicer's scene, the module ``slicer``; skips the test or the file of tests where it is missing.

    At the head of a file: ``slicer = require_scene()`` in the place of ``import slicer``.
    """
    skip_or_fail(missing_scene())
    return sys.modules["slicer"]
