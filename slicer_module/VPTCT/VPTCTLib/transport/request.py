"""Request: what is asked of a server, whether it may be repeated, and how long it may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Callable

from ..errors import RefusedError
from .upload import Form


@dataclass(frozen=True)
class Patience:
    """How long a request may take.

    Attributes:
        connect_seconds: until the server takes the connection.
        stall_seconds: during which nothing goes forward, in either direction.
        total_seconds: for all of it; None for no limit: then it is ended by the reader alone.
    """

    connect_seconds: float = 5.0
    stall_seconds: float = 30.0
    total_seconds: float | None = 60.0


# Answered from memory or a small file.
QUICK = Patience()
# Uploads, downloads and networks: the reader sees how it goes on, and may end it.
LONG = Patience(stall_seconds=1800.0, total_seconds=None)


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        method: of HTTP.
        path: below the server's address, with a slash at its beginning.
        params: of the address, texts and numbers; None leaves one out.
        json: the body, where it is JSON.
        fields: the body, where it is a short form.
        form: makes the body, where it brings files; called again for each attempt.
        repeat: the server is no worse off when it gets it twice.
        conflict: what the status 409 means.
        patience: how long it may take.
    """

    method: str
    path: str
    params: Mapping[str, str | int | None] = field(default_factory=lambda: MappingProxyType({}))
    json: Mapping[str, Any] | None = None
    fields: Mapping[str, str] | None = None
    form: Callable[[], Form] | None = None
    repeat: bool = False
    conflict: type[RefusedError] = RefusedError
    patience: Patience = QUICK


def get(path: str, **params: str | int | None) -> Request:
    """A request that only looks, so that it may be repeated."""
    return Request("GET", path, params=params, repeat=True)
