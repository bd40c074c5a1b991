"""PUT /datastore/: what only a reader's computer has becomes a study of the server."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lib.additions import Additions

from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import write_dicom, write_nrrd
from vpt_plugin.errors import ArchiveUnreachableError
from vpt_plugin.store.source import SourceState
from vpt_plugin.store.tokens import TokenFile

LABEL = {
    "schema": "vptct.label/1", "task": "nodule", "findings": {"lung_nodule": {"state": "absent"}},
    "annotator": "anna",
}  # fmt: skip


def volume() -> Volume:
    hu = np.full((4, 8, 8), 40, dtype=np.int16)
    hu[:, :4] = -900
    return Volume(hu, (2.5, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "p")


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("file") / "ct.nrrd"
    write_nrrd(volume(), path)
    return path.read_bytes()


def put(running: Any, content: bytes, name: str = "Müller^Anna.nrrd", **options: Any) -> Any:
    return running.ask("PUT", "/datastore/", files={"file": (name, content)}, **options)


def test_a_study_that_is_added_can_be_labelled_at_once(serve, content: bytes) -> None:
    running = serve()
    answer = put(running, content)
    assert answer.status_code == 200, answer.text
    study = answer.json()["image"]
    day = datetime.now(timezone.utc).strftime("%Y%m%d")
    assert (study[:7], study[15:16], study[-5:]) == ("upload-", "-", ".nrrd")
    assert abs(int(study[7:15]) - int(day)) <= 1
    assert answer.json()["new"] is True
    assert study in running.ask("GET", "/datastore/?output=all").json()["objects"]
    label = {"label": ("label.json", json.dumps(LABEL).encode())}
    saved = running.ask("PUT", "/datastore/label", params={"image": study}, files=label)
    assert (saved.status_code, saved.json()["version"]) == (200, 1), saved.text
    back = running.ask("GET", "/datastore/image", params={"image": study})
    assert back.content == content
    assert running.left_behind() == []


def test_the_same_file_is_the_same_study_also_when_two_send_it_at_once(serve, content: bytes) -> None:
    running = serve()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: put(running, content).json(), range(4)))
    assert len({each["image"] for each in answers}) == 1
    assert [each["new"] for each in answers].count(True) == 1
    assert list(running.ask("GET", "/datastore/?output=all").json()["objects"]) == [answers[0]["image"]]


@pytest.mark.parametrize(
    ("name", "error", "status"),
    [
        ("ct.nrrd", "UnreadableStudyError", 422), ("ct.zip", "BadRequestError", 400),
        ("ct.dcm", "BadRequestError", 400), ("ct.mhd", "BadRequestError", 400),
        ("nrrd", "BadRequestError", 400),
        ("../../x.nii.gz", "UnreadableStudyError", 422),
    ],
)  # fmt: skip
def test_what_is_no_study_is_refused_and_leaves_nothing(
    serve, tmp_path: Path, name: str, error: str, status: int
) -> None:
    running = serve()
    answer = put(running, b"no study", name)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert [path for path in (tmp_path / "studies").rglob("*") if path.is_file()] == []
    assert running.left_behind() == []
    empty = running.ask("PUT", "/datastore/")
    assert (empty.status_code, empty.json()["error"]) == (422, "WrongFormError")


def test_only_who_may_label_may_add(serve, tmp_path: Path, content: bytes) -> None:
    file = TokenFile(tmp_path / "tokens")
    tokens = {role: file.add(role, role) for role in ("user", "annotator")}
    running = serve({"token_file": str(file.path)})
    refused = put(running, content, token=tokens["user"])
    assert (refused.status_code, refused.json()["error"]) == (403, "RoleMissingError")
    assert put(running, content, token=tokens["annotator"]).status_code == 200


def test_a_server_that_adds_none_says_so_before_and_refuses(serve, tmp_path: Path, content: bytes) -> None:
    uploads = serve().ask("GET", "/info/").json()["vptct"]["uploads"]
    assert uploads["add_studies"] is True
    running = serve({"add_studies": "off"})
    assert running.ask("GET", "/info/").json()["vptct"]["uploads"]["add_studies"] is False
    refused = put(running, content)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")
    assert refused.json()["hint"] == "copy the study into the server's studies folder."
    archive = Additions(None, switched_on=True)
    assert not archive.offered
    running.app.additions = archive
    assert put(running, content).json()["hint"] == "send the study there."
    assert list((tmp_path / "studies").iterdir()) == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write what is read-only")
def test_a_folder_that_may_only_be_read_is_told_as_such(serve, tmp_path: Path, content: bytes) -> None:
    running = serve()
    (tmp_path / "studies").chmod(0o555)
    try:
        refused = put(running, content)
    finally:
        (tmp_path / "studies").chmod(0o755)
    assert (refused.status_code, refused.json()["error"]) == (405, "NotOfferedError")


def test_a_folder_that_is_itself_the_one_study_keeps_it(serve, tmp_path: Path, content: bytes) -> None:
    write_dicom(volume(), tmp_path / "studies")
    running = serve()
    assert len(running.ask("GET", "/datastore/?output=all").json()["objects"]) == 1
    refused = put(running, content)
    assert (refused.status_code, refused.json()["error"]) == (405, "NotOfferedError")
    assert len(running.ask("GET", "/datastore/?output=all").json()["objects"]) == 1


def test_while_the_folder_is_away_nothing_is_added(serve, content: bytes) -> None:
    running = serve()
    studies = running.app.datastore().studies
    running.ask("GET", "/datastore/")
    studies._state = SourceState("folder", reachable=False, problem="the share is away")
    studies._fresh_until = float("inf")
    answer = put(running, content)
    assert (answer.status_code, answer.json()["error"]) == (503, ArchiveUnreachableError.__name__)
    assert answer.json()["detail"] == "the share is away."


def test_a_file_that_tells_who_the_patient_is_is_refused_with_the_key(
    serve, tmp_path: Path, content: bytes
) -> None:
    refused = put(serve(), content.replace(b"\n", b"\nDICOM_0010_0010:=Doe^Jane\n", 1))
    assert (refused.status_code, refused.json()["error"]) == (400, "BadRequestError")
    assert "'DICOM_0010_0010'" in refused.json()["detail"]
    assert "remove the field" in refused.json()["hint"]
    assert list((tmp_path / "studies").iterdir()) == []


def test_what_a_killed_server_left_goes_with_the_next_study(serve, tmp_path: Path, content: bytes) -> None:
    running = serve()
    killed, young = (tmp_path / "studies" / f".vptct-upload-{name}.tmp" for name in ("01", "02"))
    for folder in (killed, young):
        folder.mkdir()
        (folder / "study.nrrd").write_bytes(b"half")
    os.utime(killed, (0, 0))
    assert put(running, content).status_code == 200
    assert (killed.exists(), young.exists()) == (False, True)
