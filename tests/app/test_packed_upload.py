"""A packed study at the real server: answered as the file that it was made from, and checked like it."""

from __future__ import annotations

import requests
from VPTCTLib.scene.packing import TWELVE_BITS, header, packed, twelve_bits

from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.volume import Volume


def packed_bytes(volume: Volume) -> bytes:
    place = {
        "spacing_mm": list(volume.spacing_mm),
        "directions": volume.direction.T.tolist(),
        "origin_mm": list(volume.origin_mm),
        "pixels_mm": None,
    }
    return header(TWELVE_BITS, volume.hu.shape, place) + b"".join(packed(map(twelve_bits, volume.hu)))


def test_a_packed_study_is_answered_as_the_file_itself_and_a_damaged_one_is_refused(client, workshop) -> None:
    content = packed_bytes(read_study(workshop.studies / "p02.nii.gz"))
    assert client.get("/info/").json()["vptct"]["uploads"]["forms"] == ["twelve_bits", "differences"]
    session = client.open_session(("study.vptct", content)).json()["session_id"]
    mine, whole = client.infer(session_id=session).json(), client.infer(image="p02.nii.gz").json()
    assert mine["prediction"] == whole["prediction"]
    assert mine["vptct"]["findings"][0]["clips"] == whole["vptct"]["findings"][0]["clips"]

    session = client.open_session(("study.vptct", content[:-1])).json()["session_id"]
    refused = client.infer(session_id=session)
    assert (refused.status_code, refused.json()["error"]) == (422, "UnreadableStudyError")
    assert "cut short or damaged" in refused.json()["detail"]


def test_a_packed_study_is_not_added_for_good(client, workshop) -> None:
    content = packed_bytes(read_study(workshop.studies / "p02.nii.gz"))
    files = {"file": ("study.vptct", content)}
    refused = requests.put(f"{client.process.url}/datastore/", files=files, timeout=60)
    assert 400 <= refused.status_code < 500, refused.text
    assert ".nrrd" in refused.text
