"""LeaseBook: a study that one reader has open is offered to nobody else for a while.

::

    labels/worklist/leases.json       who has what at the moment, see lease_file.py
    labels/worklist/history.jsonl     what was ever offered, and what became of it, see worklist_history.py
    labels/worklist/.lock             held while somebody chooses or changes a lease

A server and ``vpt next`` may work on one folder, as any number of threads and processes. A new lease is
written to the leases first and to the history then; an end the other way round. So whatever a crash comes between, no
reader holds a study that the book calls free, and no end that was acknowledged is forgotten; at worst a study
waits until its time is over.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout

from vpt_plugin.durable import make_folder
from vpt_plugin.errors import ConfigurationError, LeaseError, StudyNotFoundError
from vpt_plugin.store.ids import is_study_id
from vpt_plugin.store.lease_file import (
    FILE_NAME,
    DamagedLeasesError,
    Lease,
    LeaseFile,
    utc_seconds,
    utc_text,
)
from vpt_plugin.store.worklist_history import (
    EXPIRED,
    GIVEN_BACK,
    LABELLED,
    OFFERED,
    OPEN,
    SKIPPED,
    UNREADABLE,
    UNSKIPPED,
    HistoryFile,
    WorklistEvent,
    WorklistHistory,
)
from vpt_plugin.store.worklist_history import FILE_NAME as HISTORY_NAME

__all__ = ["FOLDER", "SKIP_REASONS", "Held", "Lease", "LeaseBook", "Order"]

# Below the folder of labels.
FOLDER = "worklist"
SKIP_REASONS = ("poor_quality", "wrong_examination", UNREADABLE, "unsure", "other")
_NAMELESS = "nameless-"
_PATIENCE_SECONDS = 60.0
_MAX_NAME_CHARACTERS = 200
_MAX_COMMENT_CHARACTERS = 2000
# Two computers on one share need not have the same time to the second.
_CLOCKS_DIFFER_SECONDS = 60.0


@dataclass(frozen=True)
class Order:
    """A study that was chosen and is to be leased; the fields are those of ``Lease``."""

    study: str
    task: str
    strategy: str
    reading: str = "first"
    probabilities: Mapping[str, float] = field(default_factory=dict)
    model: str = ""
    version: int = 0


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
    ) -> None:
        if not (0 < minutes < math.inf and max_held > 0):
            raise ConfigurationError(
                f"leases of {minutes} minutes, {max_held} at a time, are none;", "give numbers above 0."
            )
        self.folder = folder
        self._minutes, self._max_held, self._clock = minutes, max_held, clock
        self._file = LeaseFile(folder / FILE_NAME)
        self._history = HistoryFile(folder / HISTORY_NAME)
        self._threads = threading.RLock()
        # Only the thread that has the lock above takes this one: what it counts is how often.
        self._processes = FileLock(folder / ".lock", timeout=_PATIENCE_SECONDS, thread_local=False)

    @contextmanager
    def choosing(self) -> Iterator[Held]:
        """Nobody else, in whatever process, is offered a study or ends a lease while this lasts.

        Raises:
            LeaseError: others have kept it for a minute, or the disk knows no locks.
            OSError: the disk is full, the folder is not writable.
        """
        with self._alone():
            yield Held(self._tidied(), self._history.read())

    def offer(self, orders: Sequence[Order], reader: str) -> list[Lease]:
        """Lease studies to a reader: all of them, or none; they are on the disk when this returns.

        Args:
            orders: what was chosen, best within ``choosing``.
            reader: who asked; "" for a reader without a name, who gets a ``holder`` that nobody else knows.

        Raises:
            LeaseError: somebody has one of them, or the reader has too many already.
            StudyNotFoundError: a study's id is none.
            OSError: the disk is full, the folder is not writable.
        """
        _checked(reader, [order.study for order in orders])
        with self._alone():
            leases, now = self._tidied(), self._clock()
            for order in orders:
                if taken := leases.get(order.study):
                    raise _taken(taken)
            self._refuse_too_many(leases, reader, len(orders))
            holder = _holder(reader)
            new = [self._lease(order, reader, holder, now) for order in orders]
            self._file.write([*leases.values(), *new])
            self._history.add(_offered(lease) for lease in new)
            return new

    def extend(self, study: str, holder: str) -> Lease:
        """Let a lease last ``minutes`` from now, because its reader has the study open.

        One whose time is over is given again to its reader, by name, while nobody else has had the study
        since and no label has come.

        Raises:
            LeaseError: somebody else has the study, or this reader has it no longer.
            OSError: the disk is full, the folder is not writable.
        """
        _checked(holder, [study])
        with self._alone():
            leases, now = self._tidied(), self._clock()
            lease = self._of(leases, study, holder) or self._revived(study, holder, now)
            until = utc_text(now + 60 * self._minutes)
            leases[study] = replace(lease, until=until, minutes=self._minutes)
            self._file.write(leases.values())
            return leases[study]

    def give_back(self, study: str, holder: str) -> None:
        """End a lease without a label. Where nobody has the study, nothing is left to do.

        Raises: as ``extend``.
        """
        _checked(holder, [study])
        with self._alone():
            leases = self._tidied()
            if lease := self._of(leases, study, holder):
                self._end(leases, lease, self._event(GIVEN_BACK, lease))

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
            LeaseError, OSError: as ``extend``.
        """
        _checked(holder, [study])
        if reason not in SKIP_REASONS:
            raise ConfigurationError(
                f"a study cannot be skipped for the reason {reason[:100]!r};",
                f"choose from {', '.join(SKIP_REASONS)}.",
            )
        if len(comment) > _MAX_COMMENT_CHARACTERS:
            raise ConfigurationError(
                f"the comment on {study} has {len(comment)} characters;",
                f"{_MAX_COMMENT_CHARACTERS} are the most.",
            )
        with self._alone():
            leases = self._tidied()
            lease = self._of(leases, study, holder)
            if lease is None and not task:
                raise ConfigurationError(f"{study} is skipped for no task;", "say for which.")
            event = self._event(SKIPPED, lease, study, task, holder)
            event = replace(event, task=task or event.task, reason=reason, comment=comment)
            self._end(leases, lease, event)

    def unskip(self, study: str, reader: str, *, task: str = "") -> None:
        """Let a skipped study be offered again, to everybody.

        Args:
            study: its id.
            reader: who decides so.
            task: for which; "" for all. That it is unreadable is taken back for all tasks.

        Raises:
            LeaseError: nobody has skipped it.
            OSError: the disk is full, the folder is not writable.
        """
        _checked(reader, [study])
        with self._alone():
            skips = self._history.read().skips
            if not any(
                skip.study == study and (not task or skip.task == task or skip.reason == UNREADABLE)
                for skip in skips
            ):
                raise LeaseError(f"{study}: nobody has skipped it{f' for {task}' if task else ''}.")
            self._history.add([self._event(UNSKIPPED, None, study, task, reader)])

    def labelled(self, study: str, reader: str, task: str) -> None:
        """A label was saved: note it, and end the lease where it is this reader's, for this task.

        Raises:
            LeaseError, OSError: as ``choosing``; the label itself is saved.
        """
        with self._alone():
            leases = self._tidied()
            lease = leases.get(study)
            if lease is not None and (lease.reader, lease.task) != (reader, task):
                lease = None
            event = self._event(LABELLED, lease, study, task, reader)
            if lease is None:
                event = replace(event, offer=self._earlier_offer(study, reader, task))
            self._end(leases, lease, event)

    def held(self) -> Mapping[str, Lease]:
        """The leases that live, by study; changes nothing on the disk.

        Raises:
            OSError: the file is there and cannot be read.
        """
        now = self._clock()
        try:
            leases = self._file.read()
        except DamagedLeasesError:
            leases = self._from_history(now)
        return {study: lease for study, lease in leases.items() if _lives(lease, now)}

    def history(self) -> WorklistHistory:
        """What was ever offered, and what became of it.

        Raises:
            OSError: the file is there and cannot be read.
        """
        return self._history.read()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._threads:
            try:
                make_folder(self.folder)
                self._processes.acquire()
            except Timeout as error:
                raise LeaseError(
                    f"another program has kept the worklist in {self.folder} for a minute;", "ask again."
                ) from error
            except NotImplementedError as error:
                raise LeaseError(
                    f"{self.folder} cannot be locked, so that two readers could get one study: {error}.",
                    "Some network shares know no locks: keep labels elsewhere, --conf labels_dir.",
                ) from error
            try:
                yield
            finally:
                self._processes.release()

    def _tidied(self) -> dict[str, Lease]:
        """The leases that live; those that are over are noted as such. Only ``_alone``."""
        now = self._clock()
        try:
            leases = self._file.read()
        except DamagedLeasesError as error:
            leases = self._from_history(now)
            self._file.set_aside(error, now)
            self._file.write(leases.values())
        living = {study: self._shortened(lease, now) for study, lease in leases.items() if _lives(lease, now)}
        if living != leases:
            over = [self._event(EXPIRED, each) for study, each in leases.items() if study not in living]
            self._history.add(over)
            self._file.write(living.values())
        return living

    def _shortened(self, lease: Lease, now: float) -> Lease:
        """The lease, no longer than it can last: where a clock was put back, it would last for hours."""
        longest = now + 60 * lease.minutes
        if utc_seconds(lease.until) <= longest + _CLOCKS_DIFFER_SECONDS:
            return lease
        return replace(lease, until=utc_text(longest))

    def _from_history(self, now: float) -> dict[str, Lease]:
        """A lease for each offer of the history that has no end; nobody knows how long it lived.

        A reader without a name has lost it: it waits until its time is over.
        """
        history = self._history.read()
        tasks = {offer.task for offer in history.offers}
        still = [each.offer for task in tasks for each in history.outcomes(task) if each.how == OPEN]
        return {
            offer.study: self._lease(_order(offer), offer.reader, _holder(offer.reader), now)
            for offer in still
        }

    def _revived(self, study: str, holder: str, now: float) -> Lease:
        """The lease that this reader had until its time was over, anew.

        Raises:
            LeaseError: there is none, or something has happened to the study since.
        """
        history = self._history.read()
        last = next((event for event in reversed(history.events) if event.study == study), None)
        if last is not None and (last.event, last.reader) == (EXPIRED, holder):
            for offer in reversed(history.offers):
                if offer.offer == last.offer:
                    return replace(self._lease(_order(offer), holder, holder, now), offer=offer.offer)
        raise LeaseError(f"{study}: it is no longer in your hands.", "Ask for the next study.")

    def _refuse_too_many(self, leases: Mapping[str, Lease], reader: str, more: int) -> None:
        has = sum(lease.reader == reader for lease in leases.values())
        if has + more > self._max_held:
            raise LeaseError(
                f"{has} studies are in your hands, and with {more} more they would be more than "
                f"the {self._max_held} that may be.",
                "Label some of them, skip them or give them back.",
            )

    def _of(self, leases: Mapping[str, Lease], study: str, holder: str) -> Lease | None:
        """The lease of this holder; None where nobody has one.

        Raises:
            LeaseError: somebody else has it.
        """
        lease = leases.get(study)
        if lease is not None and not secrets.compare_digest(lease.holder.encode(), holder.encode()):
            raise _taken(lease)
        return lease

    def _end(self, leases: dict[str, Lease], lease: Lease | None, event: WorklistEvent) -> None:
        self._history.add([event])
        if lease is not None:
            del leases[lease.study]
            self._file.write(leases.values())

    def _event(
        self, kind: str, lease: Lease | None, study: str = "", task: str = "", holder: str = ""
    ) -> WorklistEvent:
        """What happens now, to a lease or, where there is none, to a study."""
        when = utc_text(self._clock())
        if lease is None:
            reader = "" if holder.startswith(_NAMELESS) else holder
            return WorklistEvent(kind, when, study, task, reader)
        return WorklistEvent(kind, when, lease.study, lease.task, lease.reader, lease.offer)

    def _earlier_offer(self, study: str, reader: str, task: str) -> str:
        """The newest offer of a study to a reader: its label may come after the time was over."""
        for offer in reversed(self._history.read().offers):
            if (offer.study, offer.reader, offer.task) == (study, reader, task):
                return offer.offer
        return ""

    def _lease(self, order: Order, reader: str, holder: str, now: float) -> Lease:
        return Lease(
            **vars(order),
            reader=reader,
            since=utc_text(now),
            until=utc_text(now + 60 * self._minutes),
            offer=secrets.token_hex(8),
            holder=holder,
            minutes=self._minutes,
        )


