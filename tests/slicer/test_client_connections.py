"""Connections that break, stall or lie: what the client makes of them, and what it asks again."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from authority import new_authority
from scripted_server import ScriptedServer, answer, drip, drop, half, silence, slow_reader
from VPTCTLib.client import Client
from VPTCTLib.contract.label import FindingLabel, StudyLabel
from VPTCTLib.errors import (
    CancelledError,
    ContractError,
    LocalFileError,
    NotNowError,
    RefusedError,
    ServerFailedError,
    TimedOutError,
    TooLargeError,
    UnreachableError,
    UntrustedServerError,
)
from VPTCTLib.routes.worklist import Wish
from VPTCTLib.transport import upload
from VPTCTLib.transport.cancel import Cancel
from VPTCTLib.transport.connection import Connection
from VPTCTLib.transport.request import Patience, Request, get
from VPTCTLib.transport.retry import RetryRule
from VPTCTLib.transport.upload import Form, no_progress, study_parts

CONTRACT = Path(__file__).resolve().parents[1] / "contract"
PERSON = {"username": "anna", "role": "annotator"}
SAVED = {
    "image": "s", "label": "s.pe.0001", "version": 1, "sha256": "0", "saved": "", "previous_version": None,
    "previous_annotator": None,
}  # fmt: skip
BUSY = {"detail": "too many requests wait already.", "hint": "Try again."}
LABEL = StudyLabel("pe", {"pulmonary_embolism": FindingLabel("absent")})
THREE = RetryRule(attempts=3, first_wait_seconds=0.01, factor=1.0)


def connection(server: ScriptedServer, **options: object) -> Connection:
    return Connection(server.url, **{"retry": THREE, **options})


def name_of(server: ScriptedServer) -> str:
    return Client(connection(server)).access.who_am_i().name


def test_what_only_looks_is_asked_again_after_a_dropped_connection_half_an_answer_and_503() -> None:
    good = json.dumps(PERSON).encode()
    for bad in (drop, half(good), answer(503, BUSY), answer(502, b"<html>Bad Gateway</html>")):
        with ScriptedServer([bad, answer(200, good)]) as server:
            assert name_of(server) == "anna"
            assert len(server.asked) == 2


def test_it_is_asked_three_times_and_no_more() -> None:
    with ScriptedServer([drop]) as server:
        with pytest.raises(UnreachableError, match=r"the connection to .* broke"):
            name_of(server)
        assert len(server.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 422, 500, 507])
def test_what_would_be_answered_the_same_is_not_asked_again(status: int) -> None:
    with ScriptedServer([answer(status, {"detail": "no.", "hint": "Do."})]) as server:
        with pytest.raises(RefusedError) as refused:
            name_of(server)
        assert len(server.asked) == 1
    assert (refused.value.status, refused.value.detail, refused.value.hint) == (status, "no.", "Do.")
    assert isinstance(refused.value, ServerFailedError) == (status >= 500)


def test_a_label_is_sent_again_only_upon_a_version_and_an_order_to_roll_back_never() -> None:
    with ScriptedServer([drop, answer(200, SAVED)]) as server:
        assert Client(connection(server)).labels.save("s", LABEL, if_version=0).version == 1
        first, second = server.asked
        assert (first.method, first.path) == ("PUT", "/datastore/label?image=s&if_version=0")
        assert first.path == second.path
    with ScriptedServer([drop]) as server:
        client = Client(connection(server))
        with pytest.raises(UnreachableError):
            client.labels.save("s", LABEL)
        with pytest.raises(UnreachableError):
            client.versions.rollback("pe_tiny")
        assert len(server.asked) == 2


def test_a_wish_for_a_study_is_sent_again_as_the_same_wish() -> None:
    offer = json.loads((CONTRACT / "active.json").read_text(encoding="utf-8"))["next"]
    with ScriptedServer([drop, half(b"x" * 10), answer(200, offer)]) as server:
        worklist = Client(connection(server)).worklist
        assert worklist.next(Wish("pe")).proposals[0].study == "p17--ct"
        worklist.next(Wish("pe"))
        *one, other = [json.loads(asked.body)["wish_id"] for asked in server.asked]
    assert len({*one}) == 1 != len({*one, other})
    assert len(one) == 3


def test_of_an_older_server_a_study_is_asked_without_a_wish_and_once() -> None:
    offer = json.loads((CONTRACT / "active.json").read_text(encoding="utf-8"))["next"]
    unknown = answer(400, {"error": "BadRequestError", "detail": "the body: wish_id is unknown", "hint": ""})
    with ScriptedServer([unknown, answer(200, offer), drop]) as server:
        worklist = Client(connection(server)).worklist
        assert worklist.next(Wish("pe")).proposals[0].study == "p17--ct"
        with pytest.raises(UnreachableError):
            worklist.next(Wish("pe"))
        told = ["wish_id" in json.loads(asked.body) for asked in server.asked]
    assert told == [True, False, False]
    other = answer(400, {"error": "BadRequestError", "detail": "n must be a whole number.", "hint": ""})
    with ScriptedServer([other]) as server, pytest.raises(RefusedError, match="whole number"):
        Client(connection(server)).worklist.next(Wish("pe"))


def test_the_client_waits_as_long_as_the_server_asks_for_but_not_for_minutes() -> None:
    with ScriptedServer([answer(503, BUSY, Retry_After="1"), answer(200, PERSON)]) as server:
        began = time.monotonic()
        assert name_of(server) == "anna"
        assert time.monotonic() - began >= 1
    with ScriptedServer([answer(429, BUSY, Retry_After="300")]) as server:
        with pytest.raises(NotNowError) as busy:
            name_of(server)
        assert busy.value.retry_after_seconds == 300
        assert len(server.asked) == 1


def test_a_server_that_is_not_there_and_one_that_is_no_name_are_told_apart() -> None:
    with ScriptedServer([drop]) as server:
        url = server.url
    with pytest.raises(UnreachableError, match="refuses the connection"):
        Client(Connection(url, retry=THREE)).access.info()
    with pytest.raises(UnreachableError, match="no computer of this name"):
        Client(Connection("http://no-such-host.invalid", retry=THREE)).access.info()


def test_silence_and_a_body_that_drips_end_by_the_clock() -> None:
    stall = Patience(stall_seconds=0.2, total_seconds=5)
    total = Patience(stall_seconds=5, total_seconds=0.4)
    with ScriptedServer([silence]) as server:
        with pytest.raises(TimedOutError, match=r"nothing came .* for 0\.2 s"):
            connection(server).json(Request("POST", "/x", patience=stall))
        assert server.hung_up.wait(5)
    with ScriptedServer([drip(b"x" * 400, every_seconds=0.02)]) as server:
        began = time.monotonic()
        with pytest.raises(TimedOutError, match=r"longer than 0\.4 s"):
            connection(server).json(Request("POST", "/x", patience=total))
        assert time.monotonic() - began < 2
        assert server.hung_up.wait(5)


def test_cancelling_closes_the_connection_wherever_the_request_is() -> None:
    for play in (silence, drip(b"x" * 4000, every_seconds=0.02)):
        with ScriptedServer([play]) as server:
            cancel = Cancel()
            threading.Timer(0.2, cancel.ask).start()
            began = time.monotonic()
            with pytest.raises(CancelledError):
                Client(connection(server)).studies.classify("pe_tiny", "p17", cancel)
            assert time.monotonic() - began < 1.5
            assert server.hung_up.wait(5)


def test_cancelling_ends_the_wait_between_two_attempts_and_what_comes_after() -> None:
    slow = RetryRule(attempts=3, first_wait_seconds=60.0, longest_wait_seconds=60.0)
    cancel = Cancel()
    with ScriptedServer([drop]) as server:
        client = Client(connection(server, retry=slow))
        threading.Timer(0.2, cancel.ask).start()
        with pytest.raises(CancelledError):
            client.access.info(cancel)
        with pytest.raises(CancelledError):
            client.access.info(cancel)
        assert len(server.asked) == 1


def test_an_upload_streams_tells_how_far_it_is_and_names_no_patient(tmp_path: Path) -> None:
    study = tmp_path / "MUELLER_Anna_19500101.nii.gz"
    study.write_bytes(b"0123456789" * 300_000)
    told: list[tuple[int, int]] = []
    session = {"session_id": "abc", "session_info": {"name": "abc", "expiry": 3600}}
    with ScriptedServer([answer(200, session)]) as server:
        client = Client(connection(server))
        assert client.studies.upload([study], progress=lambda *done: told.append(done)).id == "abc"
        (asked,) = server.asked
    assert "Transfer-Encoding" not in asked.headers
    assert told[-1] == (len(asked.body), int(asked.headers["Content-Length"]))
    assert len(told) > 100
    assert asked.body.count(b"0123456789") == 300_000
    assert b'filename="study.nii.gz"' in asked.body
    assert b"MUELLER" not in asked.body + asked.path.encode()


def test_a_server_that_is_slow_to_take_an_upload_is_waited_for(tmp_path: Path) -> None:
    study = tmp_path / "s.nii"
    with study.open("wb") as file:
        file.truncate(24 << 20)
    refusal = answer(413, {"detail": "too large.", "hint": "Smaller."})
    impatient = Patience(connect_seconds=0.3, stall_seconds=10, total_seconds=None)
    with ScriptedServer([slow_reader(1.0, refusal)], reads_body=False) as server:

        def form() -> Form:
            return Form(study_parts([study], "file"), no_progress, Cancel())

        # It refuses without having read it, and hangs up: either is fine, but not that it was too slow.
        with pytest.raises((TooLargeError, UnreachableError)) as ended:
            connection(server).json(Request("POST", "/infer/x", form=form, patience=impatient))
        assert not isinstance(ended.value, TimedOutError)


def test_a_file_that_is_gone_or_shrinks_is_told_by_name_and_the_server_is_left_alone(tmp_path: Path) -> None:
    with ScriptedServer([answer(200, {})]) as server:
        studies = Client(connection(server)).studies
        with pytest.raises(LocalFileError, match=r"gone\.nii cannot be read"):
            studies.upload([tmp_path / "gone.nii"])
        assert server.asked == []
        shrinking = tmp_path / "s.nii"
        shrinking.write_bytes(b"x" * (8 << 20))
        with pytest.raises(LocalFileError, match="became shorter"):
            studies.upload([shrinking], progress=lambda *_: shrinking.write_bytes(b""))


def test_an_address_that_moved_is_told_and_the_token_does_not_follow() -> None:
    with ScriptedServer([answer(301, b"", Location="https://ct.example.org/info/")]) as server:
        with pytest.raises(RefusedError, match=r"elsewhere: .* https://ct\.example\.org/info/"):
            Client(connection(server)).access.info()
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    "body", [b"<html>Welcome!</html>", b'{"vptct": NaN}', b"[" * 100_000, b"\xff", b"[]"]
)
def test_an_answer_that_is_none_of_ours_is_said_to_be_that(body: bytes) -> None:
    with ScriptedServer([answer(200, body)]) as server, pytest.raises(ContractError, match="VPTCT server"):
        Client(connection(server)).access.info()


def test_a_study_that_came_in_part_is_not_there(tmp_path: Path) -> None:
    with ScriptedServer([half(b"x" * 1000)]) as server, pytest.raises(UnreachableError):
        Client(connection(server)).studies.download("s", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_login_a_study_is_kept_by_the_readers_name_or_the_leases_holder() -> None:
    held = dict.fromkeys(("study", "task", "reader", "reading", "since", "until"), "x")
    with ScriptedServer([answer(200, held)]) as server:
        worklist = Client(connection(server), reader="anna").worklist
        worklist.extend("p 1/ct", holder="nameless-1")
        worklist.skip("p1", "unsure", task="pe")
        extended, skipped = server.asked
    assert extended.path == "/activelearning/leases/p%201%2Fct?client_id=anna&holder=nameless-1"
    assert json.loads(skipped.body) == {"reason": "unsure", "task": "pe", "comment": "", "client_id": "anna"}
    assert "Authorization" not in extended.headers


def test_a_proxy_is_used_but_not_before_this_very_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with (
        ScriptedServer([answer(200, PERSON), silence]) as proxy,
        ScriptedServer([answer(200, PERSON)]) as server,
    ):
        monkeypatch.setenv("http_proxy", proxy.url)
        assert name_of(server) == "anna"
        assert proxy.asked == []
        behind = Client(Connection("http://ct.example.org", retry=THREE))
        assert behind.access.who_am_i().name == "anna"
        assert proxy.asked[0].path == "http://ct.example.org/auth/token/valid"
        cancel = Cancel()
        threading.Timer(0.2, cancel.ask).start()
        with pytest.raises(CancelledError):
            behind.access.who_am_i(cancel)
        assert proxy.hung_up.wait(5)


def test_a_password_of_another_program_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with ScriptedServer([answer(200, PERSON)]) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        Client(Connection("http://ct.example.org", retry=THREE)).access.who_am_i()
        assert "Authorization" not in proxy.asked[0].headers


def test_no_connection_stays_open_not_even_after_a_refusal_that_somebody_keeps() -> None:
    gone = threading.Event()

    def refuse(client: socket.socket) -> None:
        body = b'{"detail": "no.", "hint": ""}'
        client.sendall(b"HTTP/1.1 403 No\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        assert client.recv(1) == b""
        gone.set()

    with ScriptedServer([refuse]) as server:
        with pytest.raises(RefusedError) as kept:
            name_of(server)
        assert gone.wait(2)
        assert kept.value.status == 403


def test_a_certificate_is_checked_and_a_sites_own_authority_can_be_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, context = new_authority(tmp_path)
    with ScriptedServer([answer(200, PERSON)], tls=context) as server:
        with pytest.raises(UntrustedServerError, match="certificate"):
            name_of(server)
        # What another program is told to trust does not take the place of what was chosen here.
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
        trusting = Client(connection(server, ca_bundle=str(certificate)))
        assert trusting.access.who_am_i().name == "anna"
    with ScriptedServer([silence], tls=context) as server:
        cancel = Cancel()
        threading.Timer(0.2, cancel.ask).start()
        with pytest.raises(CancelledError):
            connection(server, ca_bundle=str(certificate)).json(get("/x"), cancel)
        assert server.hung_up.wait(5)


def test_an_upload_tells_how_long_it_was_sent_and_not_how_long_it_was_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(upload, "time", SimpleNamespace(perf_counter=lambda: clock.now))

    class Slow:
        ending, size_bytes = ".vptct", 4

        def pieces(self) -> Iterator[bytes]:
            for piece in (b"ab", b"cd"):
                clock.now += 100.0
                yield piece

    form = Form(study_parts([Slow()], "file"), no_progress, Cancel())
    pieces = 0
    while form.read(1 << 20):
        clock.now += 0.25
        pieces += 1
    clock.now += 1000.0  # until the answer comes
    assert form.read() == b""
    assert (pieces, form.sending_seconds) == (5, 1.25)  # a head, two pieces, and what ends part and form


@pytest.mark.parametrize("way", ["upload", "classify_file"])
def test_every_upload_tells_how_fast_the_link_is(tmp_path: Path, way: str) -> None:
    study = tmp_path / "s.nii"
    study.write_bytes(bytes(1_000_000))
    session = {"session_id": "abc", "session_info": {"name": "abc", "expiry": 3600}}
    said = session if way == "upload" else json.loads((CONTRACT / "result.json").read_text(encoding="utf-8"))
    with ScriptedServer([answer(200, said)]) as server:
        studies = Client(connection(server)).studies
        assert studies.link.bytes_per_second is None
        studies.upload([study]) if way == "upload" else studies.classify_file("nodule_tiny", study)
        assert studies.link.bytes_per_second is not None
