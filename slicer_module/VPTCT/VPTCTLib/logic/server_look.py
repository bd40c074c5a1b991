"""Looks at the server: everything of it that the panel shows, from one moment, one look at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from ..client import Client
from ..contract.info import ServerInfo
from ..contract.login import LoginWanted, Person
from ..errors import VptctError
from ..i18n import tr as _
from ..jobs import Job, Jobs, Work
from ..ticker import Ticker, Timer
from ..transport.cancel import Cancel
from .login_state import ChangeableLogin
from .server_trouble import is_of_another_program, no_vptct_server

# While the server is away: after 2 s, 3 s, 4 s, and then every 5 s.
_SOON_SECONDS, _LATER_SECONDS = 2, 5


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


@dataclass(frozen=True)
class SeenAs:
    """By what it is known whether everything is still as it was.

    Attributes:
        server_id, version: of the server.
        reader: who works with it.
    """

    server_id: str = ""
    version: str = ""
    reader: str = ""

    def news_in_words(self, before: SeenAs) -> str:
        """What is other about the server; "" where only the reader is."""
        if self.server_id != before.server_id:
            return _("another server answers at this address now; all of it was loaded anew.")
        if self.version != before.version:
            return _("the server is of version {version} now; all of it was loaded anew.").format(
                version=self.version
            )
        return ""


def look_at(client: Client, login: ChangeableLogin, cancel: Cancel) -> Look:
    """Look at the server, as far as it lets one. Asks it, so not for the GUI's thread.

    Raises:
        NotLoggedInError: it does not take this login.
        ContractError: another program answers there.
        VptctError: it cannot be asked.
    """
    try:
        wanted = client.access.login_wanted(cancel)
    except VptctError as error:
        if is_of_another_program(error, logged_in=login.is_there):
            raise no_vptct_server(client.address) from error
        raise
    if wanted.wanted and not login.is_there:
        return Look(wanted, None, None)
    return look_inside(client, wanted, cancel)


def look_inside(client: Client, wanted: LoginWanted, cancel: Cancel) -> Look:
    """The same with a login. Raises: as ``look_at``."""
    return Look(wanted, client.access.info(cancel), client.access.who_am_i(cancel))


class Looks:
    """One look at a time: one that is made or waited for takes the place of the one before."""

    def __init__(self, jobs: Jobs, ticker: Ticker) -> None:
        self._jobs, self._ticker = jobs, ticker
        self._timer: Timer | None = None
        self._job: Job[Any] | None = None
        self._failures = 0

    def now(
        self,
        call: Callable[[Work], Look],
        done: Callable[[Look], object],
        failed: Callable[[VptctError], object],
    ) -> None:
        """Look in a thread."""
        self.stop()
        self._job = self._jobs.start(call, done, failed)

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        """Call this then, but not sooner than a server should be asked again."""
        self._failures = 0
        self._wait(max(_SOON_SECONDS, seconds), call)

    def after_failure(self, call: Callable[[], object]) -> None:
        """Call this soon, and the later the more often it has failed."""
        self._failures += 1
        self._wait(min(_SOON_SECONDS + self._failures - 1, _LATER_SECONDS), call)

    def _wait(self, seconds: float, call: Callable[[], object]) -> None:
        self.stop()
        self._timer = self._ticker.after(seconds, call)

    def stop(self) -> None:
        """Neither what runs nor what is waited for comes to an end."""
        if self._timer is not None:
            self._timer.stop()
        if self._job is not None:
            self._job.drop()
        self._timer = self._job = None
