"""Without slicer-core tests of the scene, the logic and the panel are skipped; none stops the whole run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MODULES = sorted(path for folder in ("logic", "scene", "panel") for path in (HERE / folder).glob("test_*.py"))
LIBRARY = HERE.parents[1] / "slicer_module" / "VPTCT"
OF_SLICER = ("slicer", "qt", "ctk", "vtk", "mrml", "PySide6")


def too_early(text: str) -> list[str]:
    """What a module imports of Slicer before ``require_scene()`` let it go on, as ``line: name``."""
    found: list[str] = []
    for statement in ast.parse(text).body:
        if any(_asks_for_scene(node) for node in ast.walk(statement)):
            return found
        found += [f"{statement.lineno}: {name}" for name in _imported(statement, ()) if needs_slicer(name)]
    return found


@cache
def needs_slicer(name: str) -> bool:
    """Whether it is of Slicer, or a module of ours that imports such a one as soon as it is imported."""
    if name.partition(".")[0] in OF_SLICER:
        return True
    path = LIBRARY.joinpath(*name.split(".")).with_suffix(".py")
    if not name.startswith("VPTCTLib.") or not path.exists():
        return False
    package = tuple(name.split(".")[:-1])
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(needs_slicer(each) for statement in body for each in _imported(statement, package))


def _asks_for_scene(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "require_scene"


def _imported(statement: ast.stmt, package: tuple[str, ...]) -> Iterator[str]:
    """Full names that a statement imports; nothing of a ``try`` or an ``if``, which may do without."""
    if isinstance(statement, ast.Import):
        yield from (each.name for each in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        around = package[: len(package) + 1 - statement.level] if statement.level else ()
        source = ".".join([*around, *filter(None, [statement.module])])
        yield source
        yield from (f"{source}.{each.name}" for each in statement.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_of_slicer_is_imported_before_it_is_known_to_be_there(path: Path) -> None:
    assert too_early(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import slicer", ["1: slicer"]),
        ("import vtk.util.numpy_support", ["1: vtk.util.numpy_support"]),
        ("from VPTCTLib.logic.desk import Desk", ["1: VPTCTLib.logic.desk"]),
        ("from VPTCTLib.scene import load", ["1: VPTCTLib.scene.load"]),
        ("from VPTCTLib.logic import desk\nrequire_scene()", ["1: VPTCTLib.logic.desk"]),
        ("require_scene()\nimport slicer", []),
        ("slicer = require_scene()\nimport vtk", []),
        ("from VPTCTLib.settings import Settings\nimport slicer_tools", []),
        ("from VPTCTLib.logic.curve import drawn_curve", []),
        ("def test_it():\n    import slicer", []),
    ],
)
def test_an_import_that_comes_too_early_is_found(text: str, found: list[str]) -> None:
    assert too_early(text) == found
