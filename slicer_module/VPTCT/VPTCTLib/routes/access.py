"""Access: what the server is, whether it wants a login, and who one is there."""

from __future__ import annotations

from ..contract.info import ServerInfo, read_info
from ..contract.login import LoginWanted, Person, read_login_wanted, read_person
from ..transport.cancel import Cancel
from ..transport.connection import Connection
from ..transport.request import get


class Access:
    """Asks about the server itself. Every function raises VptctError, see ``Connection.json``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def info(self, cancel: Cancel | None = None) -> ServerInfo:
        """What the server can do."""
        return read_info(self._connection.json(get("/info/"), cancel))

    def login_wanted(self, cancel: Cancel | None = None) -> LoginWanted:
        """How one logs in; answered without a login. To be asked of a connection without one."""
        return read_login_wanted(self._connection.json(get("/auth/"), cancel))

    def who_am_i(self, cancel: Cancel | None = None) -> Person:
        """Name and role."""
        return read_person(self._connection.json(get("/auth/token/valid"), cancel))
