"""LeaseBook: a study that one reader has open is offered to nobody else for a while.

A server and ``vpt next`` may work on one folder, as any number of threads and processes. How it is kept on
the disk: see lease_ledger.py.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vpt_plugin.errors import ConfigurationError, LeaseError
from vpt_plugin.store.lease import (
    NAMELESS,
    SKIP_REASONS,
    Lease,
    Order,
    check_asked,
    check_room,
    check_skip,
    new_holder,
    new_lease,
    order_again,
    order_of,
    utc_text,
)
from vpt_plugin.store.lease_ledger import LeaseLedger
from vpt_plugin.store.worklist_history import (
    GIVEN_BACK,
    LABELLED,
    SKIPPED,
    UNSKIPPED,
    WorklistEvent,
    WorklistHistory,
)

__all__ = ["FOLDER", "SKIP_REASONS", "Held", "Lease", "LeaseBook", "Order"]

# Below the folder of labels.
FOLDER = "worklist"


@dataclass(frozen=True)
class Held:
    """What whoever chooses must know; nothing of it changes while ``LeaseBook.choosing`` lasts.

    Attributes:
        leases: that live, by study.
        history: what was ever offered and skipped.
    """

    leases: Mapping[str, Lease]
    history: WorklistHistory


class LeaseBook:
    """The leases of the studies of one folder of labels.

    Args:
        folder: ``labels/worklist``; it is made with the first lease.
        minutes: how long a lease lasts from when it is given or extended.
        clock: seconds since 1970.
        max_held: so many studies may one reader hold at a time; those without a name together.
        patience_seconds: for so long others may choose before who asks is refused.

    Raises:
        ConfigurationError: ``minutes`` or ``max_held`` is not above 0.
    """

    def __init__(
        self,
        folder: Path,
        *,
        minutes: float = 30.0,
        clock: Callable[[], float] = time.time,
        max_held: int = 200,
        patience_seconds: float = 60.0,
    ) -> None:
        if not (0 < minutes < math.inf and max_held > 0):
            raise ConfigurationError(
                f"leases of {minutes} minutes, {max_held} at a time, are none;", "give numbers above 0."
            )
        self.folder = folder
        self._minutes, self._max_held, self._clock = minutes, max_held, clock
        self._ledger = LeaseLedger(folder, minutes=minutes, patience_seconds=patience_seconds)

    @contextmanager
    def choosing(self) -> Iterator[Held]:
        """Nobody else, in whatever process, is offered a study or ends a lease while this lasts.

        Raises:
            LeaseError: others have kept it for a minute, or the folder may not be written or locked.
            OSError: the disk is full.
        """
        with self._ledger.taken():
            yield Held(self._ledger.tidied(self._clock()), self._ledger.history())

    def offer(self, orders: Sequence[Order], reader: str) -> list[Lease]:
        """Lease studies to a reader: all of them, or none; they are on the disk when this returns.

        Args:
            orders: what was chosen, best within ``choosing``.
            reader: who asked; "" for a reader without a name, who gets a ``holder`` that nobody else knows.

        Raises:
            LeaseError: somebody has one of them, or the reader has too many already; and as ``choosing``.
            StudyNotFoundError: a study's id is none.
            OSError: the disk is full.
        """
        check_asked(reader, [order.study for order in orders])
        with self._ledger.taken():
            return self._give(self._ledger.tidied(self._clock()), orders, reader)

    def again(self, wish: str, reader: str, task: str) -> list[Lease]:
        """What a reader was given for a wish and still has, in that order; none for a wish that is new.

        Args:
            wish: as in ``Order``.
            reader: who asked, "" without a name: who knows the wish is taken for who made it.
            task: for which.

        Raises:
            LeaseError: as ``choosing``.
            OSError: the disk is full.
        """
        asked = (wish, reader, task)
        with self._ledger.taken():
            leases, history = self._ledger.tidied(self._clock()), self._ledger.history()
            mine = [each for each in leases.values() if (each.wish, each.reader, each.task) == asked]
            return [
                lease if history.is_open(lease.offer) else self._give_anew(leases, lease)
                for lease in mine
                if not history.labelled_after(lease.offer)
            ]

    def extend(self, study: str, holder: str) -> Lease:
        """Let a lease last ``minutes`` from now, because its reader has the study open.

        One whose time is over is given again to its reader, by name, where nothing has happened to the study
        since.

        Raises:
            LeaseError: somebody else has the study or has labelled it meanwhile, or this reader has it no
                longer; and as ``choosing``.
            OSError: the disk is full.
        """
        check_asked(holder, [study])
        with self._ledger.taken():
            leases, history = self._ledger.tidied(self._clock()), self._ledger.history()
            lease = _of(leases, study, holder)
            if lease is not None and history.labelled_after(lease.offer):
                raise LeaseError(
                    f"{study}: somebody labelled it while it was in your hands.", "Ask for the next study."
                )
            if lease is not None and history.is_open(lease.offer):
                now = self._clock()
                leases[study] = lease.extended(now, self._minutes)
                self._ledger.keep(leases, now)
                return leases[study]
            if lease is not None:
                return self._give_anew(leases, lease)
            if order := order_again(history, study, holder):
                return self._give(leases, [order], holder)[0]
            raise LeaseError(f"{study}: it is no longer in your hands.", "Ask for the next study.")

    def give_back(self, study: str, holder: str) -> None:
        """End a lease without a label. Where nobody has the study, nothing is left to do.

        Raises:
            LeaseError: somebody else has the study; and as ``choosing``.
            OSError: the disk is full.
        """
        check_asked(holder, [study])
        with self._ledger.taken():
            leases = self._ledger.tidied(self._clock())
            if lease := _of(leases, study, holder):
                self._end(leases, lease, lease.event(GIVEN_BACK, self._clock()))

    def skip(self, study: str, holder: str, reason: str, *, task: str = "", comment: str = "") -> None:
        """Note that a reader does not want to label a study, and end the lease.

        Also without a lease, as long as nobody else has one. What follows of it: see
        ``WorklistHistory.skipped_for``.

        Args:
            study: its id.
            holder: the reader, or the ``holder`` of a lease without a name.
            reason: one of ``SKIP_REASONS``.
            task: "" for that of the lease.
            comment: any text.

        Raises:
            ConfigurationError: the reason is none, the comment is too long, or no task is known.
            LeaseError: somebody else has the study; and as ``choosing``.
            OSError: the disk is full.
        """
        check_asked(holder, [study])
        check_skip(study, reason, comment)
        with self._ledger.taken():
            leases = self._ledger.tidied(self._clock())
            lease = _of(leases, study, holder)
            task = task or (lease.task if lease else "")
            if not task:
                raise ConfigurationError(
                    f"it is not said for which task {study} is to be skipped;",
                    'name it, as in "task": "nodule".',
                )
            event = self._event(SKIPPED, lease, study, task, holder)
            self._end(leases, lease, replace(event, task=task, reason=reason, comment=comment))

    def unskip(self, study: str, reader: str, *, task: str = "") -> None:
        """Let a skipped study be offered again, to everybody.

        Args:
            study: its id.
            reader: who decides so.
            task: for which; "" for all. That it is unreadable is taken back for all tasks.

        Raises:
            LeaseError: nobody has skipped it; and as ``choosing``.
            OSError: the disk is full.
        """
        check_asked(reader, [study])
        with self._ledger.taken():
            event = self._event(UNSKIPPED, None, study, task, reader)
            if not any(event.takes_back(skip) for skip in self._ledger.history().skips):
                raise LeaseError(f"{study}: nobody has skipped it{f' for {task}' if task else ''}.")
            self._end(self._ledger.tidied(self._clock()), None, event)

    def labelled(self, study: str, reader: str, task: str) -> None:
        """A label was saved: note it, and end the lease where it is this reader's, for this task.

        Raises:
            LeaseError, OSError: as ``choosing``. The label itself is saved.
        """
        with self._ledger.taken():
            leases = self._ledger.tidied(self._clock())
            lease = leases.get(study)
            if lease is not None and (lease.reader, lease.task) != (reader, task):
                lease = None
            event = self._event(LABELLED, lease, study, task, reader)
            if lease is None:
                # It may come after the time was over.
                event = replace(event, offer=self._ledger.history().last_offer(study, reader, task))
            self._end(leases, lease, event)

    def held(self) -> Mapping[str, Lease]:
        """The leases that live, by study; changes nothing on the disk.

        Raises:
            OSError: the file is there and cannot be read.
        """
        return self._ledger.seen(self._clock())

    def history(self) -> WorklistHistory:
        """What was ever offered, and what became of it.

        Raises:
            OSError: the file is there and cannot be read.
        """
        return self._ledger.history()

    def _give_anew(self, leases: dict[str, Lease], lease: Lease) -> Lease:
        """A crash came between the lease and the history, when it was given or when it was to end."""
        del leases[lease.study]
        return self._give(leases, [order_of(lease)], lease.reader, lease.holder)[0]

    def _give(
        self, leases: dict[str, Lease], orders: Sequence[Order], reader: str, holder: str = ""
    ) -> list[Lease]:
        for order in orders:
            if lease := leases.get(order.study):
                raise lease.taken()
        has = sum(lease.reader == reader for lease in leases.values())
        check_room(reader, has, len(orders), self._max_held)
        holder, now = holder or reader or new_holder(), self._clock()
        new = [new_lease(order, reader, now, self._minutes, holder=holder) for order in orders]
        self._ledger.give(leases, new, now)
        return new

    def _end(self, leases: Mapping[str, Lease], lease: Lease | None, event: WorklistEvent) -> None:
        self._ledger.end(leases, lease, event, self._clock())

    def _event(self, kind: str, lease: Lease | None, study: str, task: str, holder: str) -> WorklistEvent:
        """What happens now, to a lease or, where there is none, to a study."""
        if lease is not None:
            return lease.event(kind, self._clock())
        # What a reader without a name holds leases by is not for others to read.
        reader = "" if holder.startswith(NAMELESS) else holder
        return WorklistEvent(kind, utc_text(self._clock()), study, task, reader)


def _of(leases: Mapping[str, Lease], study: str, holder: str) -> Lease | None:
    """The lease of this holder; None where nobody has one.

    Raises:
        LeaseError: somebody else has it.
    """
    lease = leases.get(study)
    if lease is not None and not secrets.compare_digest(_bytes(lease.holder), _bytes(holder)):
        raise lease.taken()
    return lease


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
