"""The gate: who asks is found out before anything of a request is read; ``require`` then checks the role.

FastAPI reads a request's whole body before it asks a dependency. Were the login only a dependency, anybody
could fill the disk with uploads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import anyio
from anyio import to_thread
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from vpt_plugin.store.tokens import ROLES

from .errors import AccessError, NotLoggedInError
from .login import HOW_TO_LOG_IN, Login, NoLogin
from .person import LOCAL, Person
from .refusal import refusal

_PERSON = "vptct.person"
# Pages that are the same for everybody and tell nothing of this site.
_OPEN_PAGES = frozenset({"/", "/docs", "/openapi.json", "/favicon.ico"})
_READING = ("GET", "HEAD")
# So long a wrong token waits for its answer, while no more than so many wait: that much memory and no more.
WRONG_TOKEN_SECONDS = 1.0
_MAX_WAITING = 64


# Reads nothing that counts: it makes /openapi.json tell that there is a token.
_FieldInDocs = Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))]


async def logged_in(request: Request, field: _FieldInDocs) -> Person:
    """A FastAPI dependency: who asks, be it somebody without any role.

    Raises:
        NotLoggedInError.
    """
    person = request.scope.get(_PERSON)
    if not isinstance(person, Person):
        # No gate stood before this route: nobody gets in.
        raise NotLoggedInError("this server wants a login.", HOW_TO_LOG_IN)
    return person


def require(role: str) -> Callable[..., Awaitable[Person]]:
    """A FastAPI dependency that lets through who has this role, and tells the route who it is.

    Raises:
        RoleMissingError: (from the dependency) names the role.
    """
    if role not in ROLES:
        raise ValueError(f"{role!r}; choose from {', '.join(ROLES)}")

    async def checked(person: Annotated[Person, Depends(logged_in)]) -> Person:
        person.check(role)
        return person

    checked.role = role  # type: ignore[attr-defined]  # for the page that lists the routes
    return checked


class Gate:
    """ASGI middleware: without a login that is right nothing is answered but what is open.

    Args:
        app: what stands behind the gate.
        login: how people prove who they are.
        prefix: what MONAI Label's routes begin with, usually "".
    """

    def __init__(self, app: ASGIApp, *, login: Login, prefix: str = "") -> None:
        self._app = app
        self._login = login
        # The routes by which one logs in.
        self._open_routes = {("GET", f"{prefix}/auth/"), ("POST", f"{prefix}/auth/token")}
        # Threads of its own: a login does not wait behind inferences.
        self._threads = anyio.CapacityLimiter(8)
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            # No route of this server speaks WebSocket.
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            person = None if self._is_open(scope) else await self._person(scope)
        except AccessError as error:
            await self._wait_for_wrong_token(error)
            await refusal(scope, error)(scope, receive, send)
            return
        await self._app({**scope, _PERSON: person}, receive, send)

    async def _person(self, scope: Scope) -> Person:
        if isinstance(self._login, NoLogin):
            return LOCAL
        token = bearer_token(Headers(scope=scope))
        return await to_thread.run_sync(self._login.person, token, limiter=self._threads)

    def _is_open(self, scope: Scope) -> bool:
        path, method = route_path(scope), scope["method"]
        return (path in _OPEN_PAGES and method in _READING) or (method, path) in self._open_routes

    async def _wait_for_wrong_token(self, error: AccessError) -> None:
        """Slow down who tries tokens; no thread waits, and the rest of the server does not."""
        if not (isinstance(error, NotLoggedInError) and error.token_given) or self._waiting >= _MAX_WAITING:
            return
        self._waiting += 1
        try:
            await asyncio.sleep(WRONG_TOKEN_SECONDS)
        finally:
            self._waiting -= 1


def bearer_token(headers: Headers) -> str:
    """The token of the header ``Authorization: Bearer TOKEN``, or "". Never one from the address."""
    given = headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" else ""


def route_path(scope: Scope) -> str:
    """The path that routes are found by: without what a reverse proxy put before it (``--root_path``)."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path[len(root) :] if root and path.startswith(root + "/") else path
