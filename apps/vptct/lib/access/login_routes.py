"""Our twins of MONAI Label's routes under ``/auth``, by which its own Slicer plugin logs in, too."""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated, Any
from urllib.parse import parse_qs

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request

from vpt_plugin.store.tokens import ROLES

from ..errors import BadRequestError
from .errors import NotLoggedInError, TooManyLoginsError
from .gate import WRONG_TOKEN_SECONDS, logged_in
from .keycloak import KeycloakLogin, keycloak_settings
from .login import Login
from .person import Person

router = APIRouter(prefix="/auth", tags=["Auth"])

# Before the login anybody may send this body, so little of it is read.
_MAX_FORM_BYTES = 16 << 10
# With the second that a wrong password costs, so many passwords can be tried in a second, and no more.
_LOGINS = threading.BoundedSemaphore(8)
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["username", "password"],
                    "properties": {
                        "username": {"type": "string"},
                        "password": {"type": "string", "format": "password"},
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
    """With a file of tokens the password is the token; with Keycloak it is Keycloak that checks both."""
    if login.kind == "none":
        return {"access_token": None, "token_type": None}
    username, password = await _name_and_password(request)
    if not _LOGINS.acquire(blocking=False):
        raise TooManyLoginsError("too many logins are being tried.", "Try again in a few seconds.")
    try:
        # A limiter of its own gives it a thread however many inferences wait in theirs.
        given = await to_thread.run_sync(login.token, username, password, limiter=CapacityLimiter(1))
    except NotLoggedInError:
        await asyncio.sleep(WRONG_TOKEN_SECONDS)
        raise
    finally:
        _LOGINS.release()
    return {"access_token": given, "token_type": "bearer"}


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


async def _name_and_password(request: Request) -> tuple[str, str]:
    """The two fields of the form.

    Raises:
        BadRequestError: too long, or no such form.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM_BYTES:
            raise BadRequestError("a name and a password are not that long.")
    try:
        form = parse_qs(body.decode("ascii"), max_num_fields=20, errors="strict", keep_blank_values=True)
        (username,), (password,) = form["username"], form["password"]
    except (ValueError, KeyError) as error:
        raise BadRequestError(
            "no name and password, or not as a form.",
            "Send username=...&password=... as application/x-www-form-urlencoded.",
        ) from error
    return username, password
