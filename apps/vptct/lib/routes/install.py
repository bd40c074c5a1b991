"""Our routes in place of MONAI Label's: what is not on this list is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, FastAPI
from monailabel.config import settings
from starlette.middleware import Middleware

from ..access.gate import Gate
from ..access.login_routes import router as login
from ..body_limit import BodyLimit
from ..conf import AppConf
from ..incoming import Incoming
from . import (
    activelearning,
    batch,
    infer,
    labels,
    leases,
    server,
    session,
    structured_report,
    studies,
    train,
    versions,
)
from .not_offered import not_offered
from .page import pages

# What every error answers; a conflict of labels has both in "conflict", too. Without this /openapi.json would
# promise FastAPI's own form of a 422. Not as a model: of a route that answers text it would be text, too.
_ERROR = {
    "type": "object",
    "required": ["error", "detail", "hint"],
    "properties": {name: {"type": "string"} for name in ("error", "detail", "hint")},
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": words, "content": {"application/json": {"schema": _ERROR}}}
    for status, words in (
        ("4XX", "What is wrong with the request, and what to do."),
        ("5XX", "What the server cannot do, and what to do."),
    )
}
# MONAI Label's routes that answer the same to everybody and take nothing from a client.
KEPT = ("/openapi.json", "/favicon.ico")


def install(app: FastAPI, conf: AppConf) -> None:
    """Replace MONAI Label's routes by ours, and limit what a request may bring.

    Args:
        app: MONAI Label's FastAPI app, with the login installed.
        conf: says how much, and which routes for admins are switched on.
    """
    prefix = settings.MONAI_LABEL_API_STR
    ours = APIRouter()
    routers = [
        login,
        server.router,
        infer.router,
        batch.router,
        structured_report.router,
        session.router,
        studies.router,
        labels.router,
    ]
    routers += [activelearning.router, leases.router, train.router, versions.router]
    routers += [server.logs] if conf.logs else []
    routers += [server.reload] if conf.reload else []
    for router in (*routers, not_offered(conf)):
        ours.include_router(router, prefix=prefix, responses=_ERRORS)
    kept = [route for route in app.router.routes if getattr(route, "path", "") in KEPT]
    app.router.routes[:] = [*ours.routes, *pages(routers, prefix), *kept]
    app.openapi_schema = None
    app.state.incoming = Incoming(conf.limits.sessions_bytes)
    # Before the gate, so that who is refused there while still sending gets to read why.
    gate = [each.cls for each in app.user_middleware].index(Gate)
    app.user_middleware.insert(gate, Middleware(BodyLimit, limit_bytes=_limit_bytes(conf, prefix)))
    app.middleware_stack = None


def _limit_bytes(conf: AppConf, prefix: str) -> Callable[[str, str], int]:
    """The largest body of a request, by its method and path."""

    def limit(method: str, path: str) -> int:
        brings_a_study = (method == "POST" and path.startswith(f"{prefix}/infer/")) or (
            method == "PUT" and path.rstrip("/") in (f"{prefix}/session", f"{prefix}/datastore")
        )
        return conf.limits.upload_bytes if brings_a_study else conf.limits.small_bytes

    return limit
