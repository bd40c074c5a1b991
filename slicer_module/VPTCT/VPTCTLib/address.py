"""The address of a server, as a reader types it and as requests need it."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit, urlunsplit

from .errors import AddressError

_EXAMPLE = "Write it as https://ct.example.org or localhost:8000."
_PAGE = re.compile(r"(/+info)*/*$")


def server_address(typed: str) -> str:
    """The address without a slash at its end, and with a scheme: ``localhost:8000`` is on http.

    The same server gets the same text, so that what is remembered of it is found again. An ``/info`` at its
    end is the page that one looks at with a browser, and no part of it; another path may be a proxy's.

    Raises:
        AddressError: it is none, or it holds a name and password, which would be shown and stored.
    """
    text = typed.strip()
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AddressError(f"{typed.strip()[:200]!r} is no address: {error}.", _EXAMPLE) from error
    if parts.username is not None or parts.password is not None:
        raise AddressError("an address holds no name and no password.", "Log in instead.")
    if parts.scheme.lower() not in ("http", "https") or not host or parts.query or parts.fragment:
        raise AddressError(f"{typed.strip()[:200]!r} is no address of a server.", _EXAMPLE)
    if any(character.isspace() for character in text):
        raise AddressError(f"{typed.strip()[:200]!r} has a space in it.", _EXAMPLE)
    scheme = parts.scheme.lower()
    shown = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[scheme]
    place = shown if port in (None, usual) else f"{shown}:{port}"
    return urlunsplit((scheme, place, _PAGE.sub("", parts.path), "", ""))


def is_this_computer(address: str) -> bool:
    """Whether the address is of this very computer: no proxy stands in between."""
    host = urlsplit(address).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_protected(address: str) -> bool:
    """Whether nobody on the network can read along: https, or the network is not used at all."""
    return urlsplit(address).scheme == "https" or is_this_computer(address)
