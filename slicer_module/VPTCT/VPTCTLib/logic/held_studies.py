"""HeldStudies: what the server keeps for this reader, and the worklists that it tells with that."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import replace
from typing import Callable

from ..contract.info import ServerInfo
from ..contract.next_study import Proposal
from ..contract.worklist import HeldStudy, StrategyInfo, TaskWorklist, Worklists
from ..errors import VptctError
from ..jobs import Jobs
from ..signal import Signal
from .held import Held, NotedHolders
from .server_link import ServerLink


class HeldStudies:
    """What the server said last.

    Args:
        server: that keeps them.
        jobs: for requests.
        store: of the settings, for readers without a name.

    Attributes:
        changed: anything below.
        all: in the order in which they were offered.
        worklists: with counts, strategies and minutes; None before the server told them.
    """

    def __init__(self, server: ServerLink, jobs: Jobs, store: MutableMapping[str, str]) -> None:
        self._server, self._jobs, self._noted = server, jobs, NotedHolders(store)
        self.changed = Signal()
        self.all: tuple[Held, ...] = ()
        self.worklists: Worklists | None = None
        self._info: ServerInfo | None = None
        server.changed.connect(self._on_server)
        server.ready.connect(self.refresh)
        server.left.connect(self._on_left)

    def of(self, study: str) -> Held | None:
        """The one of this id; None where this reader does not hold it."""
        return next((each for each in self.all if each.study == study), None)

    @property
    def strategies(self) -> tuple[StrategyInfo, ...]:
        """By which a study can be chosen, in the server's order; () where they are not known."""
        return self.worklists.strategies if self.worklists is not None else ()

    def worklist(self, task: str) -> TaskWorklist | None:
        """That of a task; None where it is not known."""
        tasks = self.worklists.tasks if self.worklists is not None else ()
        return next((each for each in tasks if each.task == task), None)

    def refresh(self) -> None:
        """Ask the server. What it does not answer is told by who asks for more than this list."""
        client = self._server.client
        if client is None or self._server.state != "ready":
            return

        def done(state: Worklists) -> None:
            if client is self._server.client:
                self.see(state)

        def failed(error: VptctError) -> None:
            if client is self._server.client:
                self._server.report(error)

        self._jobs.start(lambda work: client.worklist.state(work.cancel), done, failed)

    def reading(self) -> Callable[[Worklists], tuple[Held, ...]]:
        """What finds the reader's studies in an answer of the server; any thread may call it."""
        reader, noted = self._server.reader, self._noted.of(self._server.address)
        # An older server tells the holder in its offer alone.
        holders = {each.study: each.holder for each in self.all}

        def mine(state: Worklists) -> tuple[Held, ...]:
            if not reader:
                return noted
            # A reviewer is told those of the others, too.
            leases = [each for each in state.leases if each.reader == reader]
            return tuple(
                Held(
                    each.study,
                    each.task,
                    each.reading,
                    each.until,
                    each.holder or holders.get(each.study, ""),
                )
                for each in leases
            )

        return mine

    def see(self, state: Worklists) -> None:
        """Take over an answer of the server."""
        self.worklists = state
        self.all = self.reading()(state)
        self.changed.emit()

    def take(self, proposal: Proposal) -> Held | None:
        """A study was offered; None where it is kept for nobody."""
        lease = proposal.lease
        if lease is None:
            return None
        held = Held(proposal.study, lease.task, proposal.reading, lease.until, lease.holder)
        self._put({**{each.study: each for each in self.all}, held.study: held})
        return held

    def extended(self, lease: HeldStudy) -> None:
        """A study is kept for another while."""
        by_study = {each.study: each for each in self.all}
        if lease.study in by_study:
            self._put({**by_study, lease.study: replace(by_study[lease.study], until=lease.until)})

    def forget(self, study: str) -> None:
        """A study is no longer in this reader's hands."""
        self._put({each.study: each for each in self.all if each.study != study})

    def _put(self, by_study: dict[str, Held]) -> None:
        self.all = tuple(by_study.values())
        if not self._server.reader:
            self._noted.note(self._server.address, self.all)
        self.changed.emit()

    def _on_server(self) -> None:
        """The info tells the worklists, too, but for nobody in particular; this reader's are asked for."""
        info, before = self._server.info, self._info
        if info is None or info is before:
            return
        self._info = info
        if self.worklists is None:
            self.worklists = info.worklists
            self.changed.emit()
        elif before is None or info.worklists != before.worklists:
            self.refresh()

    def _on_left(self) -> None:
        self.all, self.worklists, self._info = (), None, None
        self.changed.emit()
