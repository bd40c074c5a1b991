"""Our twins of MONAI Label's routes under ``/auth``, by which its own Slicer plugin logs in, too."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any
from urllib.parse import parse_qs

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request

from vpt_plugin.store.tokens import ROLES

from ..errors import BadRequestError
from .errors import NotLoggedInError, TooManyLoginsError
from .gate import WRONG_TOKEN_SECONDS, logged_in
from .keycloak import KeycloakLogin, keycloak_settings
from .login import Granted, Login
from .person import Person

router = APIRouter(prefix="/auth", tags=["Auth"])

# Before the login anybody may send this body, so little of it is read.
_MAX_FORM_BYTES = 16 << 10
# With the second that a wrong password costs, so many passwords can be tried in a second, and no more.
_LOGINS = threading.BoundedSemaphore(8)
_REFRESH = "refresh_token"
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "username": {"type": "string"},
                        "password": {"type": "string", "format": "password"},
                        "refresh_token": {"type": "string", "format": "password"},
                    },
                }
            }
        },
    }
}


def _login(request: Request) -> Login:
    login: Login = request.app.state.login
    return login


@router.get("/", summary="Does this server want a login?")
def login_wanted(login: Annotated[Login, Depends(_login)]) -> dict[str, Any]:
    """``login`` is none, token_file or keycloak; the rest is for Keycloak, as in MONAI Label."""
    keycloak = login.conf if isinstance(login, KeycloakLogin) else None
    return {
        "enabled": login.kind != "none",
        "login": login.kind,
        "client_id": keycloak.client_id if keycloak else None,
        "realm": keycloak.realm_uri if keycloak else None,
    }


@router.post("/token", summary="Get a token for a name and a password", openapi_extra=_FORM)
async def token(request: Request, login: Annotated[Login, Depends(_login)]) -> dict[str, str | None]:
    """With a file of tokens the password is the token; with Keycloak it is Keycloak that checks both.

    Where it gives a ``refresh_token``, too, that one alone in the form gives the next token.
    """
    if login.kind == "none":
        return {"access_token": None, "token_type": None}
    ask = _asked(login, await _fields(request))
    if not _LOGINS.acquire(blocking=False):
        raise TooManyLoginsError("too many logins are being tried.", "Try again in a few seconds.")
    try:
        # A limiter of its own gives it a thread however many inferences wait in theirs.
        given = await to_thread.run_sync(ask, limiter=CapacityLimiter(1))
    except NotLoggedInError:
        await asyncio.sleep(WRONG_TOKEN_SECONDS)
        raise
    finally:
        _LOGINS.release()
    again = {"refresh_token": given.refresh_token} if given.refresh_token else {}
    return {"access_token": given.access_token, "token_type": "bearer", **again}


@router.get("/token/valid", summary="Who am I?")
async def token_valid(person: Annotated[Person, Depends(logged_in)]) -> dict[str, Any]:
    """Name and role; ``roles`` are that and the lower ones, as MONAI Label names them."""
    names = keycloak_settings().roles
    return {
        "username": person.name,
        "name": person.name,
        "email": None,
        "role": person.role,
        "roles": [names[role] for role in ROLES if person.may(role)],
    }


def _asked(login: Login, fields: dict[str, list[str]]) -> Callable[[], Granted]:
    """What is to be asked of the login.

    Raises:
        BadRequestError: neither a name and a password nor a refresh token is there, once each.
    """
    try:
        if _REFRESH in fields and not {"username", "password"} & fields.keys():
            (refresh_token,) = fields[_REFRESH]
            return partial(login.renewed, refresh_token)
        (username,), (password,) = fields["username"], fields["password"]
    except (ValueError, KeyError) as error:
        raise _no_login() from error
    return partial(login.token, username, password)


async def _fields(request: Request) -> dict[str, list[str]]:
    """The fields of the form.

    Raises:
        BadRequestError: too long, or no such form.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM_BYTES:
            raise BadRequestError("a name and a password are not that long.")
    try:
        return parse_qs(body.decode("ascii"), max_num_fields=20, errors="strict", keep_blank_values=True)
    except ValueError as error:
        raise _no_login() from error


def _no_login() -> BadRequestError:
    return BadRequestError(
        "no name and password, or not as a form.",
        "Send username=...&password=... as application/x-www-form-urlencoded.",
    )
