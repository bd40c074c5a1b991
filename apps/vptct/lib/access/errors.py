"""What a client is refused with. The statuses stand with all others, in the table of ``lib/errors.py``."""

from __future__ import annotations

from collections.abc import Mapping

from vpt_plugin.errors import VptError


class AccessError(VptError):
    """A request that is not answered because of who asks, or from where."""

    headers: Mapping[str, str] = {}


class NotLoggedInError(AccessError):
    """No token, or none that this server knows.

    Args:
        token_given: there was one, and it opens nothing.
    """

    def __init__(self, message: str, hint: str = "", *, token_given: bool = False) -> None:
        super().__init__(message, hint)
        self.token_given = token_given
        # RFC 6750, section 3.1: the code is left out where no token was given.
        invalid = ', error="invalid_token"' if token_given else ""
        self.headers = {"WWW-Authenticate": f'Bearer realm="VPTCT"{invalid}'}


class RoleMissingError(AccessError):
    """Who is logged in may not do this."""


class ForeignOriginError(AccessError):
    """A web page from elsewhere asks."""


class ForeignComputerError(AccessError):
    """Another computer asks a server without login, which answers its own computer only."""


class ForeignHostError(AccessError):
    """The request is for a host by whose name this server does not know itself."""


class TooManyLoginsError(AccessError):
    """More logins are being tried than are answered at a time."""

    headers: Mapping[str, str] = {"Retry-After": "2"}


class LoginServiceError(AccessError):
    """Whether somebody may log in cannot be found out at the moment."""
