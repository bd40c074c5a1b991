"""What is too large is refused as early as it shows, the client gets to read why, and nothing stays."""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vpt_plugin.store.tokens import TokenFile

MIB = 1 << 20
ONLY_UNIX = pytest.mark.skipif(os.name == "nt", reason="counts open files in /dev/fd")
# 2 MB for an upload, 5 MB for all sessions.
SMALL = {"max_upload_gb": "0.002", "max_sessions_gb": "0.005"}
TOO_LARGE = {
    "error": "TooLargeError",
    "detail": "the request is larger than the 1.91 MiB that are accepted here.",
    "hint": "Who runs the server sets the limit of uploads with --conf max_upload_gb.",
}
HEAD, TAIL = (
    b'--b\r\nContent-Disposition: form-data; name="files"; filename="ct.nii"\r\n\r\n',
    b"\r\n--b--\r\n",
)


def form(size_bytes: int) -> bytes:
    """A form with one file, of so many bytes altogether."""
    return HEAD + b"x" * (size_bytes - len(HEAD) - len(TAIL)) + TAIL


class Talk:
    """One connection, in plain bytes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)

    def say(self, line: str, *headers: str) -> None:
        lines = [line + " HTTP/1.1", "Host: 127.0.0.1", "Content-Type: multipart/form-data; boundary=b"]
        self.socket.sendall("\r\n".join([*lines, *headers, "", ""]).encode())

    def answer(self) -> tuple[int, bytes]:
        response = http.client.HTTPResponse(self.socket)
        response.begin()
        try:
            return response.status, response.read()
        finally:
            response.close()

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


@pytest.fixture
def running(serve):  # type: ignore[no-untyped-def]
    return serve(SMALL)


@pytest.fixture
def port(running) -> Iterator[int]:  # type: ignore[no-untyped-def]
    with running.listening() as port:
        yield port
    assert running.left_behind() == []


def sessions_of(tmp_path: Path) -> list[str]:
    """The names in the server's folder of sessions, below the one of this process."""
    return sorted(path.name for path in (tmp_path / "sessions").glob("vptct-process-*/*"))


def open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_a_length_over_the_limit_is_refused_before_anything_is_sent(port: int) -> None:
    with Talk(port) as talk:
        talk.say("PUT /session/", "Content-Length: 2000001")
        status, body = talk.answer()
    assert (status, json.loads(body)) == (413, TOO_LARGE)


def test_who_asks_first_is_told_before_sending(port: int) -> None:
    with Talk(port) as talk:
        talk.say("PUT /session/", "Content-Length: 2000001", "Expect: 100-continue", "Connection: close")
        began = time.monotonic()
        status, body = talk.answer()
        # It hangs up at once: its patience is for who sends without asking.
        assert talk.socket.recv(1) == b""
        assert time.monotonic() - began < 1
    assert (status, json.loads(body)) == (413, TOO_LARGE)


def test_who_asks_first_may_send_what_is_small_enough(port: int, tmp_path: Path) -> None:
    with Talk(port) as talk:
        talk.say("PUT /session/", "Content-Length: 2000000", "Expect: 100-continue")
        assert talk.socket.recv(100).startswith(b"HTTP/1.1 100")
        talk.socket.sendall(form(2_000_000))
        status, body = talk.answer()
    assert (status, sessions_of(tmp_path)) == (200, [json.loads(body)["session_id"]])


# A server that keeps the connection reads on by itself; many proxies ask it to close it.
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_who_sends_without_asking_gets_the_answer_all_the_same(
    port: int, tmp_path: Path, connection: str
) -> None:
    # 20 MB are more than the buffers between the two can take: the server has to read on.
    with Talk(port) as talk:
        talk.say("PUT /session/", "Content-Length: 20000000", f"Connection: {connection}")
        talk.socket.sendall(form(20_000_000))
        status, body = talk.answer()
    assert (status, json.loads(body)) == (413, TOO_LARGE)
    assert sessions_of(tmp_path) == []


