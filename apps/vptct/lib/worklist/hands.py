"""Hands: who has which study, as the routes ask; one at a time chooses a study or ends a lease."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from vpt_plugin.active.offers import SECOND
from vpt_plugin.errors import CancelledError, LeaseError, StudyNotFoundError, WorklistAwayError
from vpt_plugin.store.lease import SKIP_REASONS, check_skip
from vpt_plugin.store.leases import Lease, LeaseBook
from vpt_plugin.store.source import StudySource
from vpt_plugin.tasks import ReadingTask

from ..access.person import Person
from ..device_queue import FairQueue
from ..errors import FULL_DISK, BadRequestError, BusyError
from ..names import plain_text
from .wishes import Wishes

# Each who waits has a thread of the server, of which there are forty for all routes, and clients give up.
_MAX_WAITING, PATIENCE_SECONDS = 16, 10.0
# Of a lease, for others than its holder: who knows ``holder`` may end it.
_LEASE_TOLD = ("study", "task", "reader", "strategy", "reading", "since", "until", "minutes")
_SKIP_TOLD = ("study", "task", "reader", "reason", "comment", "when")


class Hands:
    """Changes leases for who may.

    Args:
        leases: who has which study.
        studies: those that there are.
        tasks: those that are served.
    """

    def __init__(self, leases: LeaseBook, studies: StudySource, tasks: Sequence[ReadingTask]) -> None:
        self.leases = leases
        self._studies = studies
        self._wishes = Wishes(tasks, [])
        self._turns = FairQueue(max_waiting=_MAX_WAITING, what="readers")

    @contextmanager
    def turn(self, gone: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Wait until nobody else of this server chooses or ends a lease, but not for long.

        Raises:
            BusyError: too many wait, or it takes too long.
            CancelledError: ``gone`` said so.
            WorklistAwayError: who has which study cannot be read or written.
        """
        until = time.monotonic() + PATIENCE_SECONDS

        def given_up() -> bool:
            if time.monotonic() > until:
                raise BusyError(
                    f"others have kept the worklist for {PATIENCE_SECONDS:g} seconds;", "ask again."
                )
            return gone()

        with self._turns.turn(given_up), reachable():
            if gone():
                raise CancelledError
            yield

    def _require(self, study: str) -> str:
        """The study's id as it is now; refuse what is no study."""
        try:
            return self._studies.require(study)
        except StudyNotFoundError as error:
            hint = f"{error.hint} GET /datastore/?output=all lists the ids.".lstrip()
            raise StudyNotFoundError(error.study, error.cause, hint) from error

    def _require_or_held(self, study: str) -> None:
        """Refuse what is no study; one that is gone may still be in somebody's hands.

        Not within a turn: an archive may take a minute to say so.
        """
        with reachable():
            held = study in self.leases.held()
        if not held:
            self._require(study)

    def extend(self, study: str, *, holder: str) -> dict[str, Any]:
        """Keep a study for another while; until when, and how long a lease lasts.

        Raises:
            StudyNotFoundError, ArchiveError: there is no such study, or it is not known.
            BadRequestError: ``holder`` is "".
            LeaseError: it is not in this reader's hands.
            BusyError, WorklistAwayError: as ``turn``.
        """
        self._require_or_held(study)
        with self.turn():
            return told_of_lease(self.leases.extend(study, _said(holder)), own=True)

    def give_back(self, study: str, *, holder: str) -> None:
        """Offer a study to others again. Where nobody has it, nothing is left to do.

        Raises: as ``extend``.
        """
        self._require_or_held(study)
        with self.turn():
            self.leases.give_back(study, _said(holder))

    def skip(self, study: str, said: Mapping[str, str], *, holder: str) -> None:
        """Give a study back, and say why.

        Args:
            study: its id.
            said: ``reason``, ``task`` and ``comment``; "" for none.
            holder: who has it, or skips it without having it.

        Raises:
            StudyNotFoundError, ArchiveError: there is no such study, or it is not known.
            BadRequestError, ConfigurationError, UnknownTaskError: what is said of it cannot be.
            LeaseError: somebody else has it.
            BusyError, WorklistAwayError: as ``turn``.
        """
        study = self._require(study)
        reason, comment = said["reason"], plain_text(said["comment"], "comment")
        if not reason:
            raise BadRequestError("reason is missing;", f"give one of {', '.join(SKIP_REASONS)} in the body.")
        check_skip(study, reason, comment)
        task = self._wishes.task(said["task"]).name if said["task"] else ""
        holder = _said(holder)
        with self.turn():
            if not task and study not in self.leases.held():
                raise BadRequestError(
                    "task is missing: nobody has the study, so no lease says for which it is skipped;",
                    f"give one of {', '.join(self._wishes.tasks)}, in the query or in the body.",
                )
            self.leases.skip(study, holder, reason, task=task, comment=comment)

    def unskip(self, study: str, task: str, *, by: str) -> None:
        """Offer a study again that was skipped; for all tasks where none is named.

        Raises:
            StudyNotFoundError, ArchiveError: there is no such study, or it is not known.
            UnknownTaskError: names those that are served.
            LeaseError: nobody skipped it.
            BusyError, WorklistAwayError: as ``turn``.
        """
        # What was skipped and is gone now may come back.
        with reachable():
            skipped = any(each.study == study for each in self.leases.history().skips)
        if not skipped:
            study = self._require(study)
        task = self._wishes.task(task).name if task else ""
        with self.turn():
            self.leases.unskip(study, by, task=task)

    def require_not_read_blind(self, study: str, task: str) -> None:
        """Refuse to put an answer where others look while a second reader has a study for that task.

        They are to see neither the first label nor what a network says.

        Raises:
            LeaseError: one has it.
            StudyNotFoundError, ArchiveError: there is no such study, or it is not known.
            WorklistAwayError: who has which study cannot be read.
        """
        with reachable():
            held = self.leases.held()
        blind = {each.study: each for each in held.values() if (each.task, each.reading) == (task, SECOND)}
        if blind and (lease := blind.get(self._require(study))) is not None:
            raise LeaseError(
                f"{study}: it is being read a second time, and that reader is not to see the answer;",
                f"send the report when that is over, at {lease.until[11:16]} UTC or before.",
            )

    def leases_seen_by(self, person: Person, reader: str) -> list[dict[str, Any]]:
        """One's own leases; all of them for a reviewer."""
        held = self.leases.held().values()
        seen = [each for each in held if _may_see(person, reader, each.reader)]
        return [told_of_lease(each, own=bool(reader) and each.reader == reader) for each in seen]

    def skips_seen_by(self, person: Person, reader: str) -> list[dict[str, str]]:
        """One's own skips; all of them for a reviewer."""
        skips = self.leases.history().skips
        seen = [each for each in skips if _may_see(person, reader, each.reader)]
        return [{name: getattr(each, name) for name in _SKIP_TOLD} for each in seen]


def _said(holder: str) -> str:
    """Who has a study, where that is said.

    Raises:
        BadRequestError: it is not.
    """
    if not holder:
        raise BadRequestError(
            "client_id is missing: nobody is said to have the study;",
            "give the client_id of the offer, or the holder of its lease, in the query (?client_id=anna) "
            'or in a JSON body ({"client_id": "anna"}).',
        )
    return holder


@contextmanager
def reachable() -> Iterator[None]:
    """Say of a disk that fails what it is needed for; a full one has words of its own."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK:
            raise
        raise WorklistAwayError(
            f"the worklists cannot be told at the moment: {error}",
            "Whoever runs the server looks at the folder of labels, and at the rights in it.",
        ) from error


def told_of_lease(lease: Lease, *, own: bool) -> dict[str, Any]:
    """A lease; to others without what only its holder may know."""
    told = {name: getattr(lease, name) for name in _LEASE_TOLD}
    return {**told, "holder": lease.holder if own else None}


def _may_see(person: Person, reader: str, whose: str) -> bool:
    """Whether it is one's own; a reviewer sees everything."""
    return person.may("reviewer") or (bool(whose) and whose == reader)
