"""LeaseLedger: the leases that live and the history of all, kept on the disk so that a crash loses nothing.

::

    labels/worklist/leases.json       who has what at the moment, see lease_file.py
    labels/worklist/history.jsonl     what was ever offered, and what became of it, see worklist_history.py
    labels/worklist/.lock             held while somebody chooses or changes a lease

A new lease is written to the leases first and to the history then; an end the other way round. So whatever a
crash comes between, no reader holds a study that the ledger calls free, and no end that was acknowledged is
forgotten; at worst a study waits until its time is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from vpt_plugin.store.history_file import HistoryFile
from vpt_plugin.store.lease import Lease, open_leases
from vpt_plugin.store.lease_file import FILE_NAME, DamagedLeasesError, LeaseFile
from vpt_plugin.store.worklist_history import EXPIRED, WorklistEvent, WorklistHistory
from vpt_plugin.store.worklist_history import FILE_NAME as HISTORY_NAME
from vpt_plugin.store.worklist_lock import WorklistLock


class LeaseLedger:
    """The files of one folder of the worklist. Whoever changes them has it ``taken``.

    Args:
        folder: ``labels/worklist``; it is made with the first lease.
        minutes: how long a lease lasts of which only the history is left.
        patience_seconds: for so long others may have it taken.
    """

    def __init__(self, folder: Path, *, minutes: float, patience_seconds: float = 60.0) -> None:
        self._minutes = minutes
        self._file = LeaseFile(folder / FILE_NAME)
        self._history = HistoryFile(folder / HISTORY_NAME)
        self._lock = WorklistLock(folder, patience_seconds=patience_seconds)

    def taken(self) -> AbstractContextManager[None]:
        """Nobody else, in whatever process, changes anything while this lasts; see ``WorklistLock``."""
        return self._lock.taken()

    def history(self) -> WorklistHistory:
        """What was ever offered, and what became of it.

        Raises:
            OSError: the file is there and cannot be read.
        """
        return self._history.read()

    def seen(self, now: float) -> dict[str, Lease]:
        """The leases that live, by study; changes nothing on the disk, and needs no lock.

        Args:
            now: seconds since 1970.

        Raises:
            OSError: a file is there and cannot be read.
        """
        try:
            leases = self._read(now)
        except DamagedLeasesError:
            leases = self._from_history(now)
        return {study: lease for study, lease in leases.items() if lease.lives(now)}

    def tidied(self, now: float) -> dict[str, Lease]:
        """The leases that live, by study; those that are over are noted as such.

        Args:
            now: seconds since 1970.

        Raises:
            OSError: a file cannot be read or written.
        """
        try:
            leases = self._read(now)
        except DamagedLeasesError as error:
            leases = self._from_history(now)
            self._file.set_aside(error, now)
            self._file.write(leases.values(), now)
        living = {study: lease.shortened(now) for study, lease in leases.items() if lease.lives(now)}
        if living != leases:
            over = [lease for study, lease in leases.items() if study not in living]
            self._history.add(lease.event(EXPIRED, now) for lease in over)
        if living != leases or (living and not self._file.path.exists()):
            self._file.write(living.values(), now)
        return living

    def give(self, leases: Mapping[str, Lease], new: Sequence[Lease], now: float) -> None:
        """Write new leases; all of them are on the disk when this returns, or none.

        Args:
            leases: those that live, without the new ones.
            new: not in the history yet.
            now: seconds since 1970.

        Raises:
            OSError: the disk is full.
        """
        self._file.write([*leases.values(), *new], now)
        try:
            self._history.add(lease.offered() for lease in new)
        except OSError:
            # Nobody was given them. Where this fails, too, they wait until their time is over.
            with suppress(OSError):
                self._file.write(leases.values(), now)
            raise

    def keep(self, leases: Mapping[str, Lease], now: float) -> None:
        """Write leases whose time has changed.

        Raises:
            OSError: the disk is full.
        """
        self._file.write(leases.values(), now)

    def end(self, leases: Mapping[str, Lease], lease: Lease | None, event: WorklistEvent, now: float) -> None:
        """Note what happened, and that a lease is over by it.

        Args:
            leases: those that live.
            lease: of them, that ends; None for no lease.
            event: what happened.
            now: seconds since 1970.

        Raises:
            OSError: the disk is full.
        """
        self._history.add([event])
        if lease is not None:
            self._file.write((each for each in leases.values() if each is not lease), now)

    def _read(self, now: float) -> dict[str, Lease]:
        """As they lie there. A file that was deleted, or is in no backup, is one that was lost."""
        leases = self._file.read()
        return self._from_history(now) if leases is None else leases

    def _from_history(self, now: float) -> dict[str, Lease]:
        return open_leases(self._history.read(), now, self._minutes)
