"""DicomArchive: the CT series of a DICOMweb archive as studies, read from a cache on this computer."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vpt_plugin.errors import (
    ArchiveError,
    ArchiveUnreachableError,
    IncompleteSeriesError,
    StudyNotFoundError,
)
from vpt_plugin.store.archive.address import ArchiveAddress, Credentials
from vpt_plugin.store.archive.cache import ListedSeries, SeriesCache
from vpt_plugin.store.archive.client import USUAL_PATIENCE, ArchiveClient, Patience
from vpt_plugin.store.archive.failures import LoginRefusedError
from vpt_plugin.store.archive.fetch import SeriesFetch
from vpt_plugin.store.archive.identity import is_uid
from vpt_plugin.store.archive.last_use import LastUse
from vpt_plugin.store.archive.listing import (
    CT_SERIES,
    SeriesFilter,
    SeriesRecord,
    find_series,
    instances_of,
)
from vpt_plugin.store.archive.reachability import Reachability
from vpt_plugin.store.archive.remembered import RememberedListing
from vpt_plugin.store.archive.usage import SeriesUse
from vpt_plugin.store.source import OpenedStudy, SourceState

_logger = logging.getLogger(__name__)
# Who asks for a series that is not listed may have sent it to the archive just now.
_SOON_SECONDS = 2.0
_GIGABYTE = 1e9
_AGAIN = "Ask again; if it stays, send the series to the archive once more."


class DicomArchive:
    """The studies of an archive, a ``StudySource``: each series is one, its id the SeriesInstanceUID.

    Making one never fails and asks nobody: an archive that is down is told by ``state`` and when something is
    wanted of it.

    Args:
        address: where the archive is.
        cache_folder: where its series and the last listing are kept; for this archive alone.
        credentials: who asks; None asks without a login.
        wanted: which series are studies.
        cache_gb: above it, the series used least recently leave the cache.
        fresh_seconds: how long a listing is believed before the archive is asked again.
        memory_seconds: how long a failure is believed.
        patience: how long to wait for the archive.
        threads: how many files to fetch at a time.
        in_passing: as of ``LastUse``.
    """

    def __init__(
        self,
        address: ArchiveAddress,
        cache_folder: Path,
        *,
        credentials: Credentials | None = None,
        wanted: SeriesFilter = CT_SERIES,
        cache_gb: float = 50.0,
        fresh_seconds: float = 30.0,
        memory_seconds: float = 5.0,
        patience: Patience = USUAL_PATIENCE,
        threads: int = 4,
        in_passing: bool = False,
    ) -> None:
        self.address = address
        self._credentials = credentials
        self._wanted = wanted
        self._patience = patience
        self._threads = threads
        self._use = SeriesUse()
        self._last_use = LastUse(cache_folder / "series", in_passing=in_passing)
        self._cache = SeriesCache(
            cache_folder, limit_bytes=cache_gb * _GIGABYTE, use=self._use, last_use=self._last_use
        )
        self._reachability = Reachability(memory_seconds=memory_seconds)
        # Another filter, another listing: what is remembered must not show what is no longer wanted.
        digest = hashlib.sha256(repr(wanted).encode()).hexdigest()[:12]
        file = cache_folder / f"listing-{digest}.json"
        self._listing = RememberedListing(
            self._ask_for_series, file, check=self._reachability.check, fresh_seconds=fresh_seconds
        )

    @property
    def name(self) -> str:
        """The archive's host."""
        return self.address.host

    @property
    def origin(self) -> str:
        """The archive's address without the protocol, which may change."""
        return self.address.url.partition("://")[2]

    def ids(self) -> list[str]:
        """The SeriesInstanceUIDs of all wanted series, sorted.

        Raises:
            ArchiveUnreachableError: the archive was never listed and cannot be asked.
        """
        return list(self._listing.records())

    def require(self, study_id: str) -> str:
        """The id itself, of a series that there is; fetches nothing.

        Raises:
            StudyNotFoundError: there is none.
            ArchiveUnreachableError: it is not known, and the archive cannot be asked.
        """
        return self._record(study_id).uid

    def study_of_series(
        self, series_uid: str, *, examination: str = "", cancelled: Callable[[], bool] | None = None
    ) -> str:
        """The series itself. Raises: as ``require``."""
        return self.require(series_uid)

    def remember(self, study_id: str) -> None:
        """Nothing: a series is what its UID says."""

    def facts(self, study_id: str) -> dict[str, Any]:
        """What the archive says of a series.

        ``name``, ``kind``, ``place``, ``patient``, ``study_date`` (20201231), ``description``, ``modality``
        and ``slices``, None where it does not count them.

        Raises:
            StudyNotFoundError, ArchiveUnreachableError: as ``require``.
        """
        record = self._record(study_id)
        known = (record.patient, record.study_date, record.description)
        name = " ".join(filter(None, known)) or record.uid
        return {
            "name": name,
            "kind": "dicom",
            "place": name,
            "patient": record.patient,
            "study_date": record.study_date,
            "description": record.description,
            "modality": record.modality,
            "slices": record.slices,
        }

    def dates(self) -> dict[str, str]:
        """The StudyDate of all series that have one in the listing, by UID.

        Raises:
            ArchiveUnreachableError: as ``ids``.
        """
        return {uid: each.study_date for uid, each in self._listing.records().items() if each.study_date}

    @contextmanager
    def opened(self, study_id: str, *, cancelled: Callable[[], bool] | None = None) -> Iterator[OpenedStudy]:
        """All slices of a series as the archive lists them now; those that are missing here are fetched.

        While the archive is down a series that is whole in the cache is read from there, with a note.

        Raises:
            StudyNotFoundError: there is no such series.
            ArchiveUnreachableError: the archive cannot be asked, and the series is not whole in the cache.
            IncompleteSeriesError: the archive does not hand out every slice; what came is kept.
            ArchiveError: the cache cannot be written to.
            CancelledError: ``cancelled`` said so.
        """
        record = self._record(study_id)
        asked = cancelled or (lambda: False)
        try:
            with self._last_use.reading(record.uid):
                with self._use.checking(record.uid, asked):
                    notes = self._make_whole(record, asked)
                    self._use.begin_reading(record.uid)
                try:
                    yield OpenedStudy(self._cache.slices(record.uid), notes)
                finally:
                    self._use.end_reading(record.uid)
        finally:
            self._cache.make_room()

    @contextmanager
    def conversation(self, cancelled: Callable[[], bool] | None = None) -> Iterator[ArchiveClient]:
        """A conversation with the archive, to store something in it.

        Raises:
            ArchiveUnreachableError: it could not be reached a moment ago, or cannot be now.
            ArchiveError, CancelledError: as the client's methods.
        """
        with self._reachability.asking(), self._client(cancelled) as client:
            yield client

    def refresh(self) -> None:
        """Ask the archive for its series now; one that is down is no error here, ``state`` tells."""
        with suppress(ArchiveUnreachableError):
            self._listing.look()

    def state(self) -> SourceState:
        """What the last question to the archive found; asks nobody."""
        failure = self._reachability.failure
        return SourceState("archive", failure is None, "" if failure is None else str(failure))

    def _client(self, cancelled: Callable[[], bool] | None = None) -> ArchiveClient:
        return ArchiveClient(self.address, self._credentials, patience=self._patience, cancelled=cancelled)

    def _ask_for_series(self, known: Iterable[SeriesRecord]) -> list[SeriesRecord]:
        with self._reachability.asking(), self._client() as client:
            return find_series(client, self._wanted, known)

    def _record(self, study_id: str) -> SeriesRecord:
        if not is_uid(study_id):
            raise _not_found(study_id)
        try:
            known = self._listing.records()
        except ArchiveUnreachableError:
            cached = self._cache.listed(study_id)
            if cached is None or not self._wanted.matches(cached.record):
                raise
            return cached.record
        # A copy of what the last listing no longer had is not read, not even while the archive is down.
        found = known.get(study_id)
        found = found or self._listing.look(not_older_than_seconds=_SOON_SECONDS).get(study_id)
        if found is None:
            raise _not_found(study_id)
        return found

    def _make_whole(self, record: SeriesRecord, cancelled: Callable[[], bool]) -> tuple[str, ...]:
        """Bring the cache to what the archive lists; the notes for whoever reads the answer."""
        try:
            with self._reachability.asking(), self._client(cancelled) as client:
                instances = instances_of(client, record)
            # An address that leads elsewhere has no instances either; then this says so.
            listed = bool(instances) or record.uid in self._listing.look()
        except LoginRefusedError:
            raise  # the archive is there, and says no
        except ArchiveUnreachableError as error:
            return (self._note_of_copy(record, error, cancelled),)
        if not listed:
            # A copy in the cache stays until others need its room: the series may come back.
            raise StudyNotFoundError(record.uid, "the archive no longer has it.", "Its labels are kept.")
        if not instances:
            raise IncompleteSeriesError(
                f"{record.uid}: {self.name} lists the series and no slice of it.", _AGAIN
            )
        self._complete(record, instances, cancelled)
        self._last_use.now(record.uid)
        return ()

    def _note_of_copy(
        self, record: SeriesRecord, error: ArchiveUnreachableError, cancelled: Callable[[], bool]
    ) -> str:
        """What must be said of the copy in the cache; raises where there is no whole one."""
        cached = self._cache.listed(record.uid)
        if cached is None or not self._cache.is_whole(cached):
            cause = f"{record.uid} is not whole in the cache, and {error.message}"
            raise type(error)(cause, error.hint) from error
        self._drop_all_but(cached.instances, record.uid, cancelled)
        self._last_use.now(record.uid)
        return f"The archive cannot be reached: this is the copy of {cached.day}."

    def _complete(self, record: SeriesRecord, instances: list[str], cancelled: Callable[[], bool]) -> None:
        here = self._cache.here(record.uid)
        missing = [each for each in instances if each not in here]
        if missing:
            # Whoever reads the series as it was must not find it changed halfway.
            self._use.wait_for_readers(record.uid, cancelled)
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        listed = ListedSeries(record, tuple(instances), now)
        if not listed.says_what(self._cache.listed(record.uid)):
            # First the list, then the slices: from here on the series is not whole without one of them.
            self._cache.write_list(listed)
        self._drop_all_but(instances, record.uid, cancelled)
        if missing:
            self._fetch(record, missing, len(instances), cancelled)

    def _drop_all_but(self, instances: Collection[str], uid: str, cancelled: Callable[[], bool]) -> None:
        """Leave nothing in the folder to be read but these: no instance that left, no half written file."""
        if self._cache.holds_more(uid, instances):
            self._use.wait_for_readers(uid, cancelled)
            self._cache.drop_all_but(uid, instances)

    def _fetch(
        self, record: SeriesRecord, missing: list[str], listed: int, cancelled: Callable[[], bool]
    ) -> None:
        fetch = SeriesFetch(
            record,
            self._client,
            lambda instance, data: self._cache.keep(record.uid, instance, data),
            threads=self._threads,
        )
        try:
            refused = fetch.run(missing, cancelled)
        except ArchiveUnreachableError as error:
            self._reachability.failed(error)
            have = len(self._cache.here(record.uid))
            cause = f"{record.uid}: {have} of {listed} slices came and are kept, then {error.message}"
            raise type(error)(cause, error.hint) from error
        if refused:
            raise self._incomplete(record, listed, refused[0])

    def _incomplete(self, record: SeriesRecord, listed: int, cause: ArchiveError) -> IncompleteSeriesError:
        have = len(self._cache.here(record.uid))
        return IncompleteSeriesError(
            f"{record.uid}: {have} of {listed} slices came from {self.name}: {cause.message}",
            f"What came is kept, and nothing is read before the rest is here. {_AGAIN}",
        )


def _not_found(study_id: str) -> StudyNotFoundError:
    # Only the beginning: the text comes from a caller and may be of any length.
    return StudyNotFoundError(
        repr(study_id[:100]),
        "there is no study of this id.",
        "An id is the SeriesInstanceUID of a series in the archive.",
    )
