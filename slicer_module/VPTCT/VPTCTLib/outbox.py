"""Outbox: labels that could not be sent are kept on this computer, and sent once when the server is back.

A label is kept before it is sent and forgotten after the server has acknowledged it, so none is lost,
whatever ends in between. It is sent upon a version that is noted before, and the server takes the same label
upon the same version for the first one again, so none is saved twice.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable

from .client import Client
from .contract.label import SavedLabel, StudyLabel
from .errors import (
    ContractError,
    NotAllowedError,
    NotLoggedInError,
    NotNowError,
    RefusedError,
    ServerFailedError,
    UnreachableError,
    VptctError,
)
from .folder_lock import folder_lock
from .kept_label import KeptLabel, KeptLabelFiles
from .transport.cancel import Cancel

# Another time, or another login, and it may work.
_LATER = (UnreachableError, NotNowError, ServerFailedError, NotLoggedInError, NotAllowedError, ContractError)


@dataclass(frozen=True)
class Sending:
    """What became of the labels that were to be sent.

    Attributes:
        saved: those that the server acknowledged, with its answers.
        refused: those that it refused for good; they stay here until they are dropped.
        waiting: those that still wait for this server and this reader.
        problem: why they do; None where none does.
        busy: another process, or another thread, is sending at the moment.
    """

    saved: tuple[tuple[KeptLabel, SavedLabel], ...] = ()
    refused: tuple[tuple[KeptLabel, VptctError], ...] = ()
    waiting: int = 0
    problem: VptctError | None = None
    busy: bool = False


@dataclass(frozen=True)
class _Whose:
    """Of which server, and of which reader there."""

    server: str
    server_id: str
    reader: str


class Outbox:
    """The labels that wait, of all servers. Several threads and processes may use one folder.

    Args:
        folder: for nothing else, on a disk of this computer.
        clock: seconds since 1970.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._files = KeptLabelFiles(folder)
        self._clock = clock
        self._sending = threading.Lock()

    def keep(
        self,
        server: str,
        reader: str,
        study: str,
        label: StudyLabel,
        *,
        if_version: int | None = None,
        server_id: str = "",
    ) -> KeptLabel:
        """Keep a label; it is on this computer's disk when this returns. ``send`` sends it.

        Args:
            server: ``Client.address``.
            reader: who is logged in there; "" where nobody is.
            study: its id.
            label: what the reader says.
            if_version: upon which version it is meant: ``Proposal.label_version``, or the newest that the
                reader has seen. None where that is not known: it is then saved upon the newest one.
            server_id: ``ServerInfo.server_id``; "" where it is not known.

        Raises:
            OutboxError: it cannot be kept: the reader must be told.
        """
        now = self._clock()
        created = label.created or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        # Sorts by time; several within one tick of the clock get numbers that cannot meet.
        name = f"{int(now * 1e6):020d}-{secrets.token_hex(8)}"
        label = replace(label, created=created, annotator=label.annotator or reader)
        kept = KeptLabel(name, server, reader, study, label, if_version, server_id=server_id)
        self._files.write(kept)
        return kept

    def kept(self) -> Sequence[KeptLabel]:
        """All labels that are here, waiting or refused, oldest first. Raises: OutboxError."""
        return self._files.read_all()[0]

    def problems(self) -> Sequence[str]:
        """What is wrong with files that cannot be read. They stay where they are. Raises: OutboxError."""
        return self._files.read_all()[1]

    def drop(self, kept: KeptLabel) -> None:
        """Forget a label, because the reader wants that. Raises: OutboxError."""
        self._files.remove(kept)

    def move(self, labels: Sequence[KeptLabel], server: str, *, server_id: str = "") -> bool:
        """Send these to another address from now on: their server has moved.

        Args:
            labels: of ``kept``.
            server: ``Client.address``.
            server_id: ``ServerInfo.server_id`` of the server there; "" where it is not known.

        Returns:
            False where labels are being sent at the moment: nothing was changed.

        Raises:
            OutboxError: they cannot be written.
        """
        if not labels or not self._sending.acquire(blocking=False):
            return not labels
        try:
            with folder_lock(self._files.folder) as alone:
                here = {kept.id for kept in self._files.read_all()[0]} if alone else set()
                for kept in labels:
                    if kept.id in here:
                        self._files.write(replace(kept, server=server, server_id=server_id, refused=""))
                return alone
        finally:
            self._sending.release()

    def send(
        self, client: Client, reader: str, cancel: Cancel | None = None, *, server_id: str = ""
    ) -> Sending:
        """Send what waits for this server and this reader, oldest first, until the server is away again.

        Args:
            client: to the server.
            reader: who is logged in there; "" where nobody is.
            cancel: ends it.
            server_id: ``ServerInfo.server_id``; what is for another server that was at this address stays. ""
                where it is not known.

        Raises:
            OutboxError: what is kept cannot be read or written.
            CancelledError: it was cancelled. What was sent stays here until it is known to be saved.
        """
        whose = _Whose(client.address, server_id, reader)
        if not self._waiting(whose):
            return Sending()
        if not self._sending.acquire(blocking=False):
            return Sending(waiting=len(self._waiting(whose)), busy=True)
        try:
            with folder_lock(self._files.folder) as alone:
                if alone:
                    return self._send(client, whose, cancel)
            return Sending(waiting=len(self._waiting(whose)), busy=True)
        finally:
            self._sending.release()

    def _send(self, client: Client, whose: _Whose, cancel: Cancel | None) -> Sending:
        saved: list[tuple[KeptLabel, SavedLabel]] = []
        refused = []
        problem: VptctError | None = None
        while problem is None and (waiting := self._waiting(whose)):
            kept = self._upon_what_was_saved(waiting[0], saved)
            try:
                saved.append((kept, self._sent(client, kept, cancel)))
            except _LATER as error:
                problem = error
            except RefusedError as error:
                if not error.own_words:
                    problem = error  # A proxy, or another server at this address, has no say in it.
                    continue
                refused.append((self._files.refuse(kept, str(error)), error))
        left = len(self._waiting(whose))
        return Sending(tuple(saved), tuple(refused), left, problem)

    def _sent(self, client: Client, kept: KeptLabel, cancel: Cancel | None) -> SavedLabel:
        if kept.if_version is None:
            kept = self._upon_the_newest(client, kept, cancel)
        saved = client.labels.save(kept.study, kept.label, if_version=kept.if_version, cancel=cancel)
        for later in self._files.read_all()[0]:
            # What the reader said afterwards, not knowing this one's number, is meant upon this one.
            if later.follows(kept):
                self._files.write(replace(later, if_version=saved.version))
        self._files.remove(kept)
        return saved

    def _upon_what_was_saved(
        self, kept: KeptLabel, saved: Sequence[tuple[KeptLabel, SavedLabel]]
    ) -> KeptLabel:
        """A label that was kept while the one before it was on its way is meant upon that one."""
        upon = kept
        for earlier, answer in saved:
            if upon.follows(earlier):
                upon = replace(upon, if_version=answer.version)
        if upon != kept:
            self._files.write(upon)
        return upon

    def _upon_the_newest(self, client: Client, kept: KeptLabel, cancel: Cancel | None) -> KeptLabel:
        """Note upon which version it is sent, before it is: from then on it is saved once at most."""
        history = client.labels.history(kept.study, kept.label.task, cancel)
        kept = replace(kept, if_version=history.newest_version)
        self._files.write(kept)
        return kept

    def _waiting(self, whose: _Whose) -> list[KeptLabel]:
        return [
            kept
            for kept in self._files.read_all()[0]
            if kept.is_for(whose.server, whose.server_id) and kept.reader == whose.reader and not kept.refused
        ]
