"""Sessions of the real server: nothing is told of the server, and nothing is left."""

from __future__ import annotations

import io
import shutil
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


@pytest.mark.parametrize(
    ("packed", "problem"),
    [(tar_that_leads_outside(), "leads outside"), (b"nonsense", "damaged")],
    ids=["hostile", "broken"],
)
def test_an_archive_that_cannot_be_unpacked_leaves_nothing(client, packed: bytes, problem: str) -> None:
    client.infer(image="p02.nii.gz")
    before = everything(client)
    response = client.open_session(("x.tar", packed), uncompress="true")
    assert response.status_code == 422
    assert problem in response.json()["detail"]
    assert everything(client) == before
    assert client.left_behind() == []
    assert client.infer(image="p02.nii.gz").status_code == 200


@pytest.mark.parametrize("packer", ["zip", "tar", "gztar"])
def test_an_archive_is_unpacked_once_and_gives_the_answer_of_its_study(
    client, workshop, tmp_path: Path, packer: str
) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "study"), packer, workshop.studies / "p01"))
    created = client.open_session((archive.name, archive.read_bytes()), uncompress="true")
    assert created.status_code == 200, created.text
    answers = [
        client.infer(session_id=created.json()["session_id"]).json(),
        client.infer(image="p01--ct").json(),
    ]
    assert answers[0]["prediction"] == answers[1]["prediction"]


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


@pytest.mark.parametrize("session_id", ["..%2f..", "x", "00000000-0000-0000-0000-000000000000"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_session_that_was_not_opened_is_not_there(client, method: str, session_id: str) -> None:
    before = everything(client)
    response = requests.request(method, f"{client.process.url}/session/{session_id}", timeout=60)
    assert response.status_code == 404
    assert everything(client) == before


def test_a_series_of_more_slices_than_a_form_usually_may_have_parts_is_one_session(client, workshop) -> None:
    slices = sorted((workshop.studies / "p01" / "ct").iterdir())
    parts = [(f"IM{number:04d}", slices[0].read_bytes()) for number in range(1200)]
    created = client.open_session(*parts)
    assert created.status_code == 200, created.text
    requests.delete(f"{client.process.url}/session/{created.json()['session_id']}", timeout=60)


def test_a_session_without_a_file_is_refused(client) -> None:
    assert requests.put(f"{client.process.url}/session/", timeout=60).status_code == 422
    assert client.left_behind() == []
