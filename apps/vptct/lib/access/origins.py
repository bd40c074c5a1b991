"""Which web pages and hosts are answered.

A web page that a reader happens to visit can make the reader's browser ask a server on the same computer,
with every right that the reader has there. Browsers name the page in the header ``Origin``: one from
elsewhere is refused, whatever it asks. A page can also give its own name the address 127.0.0.1 (DNS
rebinding) and then counts as the server's own; but its name then stands in ``Host``, so that a server
without login answers to names it knows only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import AccessError, ForeignComputerError, ForeignHostError, ForeignOriginError
from .refusal import refusal

_OWN_NAMES = frozenset({"localhost"})


class OriginGuard:
    """ASGI middleware: refuses pages from elsewhere, and hosts that nobody told this server.

    Args:
        app: what stands behind it.
        origins: pages of these origins may ask, beside the server's own.
        hosts: names of this server, beside localhost; None asks for no name, which is right where everybody
            must log in.
        loopback_only: connections from other computers are refused, wherever the server listens.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        origins: Collection[str] = (),
        hosts: Collection[str] | None = None,
        loopback_only: bool = False,
    ) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._hosts = None if hosts is None else frozenset(hosts) | _OWN_NAMES
        self._loopback_only = loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] == "http":
            try:
                self._check(scope)
            except AccessError as error:
                await refusal(scope, error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Raises ForeignComputerError, ForeignHostError, ForeignOriginError."""
        headers = Headers(scope=scope)
        if self._loopback_only and not _came_in_over_loopback(scope):
            raise ForeignComputerError(
                "this server has no login, so it answers programs on its own computer only.",
                "Who runs it can set up a login: docs/server.md.",
            )
        host = _only(headers, "host")
        if self._hosts is not None and not self._is_known(host):
            raise ForeignHostError(
                f"this server does not know itself as {host[:100]!r}.",
                "Ask for localhost or an address, or start the server with --conf hosts NAME.",
            )
        origin = _only(headers, "origin") if "origin" in headers else None
        if origin is not None and origin not in self._origins and not _is_own(origin, host):
            raise ForeignOriginError(
                f"web pages of {origin[:100]!r} may not ask this server.",
                "Who runs it can allow them: --conf cors_origins ORIGIN.",
            )

    def _is_known(self, host: str) -> bool:
        name = _name_of(host)
        # An address cannot be rebound: no page gets it by a name of its own.
        return self._hosts is not None and (name in self._hosts or _address(name) is not None)


def is_loopback_address(text: str) -> bool:
    """Whether this is an address of this computer that no other computer reaches."""
    address = _address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and address.is_loopback


def _came_in_over_loopback(scope: Scope) -> bool:
    """By the server's end of the connection, which no client can choose. A Unix socket has no port."""
    address, port = scope.get("server") or ("", 0)
    return port is None or is_loopback_address(address)


def _only(headers: Headers, name: str) -> str:
    """A header's value; "" where it is missing, or given twice so that it means nothing."""
    values = headers.getlist(name)
    return values[0] if len(values) == 1 else ""


def _is_own(origin: str, host: str) -> bool:
    """Whether the page came from this server, under the very name and port that it now asks."""
    scheme, _, rest = origin.partition("://")
    return scheme in ("http", "https") and rest != "" and rest.lower() == host.lower()


def _name_of(host: str) -> str:
    """``ct.example.org:8000`` -> ``ct.example.org``; ``[::1]:8000`` -> ``::1``; "" for what is neither."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # Raises where it is no number.
    except ValueError:
        return ""
    plain = parts.netloc == host and parts.username is None
    return (parts.hostname or "") if plain else ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
