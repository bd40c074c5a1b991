"""Over HTTP: an answer as a DICOM structured report, as a file."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from fastapi.responses import JSONResponse
from held_predictor import publish, write_study

from vpt_plugin.store.lease import Order
from vpt_plugin.store.tokens import TokenFile


@pytest.fixture
def running(serve, tmp_path: Path) -> Callable[..., Any]:
    """A server over a study of DICOM and one of NIfTI."""

    def start(**conf: str) -> Any:
        for name in ("p01", "a.nii"):
            write_study(tmp_path / "studies" / name)
        publish(tmp_path / "models")
        return serve(conf)

    return start


def asked(running: Any, image: str = "p01", token: str = "", **query: str) -> Any:
    return running.ask("POST", "/report/nodule_tiny", params={"image": image, **query}, token=token)


def test_the_report_is_a_dicom_file_that_is_the_same_instance_each_time(running) -> None:
    server = running()
    first, second = asked(server), asked(server)
    assert first.status_code == 200, first.text
    assert first.headers["content-type"] == "application/dicom"
    report, again = (pydicom.dcmread(BytesIO(each.content)) for each in (first, second))
    assert report.Modality == "SR"
    assert report.SOPInstanceUID == again.SOPInstanceUID
    assert f'filename="{report.SOPInstanceUID}.dcm"' in first.headers["content-disposition"]
    said = server.ask("POST", "/infer/nodule_tiny", params={"image": "p01"}).json()
    assert said["vptct"]["kept"] is True
    numbers = [float(each.value) for each in report.iterall() if each.keyword == "NumericValue"]
    assert any(each == pytest.approx(said["prediction"][0]["score"], abs=1e-3) for each in numbers)


def test_a_study_that_is_no_dicom_has_nothing_that_a_report_could_refer_to(running) -> None:
    refused = asked(running(), "a.nii")
    assert (refused.status_code, refused.json()["error"]) == (422, "NotReportableError")


def test_a_report_is_sent_nowhere_where_studies_are_in_a_folder(running) -> None:
    refused = asked(running(report="archive"), send="true")
    assert (refused.status_code, refused.json()["error"]) == (405, "NotOfferedError")
    assert "in a folder" in refused.json()["detail"]


def test_where_reports_are_off_there_is_none_and_the_info_says_so(running) -> None:
    server = running(report="off")
    assert asked(server).status_code == 405
    assert server.ask("GET", "/info/").json()["vptct"]["features"]["report"] == "off"


def test_sending_takes_the_role_annotator_and_the_file_does_not(running, tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path / "tokens.txt")
    user, annotator = tokens.add("ursula", "user"), tokens.add("anna", "annotator")
    server = running(token_file=str(tmp_path / "tokens.txt"))
    assert asked(server, token=user).status_code == 200
    refused = asked(server, token=user, send="true")
    assert (refused.status_code, refused.json()["error"]) == (403, "RoleMissingError")
    assert asked(server, token=annotator, send="true").status_code == 405


def test_nothing_is_sent_beside_a_study_that_is_being_read_a_second_time_blind(
    running, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = running(report="archive")
    # Whether there is an archive is not the question here: none is reached.
    sent: list[str] = []
    monkeypatch.setattr("lib.routes.structured_report._archive_to_send_to", object)
    monkeypatch.setattr(
        "lib.routes.structured_report._sent", lambda *_: sent.append("it") or JSONResponse({})
    )
    leases = server.app.worklists.leases
    (lease,) = leases.offer([Order("p01", "nodule", "double-read", reading="second")], "ben")
    refused = asked(server, send="true")
    assert (refused.status_code, refused.json()["error"]) == (409, "LeaseError")
    assert "being read a second time" in refused.json()["detail"]
    assert "ben" not in refused.text
    # The file goes to who asks, and nowhere else.
    assert asked(server).status_code == 200
    leases.give_back("p01", lease.holder)
    # A first reading is not blind, nor is that of another task.
    for order in (
        Order("p01", "nodule", "auto"),
        Order("p01", "pe", "double-read", reading="second"),
    ):
        (lease,) = leases.offer([order], "ben")
        assert asked(server, send="true").status_code == 200
        leases.give_back("p01", lease.holder)
    assert sent == ["it", "it"]
