"""Logins: how a request gets its token, and what is done when it has run out."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping
from typing import Callable, Protocol

from ..contract.login import Tokens

# Asks the server for the tokens of ``username`` and ``password``, or of a ``refresh_token``.
AskForToken = Callable[[Mapping[str, str]], Tokens]
# A token that runs out within this time is replaced before an upload begins with it.
_SOON_SECONDS = 60.0


class Login(Protocol):
    """Gives tokens. Several threads may ask."""

    def token(self, ask: AskForToken) -> str:
        """The token to send; "" for none."""
        ...

    def renew(self, refused: str, ask: AskForToken) -> bool:
        """After the server refused a token: whether there is another one now."""
        ...


class NoLogin:
    """For a server that wants none."""

    def token(self, ask: AskForToken) -> str:
        """None."""
        return ""

    def renew(self, refused: str, ask: AskForToken) -> bool:
        """Never."""
        return False


class TokenLogin:
    """A token that an administrator gave to the reader.

    Args:
        token: as it was given.
    """

    def __init__(self, token: str) -> None:
        self._token = token.strip()

    def token(self, ask: AskForToken) -> str:
        """That one."""
        return self._token

    def renew(self, refused: str, ask: AskForToken) -> bool:
        """Never: who gave it must give another one."""
        return False


class PasswordLogin:
    """A name and a password, which the server exchanges for a token, by Keycloak where it uses that.

    Where the server hands on a refresh token of Keycloak's, name and password are forgotten once they were
    exchanged. Otherwise, so that nobody has to log in again every few minutes, they stay in memory until this
    object goes; they are never written anywhere.

    Args:
        username: of the reader.
        password: the reader's; for a server with a file of tokens it is the token.
        clock: seconds since 1970.
    """

    def __init__(self, username: str, password: str, *, clock: Callable[[], float] = time.time) -> None:
        self._fields = {"username": username, "password": password}
        self._clock = clock
        self._current = ""
        self._lock = threading.Lock()

    def token(self, ask: AskForToken) -> str:
        """The present one; a new one where there is none, or where it is about to run out.

        Raises:
            NotLoggedInError: the name or the password is wrong, or the login has ended.
            VptctError: the server cannot be asked.
        """
        with self._lock:
            until = runs_out_at(self._current)
            if not self._current or (until is not None and until - self._clock() < _SOON_SECONDS):
                self._exchange(ask)
            return self._current

    def renew(self, refused: str, ask: AskForToken) -> bool:
        """Get another one, unless another thread already did.

        Raises: as ``token``.
        """
        with self._lock:
            if self._current == refused:
                self._exchange(ask)
            # A file of tokens gives the same one again, which is refused again.
            return self._current != refused

    def _exchange(self, ask: AskForToken) -> None:
        given = ask(self._fields)
        self._current = given.access
        # It may give a new one each time, and take the old one back.
        if given.refresh:
            self._fields = {"refresh_token": given.refresh}


def runs_out_at(token: str) -> float | None:
    """When a JSON web token runs out, in seconds since 1970; None for another one, or where it does not say.

    Its signature is not looked at: that is for the server.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    until = claims.get("exp") if isinstance(claims, dict) else None
    return float(until) if isinstance(until, (int, float)) and not isinstance(until, bool) else None
