"""LineWatch: how many studies the server takes before one that waits for its turn there."""

from __future__ import annotations

from typing import Callable

from ..client import Client
from ..contract.info import ServerInfo
from ..errors import VptctError
from ..jobs import Job, Jobs
from ..ticker import Ticker

LOOK_SECONDS = 2.0


def in_line(info: ServerInfo) -> int | None:
    """How many studies are classified or wait for that; None where an older server does not tell."""
    return None if info.inference is None else info.inference.running + info.inference.waiting


class LineWatch:
    """Looks now and then while one waits; of those that came later the server tells nothing.

    Args:
        client: to the server.
        jobs, ticker: for the looks.
        ahead: how many were there before.
        told: is given how many are left; never more than before.
    """

    def __init__(
        self, client: Client, jobs: Jobs, ticker: Ticker, ahead: int, told: Callable[[int], object]
    ) -> None:
        self._client, self._jobs, self._ahead, self._told = client, jobs, ahead, told
        self._job: Job[ServerInfo] | None = None
        self._timer = ticker.every(LOOK_SECONDS, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._timer.stop()
        if self._job is not None:
            self._job.drop()

    def _look(self) -> None:
        if self._job is None:
            self._job = self._jobs.start(
                lambda work: self._client.access.info(work.cancel), self._seen, self._not_seen
            )

    def _seen(self, info: ServerInfo) -> None:
        self._job = None
        others = max(0, (in_line(info) or 0) - 1)  # The one that waits is among them.
        if others < self._ahead:
            self._ahead = others
            self._told(others)
        if not self._ahead:
            self.stop()

    def _not_seen(self, error: VptctError) -> None:
        # The request that waits will tell what is wrong.
        self._job = None
