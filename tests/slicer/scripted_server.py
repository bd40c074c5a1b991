"""A real HTTP server of the tests' own, which does to each connection what its script says next."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from listening import listening

Play = Callable[[socket.socket], None]
_PIECE_BYTES = 1 << 16


@dataclass
class Asked:
    """What came on one connection."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ScriptedServer:
    """Serves from entering the ``with`` block to leaving it; after the last play the last one is repeated.

    Attributes:
        plays: one per connection, in their order.
        tls: makes connections protected.
        asked: what came.
        here: its ``asked`` is what came on the connection of the thread that looks.
        hung_up: set when a client closed its connection while a play held it open.
    """

    plays: Sequence[Play]
    tls: ssl.SSLContext | None = None
    reads_body: bool = True
    asked: list[Asked] = field(default_factory=list)
    here: threading.local = field(default_factory=threading.local)
    hung_up: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> ScriptedServer:
        self._listening = listening(self._serve)
        scheme = "http" if self.tls is None else "https"
        self.url = f"{scheme}://{self._listening.__enter__()}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.__exit__(kind, error, trace)

    def _serve(self, connection: socket.socket, number: int) -> None:
        play = self.plays[min(number, len(self.plays) - 1)]
        connection.settimeout(10)
        try:
            with (
                connection
                if self.tls is None
                else self.tls.wrap_socket(connection, server_side=True) as plain
            ):
                self.here.asked = _read(plain, self.reads_body)
                self.asked.append(self.here.asked)
                play(plain)
        except OSError:
            self.hung_up.set()


def answer(status: int, body: object, **headers: str) -> Play:
    """Answers with this JSON, or these bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def play(connection: socket.socket) -> None:
        connection.sendall(_head(status, len(content), headers) + content)

    return play


def drop(connection: socket.socket) -> None:
    """Hangs up without a word."""


def half(content: bytes) -> Play:
    """Promises these bytes, sends the first half of them, and hangs up."""

    def play(connection: socket.socket) -> None:
        connection.sendall(_head(200, len(content), {}) + content[: len(content) // 2])

    return play


def drip(content: bytes, *, every_seconds: float) -> Play:
    """Sends a byte now and then."""

    def play(connection: socket.socket) -> None:
        connection.sendall(_head(200, len(content), {}))
        for byte in content:
            time.sleep(every_seconds)
            connection.sendall(bytes([byte]))

    return play


def silence(connection: socket.socket) -> None:
    """Says nothing until the client hangs up."""
    while connection.recv(_PIECE_BYTES):
        pass
    raise ConnectionResetError


def slow_reader(seconds: float, then: Play) -> Play:
    """Takes the body only after a while."""

    def play(connection: socket.socket) -> None:
        time.sleep(seconds)
        then(connection)

    return play


def _head(status: int, length: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Words", f"Content-Length: {length}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def _read(connection: socket.socket, whole: bool) -> Asked:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    while whole and len(body) < int(headers.get("Content-Length", 0)):
        body += _some(connection)
    method, path, _ = first.split(" ")
    return Asked(method, path, headers, body)


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(_PIECE_BYTES)
    if not data:
        raise ConnectionResetError
    return data
