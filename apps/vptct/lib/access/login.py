"""The ways to log in: none, a file of tokens, Keycloak (``keycloak.py``)."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vpt_plugin.errors import TokenFileError
from vpt_plugin.store.tokens import TokenFile

from .errors import LoginServiceError, NotLoggedInError
from .person import LOCAL, Person

_logger = logging.getLogger(__name__)
# A broken file is told again after this time, not at every request.
_TELL_AGAIN_SECONDS = 60.0
HOW_TO_LOG_IN = "Send the header: Authorization: Bearer TOKEN"


@dataclass(frozen=True)
class Granted:
    """What somebody gets who logs in.

    Attributes:
        access_token: to be sent with every request.
        refresh_token: for which there is another one when it has run out; "" where it does not.
    """

    access_token: str
    refresh_token: str = ""


class Login(Protocol):
    """How people prove who they are. Several threads may ask; it may take as long as a disk or a network."""

    @property
    def kind(self) -> str:
        """``none``, ``token_file`` or ``keycloak``."""

    def person(self, token: str) -> Person:
        """Whose token this is.

        Args:
            token: what came after ``Bearer``; "" where nothing came.

        Raises:
            NotLoggedInError: nobody's.
            LoginServiceError: it cannot be found out at the moment.
        """

    def token(self, username: str, password: str) -> Granted:
        """A token for a name and a password.

        Raises:
            NotLoggedInError: they are wrong.
            LoginServiceError: it cannot be found out at the moment.
        """

    def renewed(self, refresh_token: str) -> Granted:
        """A token for a refresh token.

        Raises:
            NotLoggedInError: it is none, or has run out.
            LoginServiceError: it cannot be found out at the moment.
        """


class NoLogin:
    """Everybody is the local administrator."""

    kind = "none"

    def person(self, token: str) -> Person:
        """The local administrator."""
        return LOCAL

    def token(self, username: str, password: str) -> Granted:
        """No token: none is needed."""
        return Granted("")

    def renewed(self, refresh_token: str) -> Granted:
        """No token, either."""
        return Granted("")


class TokenFileLogin:
    """The file of tokens. While it cannot be used nobody gets in: a token might have been taken away.

    Args:
        path: the file.

    Raises:
        TokenFileError: it cannot be used, so the server does not start.
    """

    kind = "token_file"

    def __init__(self, path: Path) -> None:
        self._file = TokenFile(path)
        self._told_at = -float("inf")
        if not self._file.people():
            _logger.warning(
                "%s holds no token, so nobody can log in; vpt tokens add makes one, no restart needed", path
            )

    def person(self, token: str) -> Person:
        """Whose token this is; see ``Login``."""
        if not token:
            raise NotLoggedInError("this server wants a login.", HOW_TO_LOG_IN)
        person = self._find(token)
        if person is None:
            raise NotLoggedInError(
                "this server does not know this token.",
                "It may have been taken away; who runs this server makes a new one.",
                token_given=True,
            )
        return person

    def token(self, username: str, password: str) -> Granted:
        """The password itself, which is the token: so clients log in that ask for a name and a password."""
        person = self._find(password)
        if person is None or person.name != username:
            raise NotLoggedInError(
                "wrong name or token.",
                "The name is that of the token, the password is the token itself.",
                token_given=True,
            )
        return Granted(password)

    def renewed(self, refresh_token: str) -> Granted:
        """Refused: a token of the file does not run out, so there is none to renew it with."""
        raise NotLoggedInError("this server has no refresh tokens.", HOW_TO_LOG_IN, token_given=True)

    def _find(self, token: str) -> Person | None:
        try:
            owner = self._file.find(token)
        except TokenFileError as error:
            self._tell(error)
            raise LoginServiceError(
                "nobody can log in: the server's file of tokens cannot be used.",
                "The server's log says what is wrong with it.",
            ) from error
        return None if owner is None else Person(owner.name, owner.role)

    def _tell(self, error: TokenFileError) -> None:
        if time.monotonic() - self._told_at >= _TELL_AGAIN_SECONDS:
            self._told_at = time.monotonic()
            _logger.error("nobody can log in until this is put right: %s", error)
