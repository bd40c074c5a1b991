"""From the exception tree to HTTP: one table, one JSON body ``{"detail": ..., "hint": ...}``.

No stack trace and no path of the server reaches a client: what is unexpected gets a number under which the
server's log has the rest.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from monailabel.interfaces.exception import MONAILabelException
from starlette.exceptions import HTTPException

from vpt_plugin.errors import (
    CancelledError,
    ConfigurationError,
    LabelError,
    ManifestError,
    NotTrainedError,
    StudyError,
    StudyNotFoundError,
    TrainingError,
    UnknownModelError,
    UnknownTaskError,
    VptError,
    WeightsError,
)

_logger = logging.getLogger(__name__)


class BadRequestError(VptError):
    """The request itself is wrong, whatever study it is about."""


class NotOfferedError(VptError):
    """MONAI Label has a route for this; this server does not do it."""


class BusyError(VptError):
    """Too many requests wait already."""


# For an exception the nearest of its base classes counts.
STATUS: MappingProxyType[type[Exception], int] = MappingProxyType(
    {
        StudyNotFoundError: 404,
        StudyError: 422,
        UnknownTaskError: 404,
        UnknownModelError: 404,
        ConfigurationError: 400,
        WeightsError: 503,
        NotTrainedError: 409,
        LabelError: 422,
        ManifestError: 422,
        TrainingError: 409,
        CancelledError: 499,
        BadRequestError: 400,
        NotOfferedError: 405,
        BusyError: 503,
        VptError: 500,
    }
)


def status_of(error: Exception) -> int:
    """The HTTP status of an error; 500 for one that nobody expected."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def body_of(error: VptError, secret_folders: Sequence[Path]) -> dict[str, str]:
    """What the client gets to read of an error."""
    return {
        # On a screen the message runs on into the hint; here they are apart.
        "detail": without_folders(error.message, secret_folders).removesuffix(";"),
        "hint": without_folders(error.hint, secret_folders),
    }


def without_folders(text: str, secret_folders: Sequence[Path]) -> str:
    """The text without these folders' paths: ``/srv/studies/p1/1.dcm`` becomes ``p1/1.dcm``."""
    for folder in sorted(map(str, secret_folders), key=len, reverse=True):
        text = text.replace(folder.rstrip(os.sep) + os.sep, "").replace(folder, Path(folder).name)
    return text


def install(server: FastAPI, secret_folders: Sequence[Path]) -> None:
    """Make the server answer with this table, in all of its routes.

    Args:
        server: MONAI Label's FastAPI app.
        secret_folders: whose paths are never told to a client.
    """

    def told(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, VptError)
        status = status_of(error)
        _logger.info("%s %s: %d %s", request.method, request.url.path, status, error)
        return JSONResponse(body_of(error, secret_folders), status)

    server.add_exception_handler(VptError, told)
    server.add_exception_handler(HTTPException, _http_error)
    server.add_exception_handler(RequestValidationError, _wrong_fields)
    server.add_exception_handler(MONAILabelException, _monai_label_error)
    server.add_exception_handler(json.JSONDecodeError, _not_json)
    server.add_exception_handler(Exception, _unexpected)
    # Starlette has built its stack of handlers by now; it builds a new one at the next request.
    server.middleware_stack = None


def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail, "hint": ""}, error.status_code, headers=error.headers)


def _wrong_fields(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()]
    return JSONResponse(
        {"detail": "; ".join(problems), "hint": "/docs lists the fields of every route."}, 422
    )


def _monai_label_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MONAILabelException)
    return JSONResponse({"detail": error.msg, "hint": "GET /info/ lists what there is."}, 400)


def _not_json(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": f"a field of the request is not JSON: {error}.", "hint": ""}, 400)


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    number = uuid.uuid4().hex[:8]
    # The stack trace follows: Starlette raises the error again after this answer.
    _logger.error("%s %s: unexpected error %s: %r", request.method, request.url.path, number, error)
    hint = f"The server's log has the cause under the number {number}."
    return JSONResponse({"detail": "the server came upon an unexpected error.", "hint": hint}, 500)
