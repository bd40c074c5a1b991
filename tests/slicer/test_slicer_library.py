"""What each part of the Slicer module's library may use: Python 3.9, and what Slicer brings."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "slicer_module" / "VPTCT" / "VPTCTLib"
FILES = sorted(LIBRARY.rglob("*.py"))
# In the standard library since 3.10 or later, by module; what is built in under "".
TOO_NEW = {
    "": {"aiter", "anext", "EncodingWarning", "ExceptionGroup", "BaseExceptionGroup"},
    "typing": {"TypeAlias", "ParamSpec", "Self", "Never", "assert_never", "override", "TypeGuard", "Unpack"},
    "datetime": {"UTC"},
    "enum": {"StrEnum"},
    "itertools": {"pairwise", "batched"},
    "contextlib": {"aclosing", "chdir"},
    "inspect": {"get_annotations"},
}
# What a part may import beside the standard library and the parts below it; "" is the client.
BESIDE = {
    "": {"requests"},
    # pydicom is of Slicer's own Python: its DICOM module stands on it.
    "scene": {"numpy", "pydicom", "slicer", "vtk", "vtkITK"},
    "logic": {"slicer", "vtk"},
    # Slicer's own module of sample data is imported by its name.
    "panel": {"SampleData", "ctk", "numpy", "qt", "slicer", "vtk"},
}
# From the cellar to the roof.
PARTS = ["", "scene", "logic", "panel"]
TOO_NEW_MODULES = {"tomllib", "zoneinfo._tzpath", "importlib.resources.abc"}


def part_of(path: Path) -> str:
    first = path.relative_to(LIBRARY).parts[0]
    return first if first in PARTS else ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_a_file_is_python_3_9_and_imports_only_what_slicer_brings(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not used & TOO_NEW[""]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules, names = [alias.name for alias in node.names], set()
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules, names = [node.module or ""], {alias.name for alias in node.names}
        else:
            continue
        for module in modules:
            if path.name != "i18n.py":  # It looks whether there is a Slicer.
                assert module.partition(".")[0] in sys.stdlib_module_names | BESIDE[part_of(path)]
            assert not names & TOO_NEW.get(module, set())
            assert module not in TOO_NEW_MODULES


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_panel_knows_logic_knows_scene_knows_client_and_never_the_other_way(path: Path) -> None:
    here = path.relative_to(LIBRARY).parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            whole = [*here[: len(here) - node.level], *(node.module or "").split(".")]
            other = whole[0] if whole[0] in PARTS else ""
            assert PARTS.index(other) <= PARTS.index(part_of(path)), f"{here} must not import {node.module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_what_python_3_9_would_trip_over_when_it_runs_is_not_there(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body
    ) or not any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in ast.walk(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            # dataclass(slots=, kw_only=) and zip(strict=) are of 3.10.
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            given = {keyword.arg for keyword in node.keywords}
            assert not (name == "dataclass" and given & {"slots", "kw_only", "match_args"})
            assert not (name == "zip" and "strict" in given)
            # X | Y is no class for isinstance there.
            assert not (name == "isinstance" and isinstance(node.args[1], ast.BinOp))


def test_files_stay_short() -> None:
    assert [path.name for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > 300] == []


# pip brings a requests of its own with every Python, so that this needs nothing installed.
RUN = """
import sys, pip._vendor.requests.adapters, pip._vendor.requests.auth
for name, module in list(sys.modules.items()):
    if name.startswith("pip._vendor."):
        sys.modules.setdefault(name[len("pip._vendor."):], module)
sys.path[:0] = [sys.argv[1], sys.argv[2]]
import pathlib, tempfile, threading
import VPTCTLib.which_study, VPTCTLib.consent
from VPTCTLib.client import Client
from VPTCTLib.errors import CancelledError, UnreachableError
from VPTCTLib.outbox import Outbox
from VPTCTLib.contract.label import FindingLabel, StudyLabel
from VPTCTLib.transport.cancel import Cancel
from VPTCTLib.transport.connection import Connection
from VPTCTLib.transport.retry import RetryRule
from scripted_server import ScriptedServer, answer, drop, half, silence

def client(server):
    return Client(Connection(server.url, retry=RetryRule(first_wait_seconds=0.01)))

def ends_with(error, do):
    try:
        do()
    except error:
        return
    raise SystemExit("no " + error.__name__)

person = {"username": "anna", "role": "user"}
with ScriptedServer([drop, answer(503, {}), answer(200, person)]) as server:
    assert client(server).access.who_am_i().name == "anna"
with ScriptedServer([half(b"x" * 1000)]) as server:
    ends_with(UnreachableError, client(server).access.info)
with ScriptedServer([silence]) as server:
    cancel = Cancel()
    threading.Timer(0.2, cancel.ask).start()
    ends_with(CancelledError, lambda: client(server).studies.classify("pe_tiny", "p1", cancel))
    assert server.hung_up.wait(5)
with tempfile.TemporaryDirectory() as folder:
    study = pathlib.Path(folder, "s.nii")
    study.write_bytes(b"x" * 3000000)
    session = {"session_id": "abc", "session_info": {"name": "abc", "expiry": 60}}
    with ScriptedServer([answer(200, session)]) as server:
        assert client(server).studies.upload([study]).id == "abc"
        assert server.asked[0].body.count(b"x") >= 3000000
    saved = {"image": "s", "label": "s.pe.0001", "version": 1, "sha256": "", "saved": "",
             "previous_version": None, "previous_annotator": None}
    with ScriptedServer([answer(200, saved)]) as server:
        outbox = Outbox(pathlib.Path(folder, "outbox"))
        outbox.keep(server.url, "", "s", StudyLabel("pe", {"x": FindingLabel("absent")}), if_version=0)
        assert len(outbox.send(client(server), "").saved) == 1
print(sys.version_info[:2])
"""


def found(version: str) -> str | None:
    """A Python of this version with pip; those of pyenv are often not on the path."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places = [shutil.which(f"python{version}"), *pyenv.glob(f"{version}.*/bin/python")]
    probe = ["-c", "import pip._vendor.requests.adapters"]
    for place in filter(None, places):
        if subprocess.run([place, *probe], capture_output=True, check=False).returncode == 0:
            return str(place)
    return None


@pytest.mark.parametrize("version", ["3.9", "3.12"])
def test_the_client_runs_on_the_pythons_of_slicer(version: str) -> None:
    python = found(version)
    if python is None:
        pytest.skip(f"needs python{version} with pip; without it only the syntax is checked")
    here = Path(__file__).parent
    done = subprocess.run(
        [python, "-c", RUN, str(LIBRARY.parent), str(here)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    major, minor = version.split(".")
    assert (done.returncode, done.stdout.strip()) == (0, f"({major}, {minor})"), done.stderr