def test_a_body_that_does_not_say_its_length_is_refused_when_it_is_too_long(
    port: int, tmp_path: Path
) -> None:
    with Talk(port) as talk:
        talk.say("PUT /session/", "Transfer-Encoding: chunked")
        sent = form(3_000_000)
        for start in range(0, len(sent), MIB):
            piece = sent[start : start + MIB]
            talk.socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        talk.socket.sendall(b"0\r\n\r\n")
        status, body = talk.answer()
    assert (status, json.loads(body)) == (413, TOO_LARGE)
    assert sessions_of(tmp_path) == []


@pytest.mark.parametrize(
    "line",
    [
        "PUT /datastore/label?image=a.nii",
        "PUT /datastore/image/info?image=a.nii",
        "POST /activelearning/random",
        "POST /auth/token",
        "GET /info/",
        "POST /train/",
        "PUT /nothing/there",
    ],
)
def test_what_brings_no_study_may_be_a_megabyte_and_no_more(port: int, line: str) -> None:
    with Talk(port) as talk:
        talk.say(line, f"Content-Length: {MIB + (64 << 10) + 1}")
        status, body = talk.answer()
    assert (status, json.loads(body)["detail"]) == (
        413, "the request is larger than the 1.06 MiB that are accepted here.",
    )  # fmt: skip


def test_who_lacks_a_login_is_told_so_in_the_middle_of_an_upload(serve, tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens")
    file.add("anna", "user")
    with serve({"token_file": str(file.path)}).listening() as port, Talk(port) as talk:
        talk.say("PUT /session/", "Content-Length: 20000000", "Connection: close")
        talk.socket.sendall(form(20_000_000))
        status, body = talk.answer()
    assert (status, json.loads(body)["detail"]) == (401, "this server wants a login.")


@ONLY_UNIX
def test_a_client_that_hangs_up_in_its_upload_leaves_nothing(running, port: int, tmp_path: Path) -> None:
    before = open_files()
    for line in ("PUT /session/", "POST /infer/nodule_tiny", "PUT /session/?uncompress=true"):
        with Talk(port) as talk:
            talk.say(line, "Content-Length: 1900000")
            talk.socket.sendall(form(1_900_000)[:1_500_000])
            time.sleep(0.2)
    deadline = time.monotonic() + 10
    # The temporary file has no name, so it counts as long as it is open.
    while open_files() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert open_files() <= before
    assert sessions_of(tmp_path) == []
    assert running.left_behind() == []


def test_sessions_take_their_room_and_no_more(running, tmp_path: Path) -> None:
    def upload() -> tuple[int, dict[str, object], str | None]:
        answer = running.ask("PUT", "/session/", files={"files": ("ct.nii", b"x" * 1_800_000)})
        return answer.status_code, answer.json(), answer.headers.get("retry-after")

    first, second = upload(), upload()
    assert (first[0], second[0]) == (200, 200)
    status, told, retry_after = upload()
    assert (status, retry_after) == (413, "300")
    assert told["detail"] == "the uploaded studies on this server would take more than 0.005 GB together."
    assert len(sessions_of(tmp_path)) == 2
    running.ask("DELETE", f"/session/{first[1]['session_id']}")
    assert upload()[0] == 200


@ONLY_UNIX
def test_an_upload_takes_one_open_file_however_many_it_has(
    serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = serve({"max_upload_gb": "1"})
    # Of both sides of the megabyte from which Starlette would open a file for each.
    slices = [(f"IM{number}", bytes([number]) * (MIB - 30 + number)) for number in range(60)]
    create = running.app.sessions().create
    opened = []

    def counted(files, **options):  # type: ignore[no-untyped-def]
        opened.append(open_files())
        return create(files, **options)

    monkeypatch.setattr(running.app.sessions(), "create", counted)
    before = open_files()
    created = running.ask("PUT", "/session/", files=[("files", each) for each in slices])
    assert created.status_code == 200, created.text
    # The event loop and its connection have some, too.
    assert opened[0] - before < 15
    (study,) = (tmp_path / "sessions").glob(f"vptct-process-*/{created.json()['session_id']}/study")
    assert {path.name: path.read_bytes() for path in study.iterdir()} == dict(slices)
