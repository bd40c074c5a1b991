"""From the exception tree to HTTP: one table, one JSON body ``{"error": ..., "detail": ..., "hint": ...}``.

``error`` is the name of the class, as docs/server.md lists them: no client has to guess from the status.
A conflict of two labels has both in it, under ``conflict``. No stack trace and no path of the server reaches
a client: what is unexpected gets a number under which the server's log has the rest.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from monailabel.interfaces.exception import MONAILabelException
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from vpt_plugin.errors import (
    ArchiveError,
    CancelledError,
    ConfigurationError,
    DeviceMemoryError,
    LabelConflictError,
    LabelError,
    LeaseError,
    ManifestError,
    NotScoredError,
    NotTrainedError,
    StudyError,
    StudyNotFoundError,
    StudyTooLargeError,
    TrainingError,
    UnknownModelError,
    UnknownTaskError,
    VptError,
    WeightsError,
    WorklistAwayError,
)

from .access.errors import (
    AccessError,
    ForeignHostError,
    LoginServiceError,
    NotLoggedInError,
    TooManyLoginsError,
)

_logger = logging.getLogger(__name__)
# What a client sent comes back in a message only so far; it may be of any length.
_MAX_TEXT_CHARACTERS = 1000
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


class BadRequestError(VptError):
    """The request itself is wrong, whatever study it is about."""


class WrongFormError(VptError):
    """A part of the request's form is missing, or is text where it should be a file."""


class NothingThereError(VptError):
    """What a client names is not there, and it is no study."""


class TooLargeError(VptError):
    """The request is larger than this server takes."""


class SessionsFullError(TooLargeError):
    """All uploads together would be larger than this server keeps at a time. Later there may be room."""

    # RFC 9110, 15.5.14: with it a 413 says that it will pass.
    headers: Mapping[str, str] = {"Retry-After": "300"}


