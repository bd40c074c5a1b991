"""BodyLimit: a request that is too large is refused, by what it says of itself or as soon as it shows."""

from __future__ import annotations

from collections.abc import Callable

import anyio
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .access.gate import route_path
from .errors import TooLargeError, body_of, name_of, status_of
from .limits import Limits

# A client that is still sending does not look for an answer, and sees a broken connection when the server
# hangs up. So much of what it sends is thrown away first; most have finished by then.
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 256 << 20


class BodyLimit:
    """ASGI middleware: answers 413 to a body over the limit of its route.

    Where the request says its length nothing of it is kept. Where it does not (chunked), what reads the body
    gets a ``TooLargeError`` at the limit.

    Args:
        app: what stands behind it.
        limit_bytes: the limit of a request, by its method and path.
    """

    def __init__(self, app: ASGIApp, *, limit_bytes: Callable[[str, str], int]) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through as far as it is within its limit."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit_bytes(scope["method"], route_path(scope))
        exchange = _Exchange(scope, receive, send, limit)
        if exchange.said_bytes > limit:
            error = too_large(limit)
            answer = JSONResponse(body_of(name_of(error), error.message, error.hint, ()), status_of(error))
            await answer(scope, exchange.receive, exchange.send)
        else:
            await self._app(scope, exchange.receive, exchange.send)


def too_large(limit_bytes: int) -> TooLargeError:
    """The error for a body over the limit."""
    hint = (
        "A label has some hundred bytes; studies go to /infer/, /session/ and /datastore/."
        if limit_bytes == Limits.small_bytes
        else "Who runs the server sets the limit of uploads with --conf max_upload_gb."
    )
    return TooLargeError(f"the request is larger than the {_size(limit_bytes)} that are accepted here.", hint)


class _Exchange:
    """One request and its answer: counts what comes, and lets the client finish before the answer ends."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit_bytes: int) -> None:
        headers = Headers(scope=scope)
        said = headers.get("content-length", "")
        self.said_bytes = int(said[:20]) if said.isascii() and said.isdigit() else 0
        # Whether the client still has something to send, and does so without being asked for it.
        self._sending = self.said_bytes > 0 or "transfer-encoding" in headers
        self._waits = headers.get("expect", "").lower() == "100-continue"
        self._receive, self._send, self._limit_bytes = receive, send, limit_bytes
        self._received_bytes = 0

    async def receive(self) -> Message:
        message = await self._next()
        if self._received_bytes > self._limit_bytes:
            raise too_large(self._limit_bytes)
        return message

    async def send(self, message: Message) -> None:
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if last and self._sending and not self._waits:
            await self._send({**message, "more_body": True})
            await self._throw_away()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _next(self) -> Message:
        self._waits = False
        message = await self._receive()
        if message["type"] == "http.request":
            self._received_bytes += len(message.get("body", b""))
        self._sending = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def _throw_away(self) -> None:
        until = self._received_bytes + _LINGER_BYTES
        with anyio.move_on_after(_LINGER_SECONDS):
            while self._sending and self._received_bytes < until:
                await self._next()


def _size(number: int) -> str:
    return f"{number / 1e9:g} GB" if number >= 10**9 else f"{number / (1 << 20):.3g} MiB"
