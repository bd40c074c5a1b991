"""A look at the server: everything of it that the panel shows, from one moment."""

from __future__ import annotations

from dataclasses import dataclass

from ..client import Client
from ..contract.info import ServerInfo
from ..contract.login import LoginWanted, Person
from ..transport.cancel import Cancel
from .login_state import ChangeableLogin


@dataclass(frozen=True)
class Look:
    """What was seen.

    Attributes:
        login_wanted: how one logs in.
        info: what the server can do; None where it wants a login first, and nobody has logged in.
        person: who is logged in; None likewise.
    """

    login_wanted: LoginWanted
    info: ServerInfo | None
    person: Person | None


def look_at(client: Client, login: ChangeableLogin, cancel: Cancel) -> Look:
    """Look at the server, as far as it lets one. Asks it, so not for the GUI's thread.

    Raises:
        NotLoggedInError: it does not take this login.
        VptctError: it cannot be asked.
    """
    wanted = client.access.login_wanted(cancel)
    if wanted.wanted and not login.is_there:
        return Look(wanted, None, None)
    return look_inside(client, wanted, cancel)


def look_inside(client: Client, wanted: LoginWanted, cancel: Cancel) -> Look:
    """The same with a login. Raises: as ``look_at``."""
    return Look(wanted, client.access.info(cancel), client.access.who_am_i(cancel))
