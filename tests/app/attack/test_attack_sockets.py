"""What no HTTP library would send: broken requests, hostile headers, clients that hang up or dawdle."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

import pytest
from attack_range import MULTIPART, Range, multipart

# Of a browser that takes the server for an https one.
TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200
POST = b"POST /infer/nodule_tiny HTTP/1.1\r\nHost: x\r\n"
NOT_HTTP = (
    b"\r\n\r\n", b"GET\r\n\r\n", b"GET /info/\r\n\r\n", b"GET /info/ HTTP/9.9\r\n\r\n",
    b"\x00\x01\x02\x03\r\n\r\n", b"GET  /info/  HTTP/1.1\r\n\r\n", b"get /info/ http/1.1\r\n\r\n",
    b"GET /info/ HTTP/1.1\nHost: x\n\n", TLS_HELLO, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET http://127.0.0.1:1/etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /info/ HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
    b"GET /info/ HTTP/1.1\r\n Host: folded\r\n\r\n", b"GET /info/ HTTP/1.1\r\nHost x\r\n\r\n",
    b"GET /info/ HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    b"GET /info/ HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
    b"GET /info/ HTTP/1.1\r\nHost: x\r\nX-\x00: y\r\n\r\n", b"GET /info/%00\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    POST + b"Content-Length: -1\r\n\r\n", POST + b"Content-Length: 1e3\r\n\r\n",
    POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /logs/ HTTP/1.1\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    POST + b"Transfer-Encoding: gzip, identity\r\n\r\n",
)  # fmt: skip


@pytest.mark.parametrize("data", NOT_HTTP, ids=lambda data: repr(data[:40]))
def test_bytes_that_are_no_request_are_refused_or_hung_up_on(attacked: Range, data: bytes) -> None:
    with attacked.connect(timeout=20) as connection:
        try:
            connection.sendall(data)
            with suppress(OSError):  # The server may have hung up by now.
                connection.shutdown(socket.SHUT_WR)
            told = b"".join(iter(lambda: connection.recv(65536), b""))
        except (BrokenPipeError, ConnectionResetError):
            told = b""
    statuses = [int(line.split()[1]) for line in told.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert all(status < 500 for status in statuses), told[:500]
    assert b"root:x:0" not in told
    assert b"Traceback" not in told


HEADERS = (
    ("X-HTTP-Method-Override", "DELETE"), ("X-Method-Override", "PUT"), ("X-Original-URL", "/logs/"),
    ("X-Rewrite-URL", "/logs/"), ("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-Prefix", "/../.."),
    ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "file"),
    ("Forwarded", "for=127.0.0.1;host=evil"), ("Authorization", "Bearer ../../x"),
    ("Authorization", "Bearer " + "x" * 20_000), ("Authorization", "Basic %%%"),
    ("Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."),
    ("Cookie", "session=../../x; a=" + "b" * 9000), ("Range", "bytes=0-999999999999"),
    ("Range", "bytes=" + "0-1," * 4000 + "5-6"), ("If-None-Match", "../x"), ("Accept", "text/html" * 500),
    ("Accept-Encoding", "\xff"), ("Expect", "100-continue"), ("Upgrade", "websocket"),
    ("TE", "trailers, deflate;q=nan"), ("Content-Encoding", "gzip"), ("Origin", "null"),
    ("Referer", "javascript:1"), ("User-Agent", "() { :;}; id"), ("Host", "../../x"), ("Host", ""),
    ("Host", "evil.example"), ("Host", "x" * 5000),
)  # fmt: skip
SMALL = ("/info/", "/datastore/?output=all", "/datastore/label?label=ct.nii.gz.nodule.0001&tag=final", "/")


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: f"{header[0]}: {header[1][:30]}")
def test_no_header_makes_another_request_of_it(attacked: Range, header: tuple[str, str]) -> None:
    answers = [(target, attacked.send("GET", target, headers=(header,))) for target in SMALL]
    problems = [attacked.problem(answer, f"GET {target} {header}") for target, answer in answers]
    assert [problem for problem in problems if problem] == []
    assert not [answer for _, answer in answers if answer.status == 200 and "evil" in answer.text]


@pytest.mark.parametrize(
    "method",
    ["PATCH", "TRACE", "CONNECT", "OPTIONS", "PROPFIND", "MOVE", "PURGE", "FOO", "get", "G\x00T", "X" * 5000],
)
def test_methods_that_no_route_knows(attacked: Range, method: str) -> None:
    for target in ("/", *SMALL, "/infer/nodule_tiny", "/session/", "*", "/static/", "/static/../../app.py"):
        answer = attacked.send(method, target)
        assert answer.status == 0 or not attacked.problem(answer, f"{method} {target}"), answer


@pytest.mark.parametrize(
    "query",
    [
        "image=ct.nii.gz&image=../outside/ct.nii.gz",
        "image=../outside/ct.nii.gz&image=ct.nii.gz",
        "image=ct.nii.gz&session_id=../x",
        "image[]=../outside/ct.nii.gz",
        "image=ct.nii.gz;image=/etc/passwd",
        "image=ct.nii.gz&" + "&".join(f"k{n}=v" for n in range(4000)),
        "=&&&==&%=&image",
    ],
    ids=lambda query: query[:40],
)
def test_query_keys_that_are_doubled_or_odd(attacked: Range, query: str) -> None:
    answer = attacked.send("POST", f"/infer/nodule_tiny?{query}")
    assert not attacked.problem(answer, query)


def test_two_requests_hidden_in_one_body_are_not_two_requests(attacked: Range) -> None:
    """The rest of a body must not be taken for the next request."""
    hidden = b"DELETE /session/00000000-0000-4000-8000-000000000000 HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = attacked.send("POST", "/activelearning/random", hidden, (("Content-Type", "application/json"),))
    assert 400 <= answer.status < 500


UPLOADS = (
    ("POST", "/infer/nodule_tiny", "file"),
    ("PUT", "/session/", "files"),
    ("PUT", "/datastore/label?image=ct.nii.gz", "label"),
    ("PUT", "/datastore/image?image=x", "file"),
)


def head(method: str, target: str, length: int) -> bytes:
    return (
        f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n"
        f"{MULTIPART[0]}: {MULTIPART[1]}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize(("method", "target", "part"), UPLOADS)
@pytest.mark.parametrize("said", [0, 100, 2_500_000], ids=["nothing", "a little", "most"])
def test_a_client_that_hangs_up_in_the_middle_leaves_nothing(
    attacked: Range, method: str, target: str, part: str, said: int
) -> None:
    body = multipart((part, "ct.nii", b"x" * 3_000_000))
    with attacked.connect() as connection:
        connection.sendall(head(method, target, len(body)) + body[:said])
        # Off without a farewell: the server sees a reset, not an end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert settled(attacked)


def settled(attacked: Range, seconds: float = 10) -> bool:
    """Whether nothing of an upload lies in the temporary folder, within some seconds."""
    deadline = time.monotonic() + seconds
    while attacked.left_behind() and time.monotonic() < deadline:
        time.sleep(0.05)
    return attacked.left_behind() == []


def test_clients_that_dawdle_do_not_keep_others_waiting(attacked: Range) -> None:
    body = multipart(("file", "ct.nii", b"x" * 1000))
    slow = [attacked.connect() for _ in range(60)]
    for connection in slow:
        connection.sendall(head("POST", "/infer/nodule_tiny", len(body)) + body[:50])
    began = time.monotonic()
    answer = attacked.send("GET", "/info/")
    assert (answer.status, time.monotonic() - began < 5) == (200, True)
    for connection in slow:
        connection.close()
    assert settled(attacked)


def test_a_length_that_promises_more_than_there_is_memory_is_refused_unread(attacked: Range) -> None:
    for length in (1 << 40, 1 << 62, 10**30):
        answer = attacked.send_bytes(head("POST", "/infer/nodule_tiny", length), timeout=20)
        assert answer.status in (400, 413), answer
        assert not attacked.problem(answer, f"Content-Length: {length}")


MULTIPARTS = (
    multipart(("file", "ct.nii", b"x")).replace(b"--xxBOUNDARYxx--", b""),
    multipart(("file", "ct.nii", b"x")).replace(b"\r\n", b"\n"), multipart(("file", "ct.nii", b"x"))[:40],
    b"--xxBOUNDARYxx--\r\n", b"\r\n" * 5000, multipart(*((f"f{n}", None, b"") for n in range(5000))),
    multipart(*((f"f{n}", "x", b"") for n in range(5000))),
    multipart(("file", "a", b"1"), ("file", "b", b"2")), multipart(("file", None, b"no file name")),
    multipart(("", "x.nii", b"x")), multipart(("x" * 20_000, "x.nii", b"x")),
    multipart(("file\r\nX-Injected: yes", "x.nii", b"x")), multipart(("params", None, b"{}" * 2_000_000)),
    multipart(("file", "x.nii", b"x")).replace(b"form-data;", b"attachment;"),
    multipart(("file", "x.nii", b"x")).replace(b'name="file"; ', b""),
    multipart(("file", "x.nii", b"x")).replace(b'"x.nii"', b"\"x.nii\"; filename*=UTF-8''..%2f..%2fy.nii"),
    multipart(("file", "x.nii", b"x")).replace(b"Content-Type", b"Content-Transfer-Encoding: base64\r\nX"),
)  # fmt: skip


@pytest.mark.parametrize(("method", "target", "part"), UPLOADS)
def test_multipart_bodies_that_are_put_together_wrongly(
    attacked: Range, method: str, target: str, part: str
) -> None:
    bodies = [body.replace(b'"file"', f'"{part}"'.encode()) for body in MULTIPARTS]
    found = [
        attacked.problem(attacked.send(method, target, body, (MULTIPART,)), repr(body[:80]))
        for body in bodies
    ]
    assert [problem for problem in found if problem] == []
