"""The answer to a request that no route got to see."""

from __future__ import annotations

import logging

from fastapi.responses import JSONResponse
from starlette.types import Scope

from ..errors import body_of, name_of, status_of
from .errors import AccessError

_logger = logging.getLogger(__name__)


def refusal(scope: Scope, error: AccessError) -> JSONResponse:
    """What the client gets to read; the log has it, too."""
    status = status_of(error)
    _logger.info("%s %r: %d %s", scope["method"], scope["path"][:200], status, error)
    body = body_of(name_of(error), error.message, error.hint, ())
    return JSONResponse(body, status, headers=dict(error.headers))
