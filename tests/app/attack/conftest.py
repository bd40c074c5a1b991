"""One real server for all attacks, with canaries around it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from server_process import ServerProcess

from vpt_plugin.data.phantom import write_dicom, write_nifti

sys.path.insert(0, str(Path(__file__).parent))

from attack_range import CANARY, LABEL, SECRET, Range, contents, small_ct, times  # only now on the path


def _lay_out(root: Path) -> tuple[Path, Path]:
    studies, outside, home = root / "studies", root / "outside", root / "home"
    for folder in (studies, outside, home, studies / "labels" / "final" / "ct.nii.gz"):
        folder.mkdir(parents=True)
    write_nifti(small_ct(), studies / "ct.nii.gz")
    write_dicom(small_ct(), studies / "p01" / "ct")
    write_nifti(small_ct(), outside / "ct.nii.gz")
    (studies / "labels" / "final" / "ct.nii.gz" / "nodule.0001.json").write_text(json.dumps(LABEL))
    (outside / "nodule.0001.json").write_text(json.dumps({**LABEL, "comment": CANARY}))
    for folder in (outside, home, root, studies / ".hidden"):
        folder.mkdir(exist_ok=True)
        (folder / "canary.txt").write_text(CANARY)
    return studies, outside


@pytest.fixture(scope="session")
def attacked(
    tmp_path_factory: pytest.TempPathFactory, workshop: object, publish: Callable[..., object]
) -> Iterator[Range]:
    """The server under attack; it serves one task and one trained network."""
    root = tmp_path_factory.mktemp("attacked")
    # Its own: versions of these are promoted and rolled back.
    models = tmp_path_factory.mktemp("attacked-models")
    studies, outside = _lay_out(root)
    publish("nodule", "tiny")
    shutil.copytree(workshop.models, models, dirs_exist_ok=True)  # type: ignore[attr-defined]
    conf = {
        "tasks": "nodule,pe",
        "models": "tiny",
        "device": "cpu",
        "models_dir": str(models),
        "unsuitable": "warn",
    }
    # Every route that there can be.
    conf |= {"logs": "on", "reload": "on", "scoring": "off"}
    environment = {"VPTCT_ATTACK_SECRET": SECRET, "HOME": str(root / "home")}
    with ServerProcess(studies, conf=conf, environment=environment) as process:
        target = Range(process, root, studies, outside)
        # The first inference makes the caches of torch; from then on nothing may change.
        assert target.send("POST", "/infer/nodule_tiny?image=ct.nii.gz").status == 200
        target.kept = frozenset(process.temporary.rglob("*"))
        target.before = target.snapshot(times)
        before = target.snapshot(contents)
        yield target
        assert target.snapshot(contents) == before


@pytest.fixture(autouse=True)
def nothing_is_harmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test of this folder: all canaries are as they were, and the server answers."""
    yield
    if "attacked" in request.fixturenames:
        target: Range = request.getfixturevalue("attacked")
        target.assert_unharmed(request.node.name)
        assert target.left_behind() == []
