"""An archive that is down, lets nobody in or is none: what is said, how quickly, and that it comes back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest
from archive_bench import QUICK, Rude, bytes_in, bytes_of, write_series
from orthanc_process import OrthancProcess

from vpt_plugin.errors import ArchiveUnreachableError
from vpt_plugin.store.archive import Credentials, DicomArchive

ArchiveAt = Callable[..., DicomArchive]


def test_an_archive_that_is_down_at_the_start_is_told_and_found_when_it_is_up(
    orthanc: OrthancProcess, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a")
    orthanc.put(series.files.values())
    orthanc.stop(at_once=True)
    archive = archive_at(orthanc.url)
    archive.refresh()
    state = archive.state()
    assert (state.kind, state.reachable) == ("archive", False)
    assert archive.name in state.problem
    for ask in (archive.ids, lambda: archive.require(series.uid), lambda: archive.facts(series.uid)):
        with pytest.raises(ArchiveUnreachableError, match="nobody answers there") as told:
            ask()
        assert told.value.hint
    orthanc.start()
    assert archive.ids() == [series.uid]
    assert archive.state().reachable
    with archive.opened(series.uid) as study:
        assert (bytes_in(study.path), study.notes) == (bytes_of(series), ())


def test_a_whole_copy_is_read_while_the_archive_is_down_and_that_is_told(
    orthanc: OrthancProcess, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    here, elsewhere = write_series(tmp_path, "a"), write_series(tmp_path, "bb")
    orthanc.put([*here.files.values(), *elsewhere.files.values()])
    with archive_at(orthanc.url).opened(here.uid):
        pass
    orthanc.stop(at_once=True)
    restarted = archive_at(orthanc.url)
    assert restarted.ids() == sorted([here.uid, elsewhere.uid])
    with restarted.opened(here.uid) as study:
        assert bytes_in(study.path) == bytes_of(here)
        today = datetime.now(timezone.utc).date().isoformat()
        assert study.notes == (f"The archive cannot be reached: this is the copy of {today}.",)
    with (
        pytest.raises(ArchiveUnreachableError, match="not whole in the cache"),
        restarted.opened(elsewhere.uid),
    ):
        pass
    orthanc.start()
    restarted.refresh()
    for series in (here, elsewhere):
        with restarted.opened(series.uid) as study:
            assert study.notes == ()


def test_a_copy_is_read_while_something_else_answers_at_the_address(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a")
    rude.series = [series]
    archive = archive_at(rude.url, patience=QUICK)
    with archive.opened(series.uid):
        pass
    # A proxy before the archive says so of all that is below the address; the series is not gone.
    rude.before = lambda path: (404, "text/html", b"<html>no such page</html>")
    with archive.opened(series.uid) as study:
        assert bytes_in(study.path) == bytes_of(series)
        assert len(study.notes) == 1


def test_what_is_left_of_a_killed_process_is_not_read_with_the_copy(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a")
    rude.series = [series]
    with archive_at(rude.url).opened(series.uid) as study:
        (study.path / ".1.2.dcm.0a1b.tmp").write_bytes(b"half a slice")
        (study.path / "1.2.3.dcm").write_bytes(b"an instance that left the archive")
    rude.before = lambda path: (503, "text/plain", b"")
    with archive_at(rude.url, patience=QUICK).opened(series.uid) as study:
        assert bytes_in(study.path) == bytes_of(series)


def test_a_copy_is_read_even_where_the_listing_was_lost(
    orthanc: OrthancProcess, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a")
    orthanc.put(series.files.values())
    with archive_at(orthanc.url).opened(series.uid):
        pass
    orthanc.stop(at_once=True)
    (listing,) = (tmp_path / "cache").glob("listing-*.json")
    listing.unlink()
    with archive_at(orthanc.url).opened(series.uid) as study:
        assert bytes_in(study.path) == bytes_of(series)


def test_a_copy_that_the_archive_has_more_of_is_no_whole_copy(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a", slices=6)
    rude.series, rude.listed = [series], {series.uid: list(series.files)[:4]}
    rude.row_values = {"00201209": {"vr": "IS", "Value": [4]}}
    archive = archive_at(rude.url, patience=QUICK)
    with archive.opened(series.uid) as study:
        assert len(bytes_in(study.path)) == 4
    rude.listed.clear()
    rude.before = lambda path: (503, "text/plain", b"") if "/instances/" in path else None
    with pytest.raises(ArchiveUnreachableError, match="4 of 6 slices"), archive.opened(series.uid):
        pass
    rude.before = lambda path: (503, "text/plain", b"")
    with pytest.raises(ArchiveUnreachableError, match="not whole"), archive.opened(series.uid):
        pass


def test_a_failure_is_remembered_for_a_while_so_that_nobody_waits(rude: Rude, archive_at: ArchiveAt) -> None:
    archive = archive_at(rude.url, patience=QUICK, memory_seconds=0.5)
    rude.before = lambda path: (502, "text/plain", b"")
    for _ in range(50):
        with pytest.raises(ArchiveUnreachableError, match=r"not up \(it answers 502\)"):
            archive.ids()
    assert len(rude.asked) == 3  # one question and its two repetitions
    rude.before = lambda path: None
    time.sleep(0.6)
    assert archive.ids() == []


def test_while_a_failure_is_remembered_no_thread_is_started_to_ask(
    rude: Rude, archive_at: ArchiveAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archive_at(rude.url, patience=QUICK, memory_seconds=100)
    assert archive.ids() == []
    rude.before = lambda path: (502, "text/plain", b"")
    archive.refresh()
    started = []
    monkeypatch.setattr(threading.Thread, "start", started.append)
    assert [archive.ids() for _ in range(20)] == [[]] * 20
    assert started == []


def test_while_one_finds_out_whether_a_silent_archive_is_back_the_others_do_not_wait(
    rude: Rude, archive_at: ArchiveAt
) -> None:
    archive = archive_at(rude.url, patience=QUICK, memory_seconds=0.0)
    rude.before = lambda path: time.sleep(1.0)
    with pytest.raises(ArchiveUnreachableError, match="is silent"):
        archive.ids()
    finding_out = threading.Thread(target=archive.refresh)
    asked = len(rude.asked)
    finding_out.start()
    while len(rude.asked) == asked:
        time.sleep(0.01)
    began = time.monotonic()
    for _ in range(10):
        with pytest.raises(ArchiveUnreachableError, match="is silent"):
            archive.ids()
    assert time.monotonic() - began < 0.3
    finding_out.join()


def test_a_login_is_sent_and_a_wrong_one_is_told_without_repeating_it(
    new_orthanc: Callable[..., OrthancProcess],
    archive_at: ArchiveAt,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    orthanc = new_orthanc(login=("reader", "geheim"))
    series = write_series(tmp_path, "a")
    orthanc.put(series.files.values())
    with archive_at(orthanc.url, credentials=Credentials("reader", "geheim")).opened(series.uid) as study:
        assert bytes_in(study.path) == bytes_of(series)

    for credentials, told in (
        (None, "wants a login"),
        (Credentials("reader", "wrong-geheim"), "refuses the login"),
    ):
        archive = archive_at(orthanc.url, credentials=credentials)
        with pytest.raises(ArchiveUnreachableError, match=told) as refused:
            archive._listing.look()
        assert "MONAI_LABEL_DATASTORE_PASSWORD" in refused.value.hint
        # The archive says no: a copy from better times is not handed out instead.
        with pytest.raises(ArchiveUnreachableError, match=told), archive.opened(series.uid):
            pass
        assert "geheim" not in f"{refused.value} {archive.state()}"
    assert "geheim" not in caplog.text


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ((200, "text/html", b"<html>Log in, please</html>"), "a web page or other text"),
        ((404, "text/html", b"<html>not here</html>"), "a search is answered with 404"),
        ((500, "text/plain", b"trouble"), "answers 500"),
        ((200, "application/json", b'["0a1b", "2c3d"]'), "no list of DICOM results"),
        ((200, "application/json", b'{"Error": "nothing"}'), "no list of DICOM results"),
        ((302, "text/html", b""), r"sends on to another address \(http://login.invalid/in\)"),
    ],
)
def test_what_is_no_dicomweb_is_told_with_the_way_out(
    rude: Rude, archive_at: ArchiveAt, answer: tuple[int, str, bytes], cause: str
) -> None:
    rude.before = lambda path: answer
    with pytest.raises(ArchiveUnreachableError, match=cause) as told:
        archive_at(rude.url, patience=QUICK).ids()
    assert told.value.hint


def test_orthancs_own_interface_is_not_taken_for_dicomweb(
    orthanc: OrthancProcess, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    orthanc.put(write_series(tmp_path, "a").files.values())
    with pytest.raises(ArchiveUnreachableError, match="no DICOMweb service") as told:
        archive_at(orthanc.rest_url).ids()
    assert "/dicom-web" in told.value.hint


def test_a_certificate_of_ones_own_authority_is_trusted_when_it_is_named(
    rude_over_tls: tuple[Rude, Path],
    archive_at: ArchiveAt,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rude, certificate = rude_over_tls
    series = write_series(tmp_path, "a")
    rude.series = [series]
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with pytest.raises(ArchiveUnreachableError, match=r"TLS fails.*self.signed certificate") as told:
        archive_at(rude.url, patience=QUICK).ids()
    assert "REQUESTS_CA_BUNDLE" in told.value.hint
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "no such file"))
    with pytest.raises(ArchiveUnreachableError, match="REQUESTS_CA_BUNDLE names no file"):
        archive_at(rude.url, patience=QUICK).ids()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with archive_at(rude.url).opened(series.uid) as study:
        assert bytes_in(study.path) == bytes_of(series)


@pytest.mark.parametrize(
    ("address", "cause"),
    [("http://no-such-archive.invalid/", "not known by that name"), ("{https}/dicom-web", "TLS fails")],
)
def test_an_address_that_leads_nowhere_is_told(
    rude: Rude, archive_at: ArchiveAt, address: str, cause: str
) -> None:
    https = rude.url.replace("http:", "https:").removesuffix("/dicom-web")
    with pytest.raises(ArchiveUnreachableError, match=cause):
        archive_at(address.format(https=https), patience=QUICK).ids()