class NotOfferedError(VptError):
    """MONAI Label has a route for this; this server does not do it.

    Args:
        message: what is not done.
        hint: what is done instead.
        allowed: the methods that the same path does take.
    """

    def __init__(self, message: str, hint: str = "", *, allowed: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        # RFC 9110, 15.5.6: a 405 says so, even if it is none.
        self.headers = {"Allow": ", ".join(allowed)}


class BusyError(VptError):
    """Too many requests wait already."""

    headers: Mapping[str, str] = {"Retry-After": "15"}


# For an exception the nearest of its base classes counts.
STATUS: MappingProxyType[type[Exception], int] = MappingProxyType(
    {
        StudyNotFoundError: 404,
        StudyError: 422,
        StudyTooLargeError: 413,
        ArchiveError: 503,
        UnknownTaskError: 404,
        UnknownModelError: 404,
        ConfigurationError: 400,
        WeightsError: 503,
        DeviceMemoryError: 503,
        NotTrainedError: 409,
        LabelError: 422,
        LabelConflictError: 409,
        LeaseError: 409,
        NotScoredError: 409,
        ManifestError: 422,
        TrainingError: 409,
        CancelledError: 499,
        BadRequestError: 400,
        WrongFormError: 422,
        NothingThereError: 404,
        TooLargeError: 413,
        NotOfferedError: 405,
        BusyError: 503,
        WorklistAwayError: 503,
        NotLoggedInError: 401,
        AccessError: 403,
        ForeignHostError: 400,
        TooManyLoginsError: 429,
        LoginServiceError: 503,
        VptError: 500,
    }
)


# Whose classes are told by name: the library's, the app's, its login's. One that a module keeps to itself is
# told as the nearest of these that it is.
_NAMED_IN = (VptError.__module__, BadRequestError.__module__, AccessError.__module__)
_UNEXPECTED, _FULL_DISK = "UnexpectedError", "FullDiskError"
_UNEXPECTED_WORDS = "the server came upon an unexpected error."


class _Told(NamedTuple):
    """What a handler makes of an error: its status, its name, the message and the hint."""

    status: int
    error: str
    detail: str
    hint: str


_Answer = Callable[[Request, Exception], _Told]


def status_of(error: Exception) -> int:
    """The HTTP status of an error; 500 for one that nobody expected."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def name_of(error: Exception) -> str:
    """The kind of an error for a client: the name of its class, or of the nearest one that is told."""
    kinds = (kind for kind in type(error).__mro__ if kind.__module__ in _NAMED_IN)
    return next((kind.__name__ for kind in kinds), _UNEXPECTED)


def body_of(error: str, detail: str, hint: str, secret_folders: Sequence[Path]) -> dict[str, str]:
    """What the client gets to read; every body is made here."""
    texts = (without_folders(text, secret_folders)[:_MAX_TEXT_CHARACTERS] for text in (detail, hint))
    # A client's JSON may hold half a character, which no answer can be encoded with.
    told = (text.encode(errors="backslashreplace").decode() for text in texts)
    return {"error": error, **dict(zip(("detail", "hint"), told, strict=True))}


def body_of_one(error: Exception, what: str, secret_folders: Sequence[Path]) -> dict[str, str]:
    """The same for an error that is not the whole answer, such as that of one study of many.

    Args:
        error: whatever was raised; what nobody expected goes to the log under a number.
        what: was done, for the log.
        secret_folders: as of ``install``.
    """
    if isinstance(error, VptError):
        _logger.info("%s: %s", what, error)
        return body_of(name_of(error), error.message.removesuffix(";"), error.hint, secret_folders)
    number = uuid.uuid4().hex[:8]
    _logger.error("%s: unexpected error %s", what, number, exc_info=error)
    return body_of(_UNEXPECTED, _UNEXPECTED_WORDS, _hint_of(number), secret_folders)


def conflict_of(error: Exception) -> dict[str, Any]:
    """What the body of a conflict has beside the words: both labels, as the contract ``vptct.label/1``."""
    if not isinstance(error, LabelConflictError):
        return {}
    newest = None if error.newest is None else dict(error.newest)
    return {
        "conflict": {
            "expected_version": error.expected_version,
            "newest_version": error.newest_version,
            "newest": newest,
            "yours": dict(error.yours),
        }
    }


def without_folders(text: str, secret_folders: Sequence[Path]) -> str:
    """The text without these folders' paths: ``/srv/studies/p1/1.dcm`` becomes ``p1/1.dcm``."""
    return folder_remover(secret_folders)(text)


def folder_remover(secret_folders: Sequence[Path]) -> Callable[[str], str]:
    """``without_folders`` of these folders, for who has many texts."""
    # A home that is / is no secret, and every path begins with it.
    secrets = {str(folder) for folder in secret_folders if str(folder) != folder.anchor}
    known = [(each, _whole(each), Path(each).name) for each in sorted(secrets, key=len, reverse=True)]

    def remove(text: str) -> str:
        for folder, whole, name in known:
            if folder in text:
                text = whole.sub(lambda found, name=name: "" if found[1] else name, text)
        return text

    return remove


def _whole(folder: str) -> re.Pattern[str]:
    """The folder, but not as the beginning of a longer name: /data is no part of /datastore/."""
    return re.compile(re.escape(folder.rstrip(os.sep)) + rf"(?:({re.escape(os.sep)})|(?!\w))")


def install(server: FastAPI, secret_folders: Sequence[Path]) -> None:
    """Make the server answer with this table, in all of its routes.

    Args:
        server: MONAI Label's FastAPI app.
        secret_folders: whose paths are never told to a client.
    """

    def handle(kind: type[Exception], answer: _Answer) -> None:
        def told(request: Request, error: Exception) -> JSONResponse:
            status, *words = answer(request, error)
            headers = getattr(error, "headers", None)
            body = {**body_of(*words, secret_folders), **conflict_of(error)}
            return JSONResponse(body, status, headers=headers)

        server.add_exception_handler(kind, told)

    handle(VptError, _told)
    handle(HTTPException, _http_error)
    handle(RequestValidationError, _wrong_fields)
    handle(MONAILabelException, _monai_label_error)
    handle(json.JSONDecodeError, _not_json)
    handle(ClientDisconnect, _hung_up)
    handle(OSError, _disk)
    handle(Exception, _unexpected)
    # Starlette has built its stack of handlers by now; it builds a new one at the next request.
    server.middleware_stack = None


def _told(request: Request, error: Exception) -> _Told:
    assert isinstance(error, VptError)
    status = status_of(error)
    _logger.info("%s %r: %d %s", request.method, request.url.path[:200], status, error)
    # On a screen the message runs on into the hint; here they are apart.
    return _Told(status, name_of(error), error.message.removesuffix(";"), error.hint)


def _http_error(request: Request, error: Exception) -> _Told:
    assert isinstance(error, HTTPException)
    return _Told(error.status_code, "HTTPException", str(error.detail), "")


def _wrong_fields(request: Request, error: Exception) -> _Told:
    assert isinstance(error, RequestValidationError)
    problems = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()]
    hint = "/openapi.json lists the fields of every route."
    return _Told(422, "RequestValidationError", "; ".join(problems[:10]), hint)


def _monai_label_error(request: Request, error: Exception) -> _Told:
    assert isinstance(error, MONAILabelException)
    return _Told(400, BadRequestError.__name__, str(error.msg), "GET /info/ lists what there is.")


def _not_json(request: Request, error: Exception) -> _Told:
    return _Told(400, BadRequestError.__name__, f"a field of the request is not JSON: {error}.", "")


def _hung_up(request: Request, error: Exception) -> _Told:
    _logger.info("%s %r: the client hung up", request.method, request.url.path[:200])
    return _Told(499, CancelledError.__name__, "the client hung up.", "")


def _disk(request: Request, error: Exception) -> _Told:
    assert isinstance(error, OSError)
    if error.errno not in FULL_DISK:
        _logger.error("%s %r", request.method, request.url.path[:200], exc_info=error)
        return _unexpected(request, error)
    _logger.error("%s %r: %s", request.method, request.url.path[:200], error)
    hint = "Whoever runs the server must make room."
    return _Told(507, _FULL_DISK, "the server's disk is full; nothing was saved.", hint)


def _unexpected(request: Request, error: Exception) -> _Told:
    number = uuid.uuid4().hex[:8]
    # The stack trace is logged, too: Starlette raises again what it does not know, after this answer.
    _logger.error("%s %r: unexpected error %s: %r", request.method, request.url.path[:200], number, error)
    return _Told(500, _UNEXPECTED, _UNEXPECTED_WORDS, _hint_of(number))


def _hint_of(number: str) -> str:
    return f"The server's log has the cause under the number {number}."
