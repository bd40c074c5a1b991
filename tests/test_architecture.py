"""The shape of the house: imports point down only, and importing does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "vpt_plugin"

# From the roof to the cellar. Parts on one line do not import each other.
LAYERS = [
    {"cli"},
    {"study", "active", "bulk", "export", "dicom_report"},
    # A training measures what it publishes with the engines that will answer for it.
    {"training"},
    {"inference"},
    {"store", "data", "models"},
    {"ct", "acquisition", "labels"},
    {"tasks", "owned_process", "cluster"},
    {"errors", "digest", "durable", "words"},
]
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
HEAVY = {"torch", "torchvision", "monai", "ignite", "pytorchvideo"}
NETWORK = {"requests", "urllib", "http", "socket", "ftplib", "httpx", "dicomweb_client"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_parts(path: Path) -> set[str]:
    parts = {name.split(".")[1] for name in imported(path) if name.startswith("vpt_plugin.")}
    return parts & set(LEVEL)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_only(path: Path) -> None:
    here = part_of(path)
    if here == "__init__":
        assert not imported_parts(path)
        return
    for other in imported_parts(path) - {here}:
        assert LEVEL[other] > LEVEL[here], f"{here} must not import {other}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_upper_floors_know_torch_and_only_weights_archives_and_the_cluster_the_network(
    path: Path,
) -> None:
    roots = {name.split(".")[0] for name in imported(path)}
    if part_of(path) in {"ct", "acquisition", "labels", "tasks", "errors"}:
        assert not roots & HEAVY
    assert not roots & {"monailabel", "slicer", "qt", "ctk", "vtk"}
    if path.relative_to(PACKAGE).parts[:2] not in {
        ("models", "weights.py"),
        ("store", "archive"),
        ("cluster", "joined.py"),
    }:
        assert not roots & NETWORK


def test_every_part_of_the_library_has_its_place_in_the_layers() -> None:
    parts = {part_of(path) for path in modules()} - {"__init__"}
    assert parts <= set(LEVEL)


IMPORT_EVERYTHING = """
import random, socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("a network connection at import")
socket.socket.connect = refuse
import numpy, torch
import rich.console  # draws from random when it is imported; that is not ours
before = (random.getstate(), numpy.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist())
import importlib, pkgutil, vpt_plugin
for module in pkgutil.walk_packages(vpt_plugin.__path__, "vpt_plugin."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
after = (random.getstate(), numpy.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist())
assert before == after, "a random generator was seeded or used at import"
"""


def test_importing_everything_prints_nothing_seeds_nothing_and_reaches_no_network(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT_EVERYTHING],
        capture_output=True, text=True, cwd=tmp_path, check=False, timeout=240,
        env={"PATH": "", "HOME": str(tmp_path), "SYSTEMROOT": "C:\\Windows"},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # matplotlib, which comes with MONAI, makes its own folders; none of ours may be there.
    assert not list(tmp_path.rglob("*vptct*"))


def test_nothing_big_lies_in_the_repository() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("needs a git checkout")
    for path in (ROOT / name for name in listed.stdout.splitlines()):
        assert not path.is_file() or path.stat().st_size < 300_000, f"{path.name} is too big"
