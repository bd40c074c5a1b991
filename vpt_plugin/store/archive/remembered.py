"""RememberedListing: the series of the archive as they were when it was asked last, also after a restart."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from vpt_plugin.durable import write_over
from vpt_plugin.errors import ArchiveError
from vpt_plugin.store.archive.cache import make_private_folder
from vpt_plugin.store.archive.listing import SeriesRecord

_SCHEMA = "vptct.archive-listing/1"
_logger = logging.getLogger(__name__)


class RememberedListing:
    """The last listing of an archive; several threads may ask.

    While a listing is fresh nobody asks the archive. Later it is asked in the background, and who wants to
    know meanwhile gets the last listing at once. Only where there is none yet does one wait.

    Args:
        ask: asks the archive, given the series of the last listing.
        check: fails at once where asking would, so that nobody waits for who finds that out.
        file: where the last listing is kept for after a restart: a cache, never the truth. What is wrong with
            it is ignored.
        fresh_seconds: how long a listing is believed.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        ask: Callable[[Iterable[SeriesRecord]], Sequence[SeriesRecord]],
        file: Path,
        *,
        check: Callable[[], None],
        fresh_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._check = check
        self._file = file
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        self._asked_at = -float("inf")
        self._records = _read(file)
        self._asking = threading.Lock()
        self._in_background = threading.Event()

    def records(self) -> Mapping[str, SeriesRecord]:
        """The series by UID, in sorted order.

        Raises:
            ArchiveUnreachableError: the archive was never listed and cannot be asked.
        """
        if self._records is None:
            return self.look(not_older_than_seconds=self._fresh_seconds)
        if self._age() > self._fresh_seconds and not self._in_background.is_set():
            # No thread for what would fail at once; the last listing stays.
            with suppress(ArchiveError):
                self._check()
                self._in_background.set()
                threading.Thread(target=self._look_in_background, name="archive-listing", daemon=True).start()
        return self._records

    def look(self, *, not_older_than_seconds: float = 0.0) -> Mapping[str, SeriesRecord]:
        """The series by UID, from a listing begun no longer ago than that; two who want one share it.

        Raises:
            ArchiveUnreachableError: the archive cannot be asked.
        """
        if self._age() <= not_older_than_seconds and self._records is not None:
            return self._records
        self._check()
        wanted_since = self._clock() - not_older_than_seconds
        with self._asking:
            if self._records is None or self._asked_at < wanted_since:
                began = self._clock()
                listed = self._ask((self._records or {}).values())
                found = {record.uid: record for record in sorted(listed, key=lambda each: each.uid)}
                if found != self._records:
                    _write(self._file, found)
                self._records, self._asked_at = MappingProxyType(found), began
            return self._records

    def _age(self) -> float:
        return self._clock() - self._asked_at

    def _look_in_background(self) -> None:
        try:
            # Its failure is remembered by whoever asks the archive; the last listing stays.
            with suppress(ArchiveError):
                self.look(not_older_than_seconds=self._fresh_seconds)
        finally:
            self._in_background.clear()


def _read(file: Path) -> Mapping[str, SeriesRecord] | None:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["schema"] != _SCHEMA:
            raise ValueError("this is no listing")
        records = [SeriesRecord.from_json(each) for each in data["series"]]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        _logger.warning("the last listing of the archive is damaged and left out: %s", error)
        return None
    return MappingProxyType({record.uid: record for record in sorted(records, key=lambda each: each.uid)})


def _write(file: Path, records: Mapping[str, SeriesRecord]) -> None:
    data = {"schema": _SCHEMA, "series": [each.to_json() for each in records.values()]}
    try:
        make_private_folder(file.parent)
        write_over(file, json.dumps(data, indent=1).encode(), durable=False)
    except OSError as error:
        _logger.warning("the listing of the archive is not kept for the next start: %s", error)
