"""KeptLabels: the labels that are on this computer until their server has them, and their way there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable

from ..client import Client
from ..contract.label import SavedLabel, StudyLabel
from ..errors import VptctError
from ..jobs import Job, Jobs, Work
from ..kept_label import KeptLabel
from ..outbox import Outbox, Sending
from ..signal import Signal
from ..ticker import Ticker, Timer
from .conflict import Conflict, conflicts_found, conflicts_told
from .messages import Messages
from .server_link import READY, ServerLink

ABOUT = "labels"
# Where the server is there and something else is in the way: it is full, or another Slicer is sending.
RETRY_SECONDS = 15


@dataclass(frozen=True)
class Target:
    """Where a label goes.

    Attributes:
        study: its id on the server.
        if_version: upon which version it is meant; None where that is not known.
    """

    study: str
    if_version: int | None


@dataclass(frozen=True)
class _Round:
    """What one sending came to, and what is on this computer afterwards."""

    sending: Sending
    kept: Sequence[KeptLabel]
    problems: Sequence[str]
    conflicts: dict[str, Conflict | None]


class KeptLabels:
    """What the outbox holds, as it was at the last look. Sends it whenever the server is there.

    Args:
        outbox: on this computer's disk; only threads touch it.
        server: to which labels go, and the reader whose they are.
        jobs: for all that touches the disk or the server.
        ticker: for trying again.
        messages: for labels that cannot be kept.

    Attributes:
        changed: any of these.
        saved: the server has a label on its disk; with the id of the study, a SavedLabel, and the task.
        all: the labels of all servers and readers, oldest first.
        problems: what is wrong with files that cannot be read.
        sending: labels are on their way.
        problem: why the last sending came to no end; None where it did.
    """

    def __init__(
        self, outbox: Outbox, server: ServerLink, jobs: Jobs, ticker: Ticker, messages: Messages
    ) -> None:
        self.changed, self.saved = Signal(), Signal()
        self._outbox, self._server, self._jobs = outbox, server, jobs
        self._ticker, self._messages = ticker, messages
        self.all: Sequence[KeptLabel] = ()
        self.problems: Sequence[str] = ()
        self.problem: VptctError | None = None
        # By the ids of refused labels; None where it was refused for another reason.
        self._conflicts: dict[str, Conflict | None] = {}
        self._saved: dict[tuple[str, str], SavedLabel] = {}
        self._job: Job[_Round] | None = None
        self.sending = False
        self._again = False
        self._retry: Timer | None = None
        server.ready.connect(self.send)
        server.left.connect(self._on_left)
        self.send()

    # What is known

    @property
    def waiting(self) -> tuple[KeptLabel, ...]:
        """Those that go to this server under this reader's name."""
        return tuple(each for each in self.all if self._is_ours(each) and not each.refused)

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """Those that the reader has to decide about."""
        found = (self._conflicts.get(each.id) for each in self.all if self._is_ours(each))
        return tuple(each for each in found if each is not None)

    @property
    def refused(self) -> tuple[KeptLabel, ...]:
        """Those that this server never takes, for reasons that it told."""
        decided = {each.kept.id for each in self.conflicts}
        return tuple(
            each for each in self.all if self._is_ours(each) and each.refused and each.id not in decided
        )

    @property
    def moved(self) -> tuple[KeptLabel, ...]:
        """Those of this reader for this very server, at an address that it had before."""
        here = self._server_id
        return tuple(each for each in self.elsewhere if here and each.server_id == here)

    @property
    def elsewhere(self) -> tuple[KeptLabel, ...]:
        """Those of this reader for other servers, one of which may have been at this address before."""
        return tuple(
            each
            for each in self.all
            if not each.is_for(self._server.address, self._server_id) and each.reader == self._server.reader
        )

    @property
    def of_others(self) -> tuple[KeptLabel, ...]:
        """Those of other readers: they go under no other name."""
        return tuple(each for each in self.all if each.reader != self._server.reader)

    def saved_here(self, study: str, task: str) -> SavedLabel | None:
        """What the server answered last to this reader's label of a study; None where it got none."""
        return self._saved.get((study, task))

    # What is done

    def keep(
        self,
        target: Target,
        label: StudyLabel,
        kept: Callable[[], object],
        failed: Callable[[], object],
    ) -> None:
        """Have a label on this computer's disk, and then send it.

        Args:
            target: where it goes.
            label: what the reader says.
            kept: called when it is there.
            failed: called when it cannot be kept; the reader is told.
        """
        address, reader = self._server.address, self._server.reader
        server_id = self._server_id

        def call(work: Work) -> None:
            self._outbox.keep(
                address, reader, target.study, label, if_version=target.if_version, server_id=server_id
            )

        def done(_nothing: None) -> None:
            self._messages.settle(ABOUT)
            kept()
            self.send()

        def not_kept(error: VptctError) -> None:
            self._messages.tell_error(error, about=ABOUT)
            failed()

        self._jobs.start(call, done, not_kept, finishes=True)

    def send(self) -> None:
        """Send what waits, or only look at what is there while the server is not."""
        if self._job is not None:
            self._again = True
            return
        self._stop_retry()
        client = self._server.client if self._server.state == READY else None
        reader, server_id, known = self._server.reader, self._server_id, dict(self._conflicts)
        self.sending = client is not None
        self._job = self._jobs.start(
            lambda work: _send(self._outbox, client, reader, server_id, known, work),
            self._sent,
            self._not_sent,
        )
        self.changed.emit()

    def drop(self, kept: KeptLabel) -> None:
        """Forget a label that the server refused, because the reader wants that."""
        self._change(lambda: self._outbox.drop(kept))

    def keep_theirs(self, conflict: Conflict) -> None:
        """The other reader's label counts. This one's stays on the server, set aside."""
        self.drop(conflict.kept)

    def save_mine(self, conflict: Conflict) -> None:
        """This reader's label counts, as a version after the other reader's."""
        mine = conflict.kept

        def call() -> None:
            # In this order: whatever ends in between, it is here at least once.
            self._outbox.keep(
                mine.server,
                mine.reader,
                mine.study,
                mine.label,
                if_version=conflict.newest_version,
                server_id=mine.server_id,
            )
            self._outbox.drop(mine)

        self._change(call)

    def send_here(self, labels: Sequence[KeptLabel]) -> None:
        """These are for the server at the present address: the reader, or its id, says so."""
        address, server_id = self._server.address, self._server_id
        self._change(lambda: self._outbox.move(labels, address, server_id=server_id))

    def close(self) -> None:
        """Send no more; what is here stays."""
        self._stop_retry()

    def _change(self, call: Callable[[], object]) -> None:
        self._jobs.start(lambda work: call(), lambda _: self.send(), self._not_changed, finishes=True)

    def _not_changed(self, error: VptctError) -> None:
        self._messages.tell_error(error, about=ABOUT)
        self.send()

    def _sent(self, result: _Round) -> None:
        self._job, self.sending = None, False
        sending = result.sending
        self.all, self.problems, self.problem = result.kept, result.problems, sending.problem
        self._conflicts.update(result.conflicts)
        for kept, answer in sending.saved:
            self._saved[kept.study, kept.label.task] = answer
        if sending.problem is not None:
            self._server.report(sending.problem, self.send)
        if sending.waiting and self._server.state == READY:
            self._retry = self._ticker.after(RETRY_SECONDS, self.send)
        self.changed.emit()
        for kept, answer in sending.saved:
            self.saved.emit(kept.study, answer, kept.label.task)
        self._send_again()

    def _not_sent(self, error: VptctError) -> None:
        self._job, self.sending = None, False
        self._messages.tell_error(error, about=ABOUT)
        self._server.report(error)
        if self.waiting:
            self._retry = self._ticker.after(RETRY_SECONDS, self.send)
        self.changed.emit()
        self._send_again()

    def _send_again(self) -> None:
        if self._again:
            self._again = False
            self.send()

    def _on_left(self) -> None:
        """Nothing that the old server said counts any more; what is kept for it stays."""
        if self._job is not None:
            self._job.drop()
        self._job, self.sending, self._again, self.problem = None, False, False, None
        self._conflicts.clear()
        self._saved.clear()
        self.send()

    def _stop_retry(self) -> None:
        if self._retry is not None:
            self._retry.stop()
        self._retry = None

    @property
    def _server_id(self) -> str:
        return self._server.info.server_id if self._server.info is not None else ""

    def _is_ours(self, kept: KeptLabel) -> bool:
        return kept.is_for(self._server.address, self._server_id) and kept.reader == self._server.reader


def _send(
    outbox: Outbox,
    client: Client | None,
    reader: str,
    server_id: str,
    known: dict[str, Conflict | None],
    work: Work,
) -> _Round:
    """One round; without a client only a look."""
    if client is None:
        return _Round(Sending(), tuple(outbox.kept()), tuple(outbox.problems()), {})
    sending = outbox.send(client, reader, work.cancel, server_id=server_id)
    conflicts = conflicts_told(sending)
    kept = tuple(outbox.kept())
    refused = [
        each
        for each in kept
        if each.refused and each.is_for(client.address, server_id) and each.reader == reader
    ]
    if sending.problem is None:
        conflicts.update(conflicts_found(client, refused, {**known, **conflicts}, work.cancel))
    return _Round(sending, kept, tuple(outbox.problems()), conflicts)
