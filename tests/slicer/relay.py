"""A relay in front of the real server, at an address that stays, which loses connections as a test wants."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit

from listening import listening

_PIECE_BYTES = 1 << 16
_LINE_BYTES = 1 << 10
_LOOK_MILLISECONDS = 10
_HELD_BYTES = 1 << 20


class Relay:
    """Passes connections on, from entering the ``with`` block to leaving it.

    Attributes:
        target: the address of the server; may change while it runs.
        refuses: hang up on who comes, and on who is held.
        loses_answers: so many times more, of requests that save (PUT): pass the request on, wait for the
            answer, and hang up instead.
        asked: how the requests began that came, as ``PUT /session/``.
        holds: requests that begin like this, or like one of these, are not passed on while it says so; ""
            for none.
        hung_up: set when a client closed its connection while it was held.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.refuses = False
        self.loses_answers = 0
        self.asked: list[str] = []
        self.holds: str | tuple[str, ...] = ""
        self.hung_up = threading.Event()

    def __enter__(self) -> Relay:
        self._listening = listening(self._pass)
        self.url = f"http://{self._listening.__enter__()}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.__exit__(kind, error, trace)

    def _pass(self, client: socket.socket, number: int) -> None:
        target = urlsplit(self.target)
        with client:
            if self.refuses:
                return
            if not self._is_let_through(client):
                return
            try:
                server = socket.create_connection((target.hostname, target.port), timeout=30)
            except OSError:
                return
            loses = self.loses_answers > 0 and client.recv(3, socket.MSG_PEEK) == b"PUT"
            self.loses_answers -= loses
            with server:
                back = threading.Thread(target=_copy, args=(server, client, loses))
                back.start()
                _copy(client, server, False)
                back.join()

    def _is_let_through(self, client: socket.socket) -> bool:
        """Note what a client asks, and keep it waiting where that is held; False where it hangs up then."""
        with suppress(OSError):
            line = client.recv(_LINE_BYTES, socket.MSG_PEEK).split(b"\r\n")[0].decode("latin-1")
            self.asked.append(line)
            # The end of what a client sends is seen only where all before it has room.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _HELD_BYTES)
            watch = select.poll()
            watch.register(client, select.POLLRDHUP)
            while self.holds and line.startswith(self.holds):
                if self.refuses:
                    return False
                if watch.poll(_LOOK_MILLISECONDS):
                    self.hung_up.set()
                    return False
            return True
        return False


def _copy(source: socket.socket, target: socket.socket, loses: bool) -> None:
    """Pass on until one side ends; with ``loses`` end both at the first bytes that come."""
    with suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            if loses:
                break
            target.sendall(piece)
    for each in (target, source):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