def _order(offer: WorklistEvent) -> Order:
    return Order(
        offer.study,
        offer.task,
        offer.strategy,
        offer.reading,
        offer.probabilities,
        offer.model,
        offer.version,
    )


def _offered(lease: Lease) -> WorklistEvent:
    return WorklistEvent(
        OFFERED,
        lease.since,
        lease.study,
        lease.task,
        lease.reader,
        lease.offer,
        strategy=lease.strategy,
        reading=lease.reading,
        probabilities=lease.probabilities,
        model=lease.model,
        version=lease.version,
    )


def _holder(reader: str) -> str:
    return reader or f"{_NAMELESS}{secrets.token_hex(16)}"


def _lives(lease: Lease, now: float) -> bool:
    return lease.until > utc_text(now)


def _taken(lease: Lease) -> LeaseError:
    # Who has it is nobody else's business.
    return LeaseError(
        f"{lease.study}: somebody else has it in their hands, until {lease.until[11:16]} UTC at least.",
        "Ask for the next study.",
    )


def _checked(reader: str, studies: Sequence[str]) -> None:
    """Refuse what is no study and no name.

    Raises:
        StudyNotFoundError, ConfigurationError.
    """
    for study in studies:
        if not is_study_id(study):
            raise StudyNotFoundError(repr(study[:100]), "this is no id of a study.")
    if len(reader) > _MAX_NAME_CHARACTERS:
        raise ConfigurationError(
            f"a reader's name has {len(reader)} characters;", f"{_MAX_NAME_CHARACTERS} are the most."
        )
