"""Reports in a real Orthanc: stored once, however often and by however many they are sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from orthanc_process import OrthancProcess
from pydicom.dataset import Dataset
from report_bench import CARD, answer, write_series

from vpt_plugin.dicom_report import Sent, read_source, report_of, send_report
from vpt_plugin.dicom_report.report import file_bytes
from vpt_plugin.errors import ArchiveError, ArchiveUnreachableError, CancelledError
from vpt_plugin.store.archive import ArchiveAddress, Credentials, DicomArchive
from vpt_plugin.store.archive.client import ArchiveClient, Patience
from vpt_plugin.store.archive.storing import require_stored, stored_as
from vpt_plugin.tasks import TASKS

LOGIN = ("anna", "a-secret")
QUICK = Patience(connect_seconds=2, silence_seconds=5, pauses_seconds=(0.01,), retry_seconds=5)


@pytest.fixture(scope="module")
def orthanc(new_orthanc: Callable[..., OrthancProcess], folder: Path) -> Iterator[OrthancProcess]:
    """One that asks for a login and holds the study that reports are about."""
    process = new_orthanc(login=LOGIN)
    process.send(folder)
    yield process
    process.stop(at_once=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_series(tmp_path_factory.mktemp("series") / "ct", PatientName="Müller^Ägidius")


@pytest.fixture
def report(folder: Path, request: pytest.FixtureRequest) -> Dataset:
    """A report that no other test sends: it is of another version of the model."""
    version = sum(request.node.name.encode())
    prediction = answer(conformal="unsure", card=replace(CARD, version=version))
    return report_of(prediction, read_source(folder), TASKS["nodule"])


def client(orthanc: OrthancProcess, **options: object) -> ArchiveClient:
    settings = {"credentials": Credentials(*LOGIN), "patience": QUICK, **options}
    return ArchiveClient(ArchiveAddress.parse(orthanc.url), **settings)  # type: ignore[arg-type]


def sent(report: Dataset, orthanc: OrthancProcess) -> Sent:
    with client(orthanc) as archive:
        return send_report(report, archive)


def held(report: Dataset, orthanc: OrthancProcess) -> list[Dataset]:
    """What the archive has under the report's UID, by its own interface."""
    query = {"Level": "Instance", "Query": {"SOPInstanceUID": report.SOPInstanceUID}}
    found = orthanc.http.post(f"{orthanc.rest_url}/tools/find", json=query).json()
    files = [orthanc.http.get(f"{orthanc.rest_url}/instances/{each}/file").content for each in found]
    return [pydicom.dcmread(BytesIO(each)) for each in files]


def test_a_report_comes_back_as_it_was_sent(report: Dataset, orthanc: OrthancProcess) -> None:
    done = sent(report, orthanc)
    assert (done.uid, done.already_there) == (report.SOPInstanceUID, False)
    (stored,) = held(report, orthanc)
    assert stored == pydicom.dcmread(BytesIO(file_bytes(report)))
    assert str(stored.PatientName) == "Müller^Ägidius"


def test_it_lies_in_the_study_of_its_ct_of_the_same_patient(report: Dataset, orthanc: OrthancProcess) -> None:
    sent(report, orthanc)
    (study,) = orthanc.http.get(f"{orthanc.rest_url}/studies?expand").json()
    assert study["MainDicomTags"]["StudyInstanceUID"] == report.StudyInstanceUID
    series = orthanc.http.get(f"{orthanc.rest_url}/series?expand").json()
    assert {each["MainDicomTags"]["Modality"] for each in series} == {"CT", "SR"}
    assert len(orthanc.http.get(f"{orthanc.rest_url}/patients").json()) == 1


def test_sent_twice_it_is_there_once(report: Dataset, orthanc: OrthancProcess) -> None:
    first = sent(report, orthanc)
    later = pydicom.dcmread(BytesIO(file_bytes(report)))
    later.ContentDate = datetime(2030, 1, 1).strftime("%Y%m%d")
    second = sent(later, orthanc)
    assert [first.already_there, second.already_there] == [False, True]
    # Who asks again gets the archive's, whatever day it is.
    assert second.report == first.report
    (stored,) = held(report, orthanc)
    assert stored.ContentDate == report.ContentDate


def test_after_a_restart_of_the_archive_it_is_known(report: Dataset, orthanc: OrthancProcess) -> None:
    sent(report, orthanc)
    orthanc.stop()
    orthanc.start()
    done = sent(report, orthanc)
    assert (done.uid, done.already_there) == (report.SOPInstanceUID, True)
    assert len(held(report, orthanc)) == 1


def test_sent_by_several_at_once_it_is_there_once(report: Dataset, orthanc: OrthancProcess) -> None:
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda _: sent(report, orthanc), range(6)))
    assert {each.uid for each in done} == {report.SOPInstanceUID}
    assert len(held(report, orthanc)) == 1


def test_something_else_under_its_uid_is_told_and_left_as_it_is(
    report: Dataset, orthanc: OrthancProcess
) -> None:
    other = pydicom.dcmread(BytesIO(file_bytes(report)))
    other.ContentSequence[-1].ContentSequence[0].ContentSequence[0].TextValue = "changed"
    sent(other, orthanc)
    with pytest.raises(ArchiveError, match="something else than this report under its UID"):
        sent(report, orthanc)
    assert held(report, orthanc) == [other]


