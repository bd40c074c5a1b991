"""KeycloakLogin: tokens of Keycloak, or another OpenID Connect service, refreshed without the password."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable
from urllib.parse import urlsplit, urlunsplit

from ..contract.fields import Fields
from ..errors import NotLoggedInError, RefusedError
from .connection import Connection
from .login import AskForToken, runs_out_at
from .request import Request, get
from .retry import RetryRule

# A token that runs out within this time is replaced before an upload begins with it.
_SOON_SECONDS = 30.0
_LOG_IN_AGAIN = "Log in again."


class KeycloakLogin:
    """A name and a password, exchanged at once for tokens; the password is forgotten then.

    Keycloak must be reachable from this computer; where only the server reaches it, ``PasswordLogin`` asks
    the server. Several threads may use it.

    Args:
        realm: its address, ``LoginWanted.realm``.
        client_id: ``LoginWanted.client_id``; the client allows direct access grants.
        username, password: of the reader.
        ca_bundle: as for ``Connection``.
        clock: seconds since 1970.

    Raises:
        NotLoggedInError: the name or the password is wrong.
        VptctError: Keycloak cannot be asked.
    """

    def __init__(
        self,
        realm: str,
        client_id: str,
        username: str,
        password: str,
        *,
        ca_bundle: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client_id = client_id
        self._clock = clock
        self._lock = threading.Lock()
        # Once: where it is out of reach, there is another way, and the reader waits.
        first = Connection(realm, ca_bundle=ca_bundle, retry=RetryRule(attempts=1))
        found = first.json(get("/.well-known/openid-configuration"))
        endpoint = urlsplit(Fields(found, "the realm").text("token_endpoint"))
        self._path = endpoint.path
        self._realm = Connection(urlunsplit((*endpoint[:2], "", "", "")), ca_bundle=ca_bundle)
        self._grant(grant_type="password", username=username, password=password)

    def token(self, ask: AskForToken) -> str:
        """The present one; a new one where it is about to run out.

        Raises:
            NotLoggedInError: the login has ended.
            VptctError: Keycloak cannot be asked.
        """
        with self._lock:
            until = runs_out_at(self._current)
            if until is not None and until - self._clock() < _SOON_SECONDS:
                self._refresh()
            return self._current

    def renew(self, refused: str, ask: AskForToken) -> bool:
        """Get another one, unless another thread already did. Raises: as ``token``."""
        with self._lock:
            if self._current == refused:
                self._refresh()
            return self._current != refused

    def _refresh(self) -> None:
        if not self._refresh_token:
            raise NotLoggedInError("the login has run out.", _LOG_IN_AGAIN)
        self._grant(grant_type="refresh_token", refresh_token=self._refresh_token)

    def _grant(self, **fields: str) -> None:
        request = Request("POST", self._path, fields={"client_id": self._client_id, **fields})
        try:
            given = Fields(self._realm.json(request), "the token")
        except RefusedError as error:
            # RFC 6749, section 5.2: 400 for what is wrong; Keycloak says 401 for a wrong password.
            if error.status not in (400, 401):
                raise
            raise NotLoggedInError(_why(fields), _LOG_IN_AGAIN, status=error.status) from error
        self._current = given.text("access_token")
        # It may give a new one each time, and take the old one back, or none at all.
        refresh_token: Any = given.data.get("refresh_token")
        self._refresh_token = refresh_token if isinstance(refresh_token, str) else ""


def _why(fields: dict[str, str]) -> str:
    if fields["grant_type"] == "password":
        return "the login service does not take this name and password."
    return "the login has run out."
