"""HeldStudies: what the server keeps for this reader, and the worklists that it tells with that."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import replace
from typing import Callable

from ..contract.info import ServerInfo
from ..contract.next_study import Proposal
from ..contract.worklist import HeldStudy, StrategyInfo, TaskWorklist, Worklists
from ..errors import CancelledError, NotLoggedInError, VptctError
from ..jobs import Job, Jobs
from ..signal import Signal
from .held import Held, NotedHolders
from .server_link import AWAY, CONNECTING, READY, ServerLink
from .server_trouble import says_it_is_away


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
        is_known: the server has said what this reader holds, or that it does not tell that.
    """

    def __init__(self, server: ServerLink, jobs: Jobs, store: MutableMapping[str, str]) -> None:
        self._server, self._jobs, self._noted = server, jobs, NotedHolders(store)
        self.changed = Signal()
        self.all: tuple[Held, ...] = ()
        self.worklists: Worklists | None = None
        self.is_known = False
        self._info: ServerInfo | None = None
        self._job: Job[Worklists] | None = None
        server.changed.connect(self._on_server)
        server.ready.connect(self.refresh)
        server.left.connect(self._on_left)

    def of(self, study: str) -> Held | None:
        """The one of this id; None where this reader does not hold it.

        By the study alone: a server lends a study to one reader for one task at a time.
        """
        return next((each for each in self.all if each.study == study), None)

    @property
    def is_awaited(self) -> bool:
        """Whether there is a server that has yet to say what this reader holds."""
        state, was_there = self._server.state, self._server.client is not None
        return not self.is_known and (state in (CONNECTING, READY) or (state == AWAY and was_there))

    @property
    def strategies(self) -> tuple[StrategyInfo, ...]:
        """By which a study can be chosen, in the server's order; () where they are not known."""
        return self.worklists.strategies if self.worklists is not None else ()

    def worklist(self, task: str) -> TaskWorklist | None:
        """That of a task; None where it is not known."""
        tasks = self.worklists.tasks if self.worklists is not None else ()
        return next((each for each in tasks if each.task == task), None)

    def refresh(self) -> None:
        """Ask the server. What it does not answer is told by who asks for more than this list.

        An answer to an earlier question is not waited for any more: it may come last, and is older.
        """
        client = self._server.client
        if client is None or self._server.state != READY:
            return
        self._drop_question()

        def done(state: Worklists) -> None:
            self._job = None
            self.see(state)

        def failed(error: VptctError) -> None:
            self._job = None
            self._not_told(error)

        self._job = self._jobs.start(lambda work: client.worklist.state(work.cancel), done, failed)

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
        self._is_told()

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

    def forget(self, study: str, task: str = "") -> None:
        """A study is no longer in this reader's hands: for whichever task, or where it was for this one."""
        gone = (study, task)
        kept = [each for each in self.all if gone not in ((each.study, ""), (each.study, each.task))]
        self._put({each.study: each for each in kept})

    def _put(self, by_study: dict[str, Held]) -> None:
        self.all = tuple(by_study.values())
        if not self._server.reader:
            self._noted.note(self._server.address, self.all)
        self._ask_anew()
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
        self._drop_question()
        self.all, self.worklists, self._info, self.is_known = (), None, None, False
        self.changed.emit()

    def _is_told(self) -> None:
        self.is_known = True
        self._ask_anew()
        self.changed.emit()

    def _not_told(self, error: VptctError) -> None:
        if not (says_it_is_away(error) or isinstance(error, (NotLoggedInError, CancelledError))):
            # It has no worklists, or not for this reader. What passes is asked again when it is over.
            self._is_told()
        self._server.report(error)

    def _ask_anew(self) -> None:
        """What was asked before this may be answered as it was before it."""
        if self._job is not None:
            self.refresh()

    def _drop_question(self) -> None:
        if self._job is not None:
            self._job.drop()
        self._job = None
