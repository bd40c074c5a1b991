"""Logins of the panel: one that can be exchanged while requests run, and how a reader's words become one."""

from __future__ import annotations

from ..address import is_protected
from ..contract.login import LoginWanted
from ..errors import UnreachableError
from ..transport.keycloak import KeycloakLogin
from ..transport.login import AskForToken, Login, NoLogin, PasswordLogin

_KEYCLOAK = "keycloak"


class ChangeableLogin:
    """The login of one server, whoever is logged in there. Several threads may ask; the main one changes it.

    A request that runs while the reader logs in again goes on with the new login.

    Attributes:
        current: that is used from now on.
    """

    def __init__(self) -> None:
        self.current: Login = NoLogin()

    @property
    def is_there(self) -> bool:
        """Whether somebody has logged in."""
        return not isinstance(self.current, NoLogin)

    def forget(self) -> None:
        """Log out, and keep nothing of who was logged in."""
        self.current = NoLogin()

    def token(self, ask: AskForToken) -> str:
        """The token to send; "" for none."""
        return self.current.token(ask)

    def renew(self, refused: str, ask: AskForToken) -> bool:
        """After the server refused a token: whether there is another one now."""
        login = self.current
        # The reader may have logged in again since that token was sent.
        return login.token(ask) != refused or login.renew(refused, ask)


def password_login(wanted: LoginWanted, username: str, password: str, *, ca_bundle: str) -> Login:
    """The login for a name and a password. Asks Keycloak, so not for the GUI's thread.

    Where this computer does not reach Keycloak itself, the server asks it, and the password stays in memory.

    Raises:
        NotLoggedInError: the name or the password is wrong.
        VptctError: Keycloak cannot be asked.
    """
    if wanted.kind == _KEYCLOAK and wanted.realm and wanted.client_id:
        try:
            return KeycloakLogin(wanted.realm, wanted.client_id, username, password, ca_bundle=ca_bundle)
        except UnreachableError:
            return PasswordLogin(username, password)
    return PasswordLogin(username, password)


def can_be_read_along(address: str, wanted: LoginWanted) -> bool:
    """Whether somebody on the network could read a password or a token that is sent for this login."""
    places = [address] + ([wanted.realm] if wanted.realm else [])
    return wanted.wanted and not all(is_protected(place) for place in places)
