"""Sessions of the real server: nothing is unpacked, nothing is told of the server, nothing is left."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
import requests


def tar_that_leads_outside() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("../../evil.txt")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    return packed.getvalue()


def everything(client) -> list[Path]:
    """All files of the server's own folder but its log, which grows."""
    return sorted(path for path in client.process.temporary.parent.rglob("*") if path.suffix != ".log")


@pytest.mark.parametrize("packed", [tar_that_leads_outside(), b"nonsense"], ids=["hostile", "broken"])
def test_an_archive_is_not_unpacked_and_nothing_of_it_is_kept(client, packed: bytes) -> None:
    client.infer(image="p02.nii.gz")
    before = everything(client)
    response = client.open_session(("x.tar", packed), uncompress="true")
    assert response.status_code == 400
    assert response.json() == {
        "detail": "archives are not unpacked here",
        "hint": "a zip of DICOM is read as it is.",
    }
    assert everything(client) == before
    assert client.left_behind() == []
    assert client.infer(image="p02.nii.gz").status_code == 200


def test_a_session_tells_no_path_and_goes_when_it_is_removed(client, workshop) -> None:
    study = workshop.studies / "p02.nii.gz"
    created = client.open_session(("../../my ct.nii.gz", study.read_bytes()), expiry="300").json()
    session_id = created["session_id"]
    assert created == {"session_id": session_id, "session_info": {"name": session_id, "expiry": 300}}
    assert client.get(f"/session/{session_id}").json() == created["session_info"]
    assert client.get(f"/session/{session_id}?image=true").status_code == 405
    assert client.infer(session_id=session_id).status_code == 200
    assert client.left_behind() == []
    url = f"{client.process.url}/session/{session_id}"
    assert requests.delete(url, timeout=60).json() == created["session_info"]
    assert client.get(f"/session/{session_id}").status_code == 404
    assert not list(client.process.temporary.parent.rglob(session_id))


def test_a_zip_of_dicom_in_a_session_is_read_as_it_is(client, workshop) -> None:
    archive = workshop.uploads / "dicom.zip"
    created = client.open_session((archive.name, archive.read_bytes())).json()
    assert client.infer(session_id=created["session_id"]).status_code == 200


def test_slices_that_share_a_name_are_all_kept(client, workshop) -> None:
    slices = sorted((workshop.studies / "p01" / "ct").iterdir())
    created = client.open_session(*(("IM0001", path.read_bytes()) for path in slices)).json()
    clips = [
        len(client.infer(**study).json()["vptct"]["findings"][0]["clips"])
        for study in ({"session_id": created["session_id"]}, {"image": "p01--ct"})
    ]
    assert clips[0] == clips[1]


@pytest.mark.parametrize("session_id", ["..%2f..", "%2e%2e", "x", "00000000-0000-0000-0000-000000000000"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_session_that_was_not_opened_is_not_there(client, method: str, session_id: str) -> None:
    before = everything(client)
    response = requests.request(method, f"{client.process.url}/session/{session_id}", timeout=60)
    assert response.status_code == 404
    assert everything(client) == before


def test_a_session_without_a_file_is_refused(client) -> None:
    assert requests.put(f"{client.process.url}/session/", timeout=60).status_code == 422
    assert client.left_behind() == []