def test_a_server_sends_it_to_the_archive_that_its_studies_are_from(
    report: Dataset, orthanc: OrthancProcess, tmp_path: Path
) -> None:
    archive = DicomArchive(
        ArchiveAddress.parse(orthanc.url), tmp_path, credentials=Credentials(*LOGIN), memory_seconds=60
    )
    with archive.conversation() as conversation:
        assert not send_report(report, conversation).already_there
    # The report is no CT series, so no study either.
    assert archive.ids() == [read_uid(report)]
    # Nobody listens at port 9.
    away = DicomArchive(ArchiveAddress.parse("http://127.0.0.1:9/dicom-web"), tmp_path / "away")
    with pytest.raises(ArchiveUnreachableError), away.conversation() as conversation:
        send_report(report, conversation)
    assert not away.state().reachable


def read_uid(report: Dataset) -> str:
    """The series that a report is about."""
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    return str(evidence.SeriesInstanceUID)


def test_a_refused_login_and_an_archive_that_is_down_are_told(
    report: Dataset, orthanc: OrthancProcess
) -> None:
    with (
        client(orthanc, credentials=Credentials("anna", "wrong")) as archive,
        pytest.raises(ArchiveUnreachableError, match="refuses the login"),
    ):
        send_report(report, archive)
    with client(orthanc, cancelled=lambda: True) as archive, pytest.raises(CancelledError):
        archive.store(file_bytes(report), report.StudyInstanceUID)
    assert held(report, orthanc) == []


class _Strict(BaseHTTPRequestHandler):
    """An archive that takes no instance twice, and hangs up before the first answer."""

    protocol_version = "HTTP/1.1"
    held: dict[str, bytes]
    refusal: tuple[int, bytes]
    loses_it = False

    def do_GET(self) -> None:
        data = self.held.get(self.path.rpartition("/")[2])
        self._answer(404 if data is None else 200, "application/dicom", data or b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.loses_it or self.held:
            self._answer(self.refusal[0], "application/dicom+json", self.refusal[1])
            return
        data = body.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
        self.held[str(pydicom.dcmread(BytesIO(data)).SOPInstanceUID)] = data
        self.close_connection = True

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def strict_archive(**behaviour: object) -> Iterator[tuple[ArchiveClient, dict[str, bytes]]]:
    """A conversation with it, and what it holds."""
    handler = type("Handler", (_Strict,), {"held": {}, **behaviour})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    address = ArchiveAddress.parse(f"http://127.0.0.1:{server.server_port}/dicom-web")
    try:
        with ArchiveClient(address, patience=QUICK) as archive:
            yield archive, handler.held  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


FAILED = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0x0111]}}]}}
REFUSALS = {"409": (409, b""), "failed instance": (202, json.dumps(FAILED).encode())}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_refused_second_try_is_no_failure_where_the_first_was_stored(
    refusal: tuple[int, bytes], report: Dataset
) -> None:
    with strict_archive(refusal=refusal) as (archive, held_there):
        done = send_report(report, archive)
        assert (done.uid, done.already_there) == (report.SOPInstanceUID, False)
        assert held_there == {report.SOPInstanceUID: file_bytes(report)}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_of_what_is_not_there_is_told(refusal: tuple[int, bytes], report: Dataset) -> None:
    with strict_archive(refusal=refusal, loses_it=True) as (archive, _), pytest.raises(ArchiveError):
        send_report(report, archive)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"00081197": {"vr": "US", "Value": ["duplicate"]}}], "reason duplicate"),
        ([{"00081197": {"vr": "US", "Value": [0x0111]}}], "reason 0x0111"),
        ([{"00081197": {"vr": "US"}}], "it does not say why"),
        ([{"00081197": None}], "it does not say why"),
        (["no row"], "it does not say why"),
        ({"00081197": "no list"}, "it does not say why"),
    ],
)
def test_whatever_an_archive_says_of_a_failure_is_told_in_words(rows: object, told: str) -> None:
    with pytest.raises(ArchiveError, match=rf"does not store the file \({told}\)"):
        require_stored({"00081198": {"Value": rows}}, "pacs.lan")


def test_an_archive_that_says_it_did_not_store_the_file_is_believed() -> None:
    failed = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xA700]}}]}}
    with pytest.raises(ArchiveError, match=r"pacs\.lan does not store the file \(reason 0xa700\)"):
        require_stored(failed, "pacs.lan")
    with pytest.raises(ArchiveError, match="does not store the file"):
        require_stored({"00081198": {"Value": [{}]}}, "pacs.lan")
    for stored in ({"00081199": {"vr": "SQ", "Value": [{}]}}, {"00081198": {"vr": "SQ"}}, None, []):
        require_stored(stored, "pacs.lan")


def test_the_body_of_a_request_holds_the_file_byte_for_byte() -> None:
    data = b"\r\n--a boundary--\r\n\x00\xff"
    headers, body = stored_as(data)
    boundary = headers["Content-Type"].partition("boundary=")[2].encode()
    head, _, rest = body.partition(b"\r\n\r\n")
    assert head == b"--" + boundary + b"\r\nContent-Type: application/dicom"
    assert rest == data + b"\r\n--" + boundary + b"--\r\n"
