"""Looks at the server: everything of it that the panel shows, from one moment, one look at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from ..client import Client
from ..contract.info import ServerInfo
from ..contract.login import LoginWanted, Person
from ..errors import VptctError
from ..jobs import Job, Jobs, Work
from ..ticker import Ticker, Timer
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


class Looks:
    """One look at a time: one that is made or waited for takes the place of the one before."""

    def __init__(self, jobs: Jobs, ticker: Ticker) -> None:
        self._jobs, self._ticker = jobs, ticker
        self._timer: Timer | None = None
        self._job: Job[Any] | None = None

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
        """Call this then."""
        self.stop()
        self._timer = self._ticker.after(seconds, call)

    def stop(self) -> None:
        """Neither what runs nor what is waited for comes to an end."""
        if self._timer is not None:
            self._timer.stop()
        if self._job is not None:
            self._job.drop()
        self._timer = self._job = None
