"""SeriesCache: series of an archive on this computer, whole or still to be completed.

::

    <root>/series/<SeriesInstanceUID>/series.json            what the archive listed when it was asked last
    <root>/series/<SeriesInstanceUID>/slices/<SOPInstanceUID>.dcm

The list is written before the first slice is fetched. So a series is whole exactly if every instance of its
list is there, whenever a process was killed.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import threading
import uuid
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from vpt_plugin.durable import make_folder, sweep_leftovers, write_over
from vpt_plugin.errors import ArchiveError
from vpt_plugin.store.archive.identity import is_uid
from vpt_plugin.store.archive.last_use import LastUse
from vpt_plugin.store.archive.listing import SeriesRecord
from vpt_plugin.store.archive.usage import SeriesUse

_SCHEMA = "vptct.archive-series/1"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_EVICTED = ".unfinished-"  # a name that is swept at the next start, should this process be killed
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ListedSeries:
    """What the archive said of a series.

    Attributes:
        record: the series.
        instances: its SOPInstanceUIDs, sorted.
        asked: when the archive was asked, ISO 8601 in UTC.
    """

    record: SeriesRecord
    instances: tuple[str, ...]
    asked: str

    @property
    def day(self) -> str:
        """When the archive was asked, to the day: what readers are told."""
        return self.asked[:10]

    def says_what(self, other: ListedSeries | None) -> bool:
        """Whether the other one says the same, to the day: what is here needs no room on a full disk."""
        return other is not None and replace(self, asked=self.day) == replace(other, asked=other.day)


class SeriesCache:
    """The folder of cached series; several threads may ask.

    Another process on the same folder does no harm but to the size limit: files get their names whole, and
    what is evicted leaves at once, so that a reader there gets an error and never a part of a series.

    Args:
        root: the folder; it is made when the first series comes.
        limit_bytes: above it, what was used least recently is evicted; what is in use never is, so that one
            series larger than the limit can still be read.
        use: who uses which series.
        last_use: when each was read last.
    """

    def __init__(self, root: Path, *, limit_bytes: float, use: SeriesUse, last_use: LastUse) -> None:
        self._root = root / "series"
        self._limit_bytes = limit_bytes
        self._use = use
        self._last_use = last_use
        self._sizes: dict[str, int] | None = None
        self._lock = threading.Lock()
        self._evicting = threading.Lock()
        self._evictions = 0

    def slices(self, uid: str) -> Path:
        """The folder of a series' DICOM files."""
        return self._root / uid / "slices"

    def listed(self, uid: str) -> ListedSeries | None:
        """What the archive said when it was asked last; None where that is not known."""
        try:
            data = json.loads((self._root / uid / "series.json").read_text(encoding="utf-8"))
            record, instances = SeriesRecord.from_json(data["series"]), tuple(map(str, data["instances"]))
            if data["schema"] != _SCHEMA or record.uid != uid or not all(map(is_uid, instances)):
                raise ValueError("this is no list of the series")
            return ListedSeries(record, instances, str(data["asked"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            _logger.warning("the list of series %s in the cache is damaged and left out: %s", uid, error)
            return None

    def here(self, uid: str) -> set[str]:
        """The SOPInstanceUIDs of the files that are here.

        Raises:
            ArchiveError: the folder cannot be read.
        """
        try:
            with os.scandir(self.slices(uid)) as entries:
                # An empty file is what a crash leaves on a disk without hard links.
                return {each.name.removesuffix(".dcm") for each in entries if each.stat().st_size}
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise _unusable(error) from error

    def holds_more(self, uid: str, instances: Collection[str]) -> bool:
        """Whether anything else lies with these: an instance that left, or what a killed process began.

        Raises:
            ArchiveError: the folder cannot be read.
        """
        try:
            names = {path.name for path in self.slices(uid).iterdir()}
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unusable(error) from error
        return not names <= {f"{each}.dcm" for each in instances}

    def is_whole(self, listed: ListedSeries) -> bool:
        """Whether every instance is here."""
        return bool(listed.instances) and self.here(listed.record.uid) >= set(listed.instances)

    def write_list(self, listed: ListedSeries) -> None:
        """Note what the archive says; on the disk when this returns.

        Raises:
            ArchiveError: the disk is full, the folder cannot be used.
        """
        data = {
            "schema": _SCHEMA,
            "series": listed.record.to_json(),
            "instances": listed.instances,
            "asked": listed.asked,
        }
        folder = self._root / listed.record.uid
        self._write(folder / "series.json", json.dumps(data, indent=1).encode())

    def keep(self, uid: str, instance_uid: str, data: bytes) -> None:
        """Put one file into the cache; it is on the disk when this returns.

        Raises:
            ArchiveError: the disk is full, the folder cannot be used.
        """
        with self._lock:
            self._known_sizes()  # before the file comes, lest it be counted twice
        self._write(self.slices(uid) / f"{instance_uid}.dcm", data)
        with self._lock:
            sizes = self._known_sizes()
            sizes[uid] = sizes.get(uid, 0) + len(data)
        self.make_room()

    def drop_all_but(self, uid: str, instances: Collection[str]) -> None:
        """Remove the files that the archive no longer lists, and what a killed process left.

        Raises:
            ArchiveError: the folder cannot be used.
        """
        wanted = {f"{each}.dcm" for each in instances}
        try:
            for path in self.slices(uid).iterdir():
                if path.name not in wanted:
                    path.unlink()
            size = _size(self.slices(uid))
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unusable(error) from error
        with self._lock:
            self._known_sizes()[uid] = size

    def make_room(self) -> None:
        """Evict what was used least recently and is not in use, until the cache is within its limit."""
        # One at a time, lest two evict for the same want.
        with self._evicting:
            try:
                while self._total() > self._limit_bytes and self._evict_one():
                    pass
            except ArchiveError as error:
                _logger.warning("the cache stays larger than it should: %s", error)

    def _remove(self, uid: str) -> None:
        """Remove a series that nobody uses."""
        # Its new name is no UID, so that nobody takes a half removed series for one to complete.
        leaving = self._root / f"{_EVICTED}{uuid.uuid4().hex}"
        try:
            (self._root / uid).rename(leaving)
            shutil.rmtree(leaving)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _unusable(error) from error
        with self._lock:
            self._known_sizes().pop(uid, None)

    def _write(self, path: Path, data: bytes) -> None:
        while True:
            evictions = self._evictions
            try:
                make_private_folder(self._root.parent)
                make_folder(path.parent)
                write_over(path, data)
            except OSError as error:
                if error.errno in _FULL and self._make_room_since(evictions):
                    continue
                _logger.warning("%s cannot be written: %s", path, error)
                raise _unusable(error) from error
            return

    def _make_room_since(self, evictions: int) -> bool:
        """Whether something was evicted since then, if need be now."""
        with self._evicting:
            return self._evictions != evictions or self._evict_one()

    def _evict_one(self) -> bool:
        """Evict the series that was used least recently; False where all are in use."""
        self._look_for_others()
        with self._lock:
            uids = self._last_use.oldest_first(self._known_sizes())
        for uid in uids:
            with self._use.unused(uid) as free:
                if free:
                    _logger.info("series %s is evicted from the cache", uid)
                    self._remove(uid)
                    self._evictions += 1
                    return True
        return False

    def _look_for_others(self) -> None:
        """Take in what other processes, such as one that scores, have fetched or evicted."""
        try:
            here = {each.name for each in self._root.iterdir() if is_uid(each.name)}
            with self._lock:
                known = self._known_sizes()
                sizes = {uid: _size(self.slices(uid)) for uid in here - known.keys()}
                self._sizes = {**{uid: size for uid, size in known.items() if uid in here}, **sizes}
        except OSError as error:
            raise _unusable(error) from error

    def _total(self) -> int:
        with self._lock:
            return sum(self._known_sizes().values())

    def _known_sizes(self) -> dict[str, int]:
        """Bytes by series; counted once, then kept up. The lock is held.

        Raises:
            ArchiveError: the folder cannot be read.
        """
        if self._sizes is None:
            try:
                sweep_leftovers(self._root)
                folders = self._root.iterdir() if self._root.is_dir() else ()
                self._sizes = {each.name: _size(each / "slices") for each in folders if is_uid(each.name)}
            except OSError as error:
                raise _unusable(error) from error
        return self._sizes


def make_private_folder(path: Path) -> None:
    """Make a folder that only this account can look into: its files tell about patients."""
    make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def _size(folder: Path) -> int:
    try:
        with os.scandir(folder) as entries:
            return sum(each.stat().st_size for each in entries)
    except FileNotFoundError:
        return 0


def _unusable(error: OSError) -> ArchiveError:
    # No path in it: clients read this.
    if error.errno in _FULL:
        return ArchiveError(
            "the disk with the cache of the archive is full.",
            "Free some space there, or name a folder on another disk with --conf cache_dir.",
        )
    return ArchiveError(
        f"the cache of the archive cannot be used: {error.strerror}.",
        "Let the server write there, or name another folder with --conf cache_dir.",
    )
