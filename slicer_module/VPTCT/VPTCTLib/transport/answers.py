"""From an answer of the server to JSON or to an exception that carries the server's own words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from ..contract.label import read_conflict
from ..errors import (
    ContractError,
    LabelConflictError,
    NotAllowedError,
    NotLoggedInError,
    NotNowError,
    NotOfferedError,
    NotThereError,
    RefusedError,
    ServerFailedError,
    TooLargeError,
)
from .error_names import kind_of

_BY_STATUS: Mapping[int, type[RefusedError]] = {
    401: NotLoggedInError,
    403: NotAllowedError,
    404: NotThereError,
    405: NotOfferedError,
    413: TooLargeError,
    429: NotNowError,
    502: NotNowError,
    503: NotNowError,
    504: NotNowError,
}
CONFLICT = 409
_SHOWN_CHARACTERS = 1000


def decoded(content: bytes) -> Any:
    """The JSON of an answer.

    Raises:
        ContractError: it is none, or it holds NaN or infinity, which are no JSON.
    """
    try:
        return json.loads(content, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ContractError(
            "the server's answer is no JSON.", "Is this the address of a VPTCT server?"
        ) from error


def refused(
    status: int, reason: str, headers: Mapping[str, str], content: bytes, conflict: type[RefusedError]
) -> RefusedError:
    """The exception for an answer that is not what was asked for.

    Args:
        status: of HTTP, 300 and above.
        reason: the words beside it.
        headers: of the answer.
        content: its body; of a proxy it may be a page.
        conflict: what 409 means to this request.
    """
    if 300 <= status < 400:
        place = headers.get("Location", "")[:200]
        return RefusedError(
            f"the server is elsewhere: it answered {status} and names {place or 'no other address'}.",
            "Enter that address.",
            status=status,
            own_words=False,
        )
    told = _told(content)
    detail, hint = told.get("detail"), told.get("hint")
    own_words = isinstance(detail, str) and isinstance(hint, str)
    name = str(told.get("error", ""))[:100] if own_words else ""
    kind = kind_of(name, conflict) or _by_status(status, conflict)
    if not own_words:
        detail, hint = f"the server, or a proxy before it, answered {status} {reason}".strip() + ".", ""
    error = kind(
        str(detail)[:_SHOWN_CHARACTERS],
        str(hint)[:_SHOWN_CHARACTERS],
        status=status,
        retry_after_seconds=_seconds(headers.get("Retry-After")),
        own_words=own_words,
        error=name,
    )
    if isinstance(error, LabelConflictError) and "conflict" in told:
        error.conflict = read_conflict(told["conflict"])
    return error


def _by_status(status: int, conflict: type[RefusedError]) -> type[RefusedError]:
    """For an answer of a proxy, or of another version of the server."""
    if status == CONFLICT:
        return conflict
    return _BY_STATUS.get(status, ServerFailedError if status >= 500 else RefusedError)


def _told(content: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return {}  # A page of a proxy: its status says enough.
    return told if isinstance(told, dict) else {}


def _seconds(text: str | None) -> float | None:
    """Of ``Retry-After`` in seconds; its other form, a date, is rare and not worth trusting two clocks."""
    return float(text[:10]) if text is not None and text.isascii() and text.isdigit() else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
