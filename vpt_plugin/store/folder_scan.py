"""FolderScan: looks at folders, and lists again only those where something can have changed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from errno import ENODEV
from itertools import chain
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple, TypeAlias

from vpt_plugin.ct.dicom_headers import read_uids
from vpt_plugin.ct.reader import is_study_file
from vpt_plugin.store.listings import ROOT, Labelled, Listing, Look, SliceFile, join, may_be_listed

_logger = logging.getLogger(__name__)
_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_FILES_TO_TRY = 8
# A folder's time stamp may be as coarse as two seconds: two changes of one stamp are less than that apart.
_SETTLED_SECONDS = 3.0
# On a network share a look at a folder is mostly waiting, and many can wait at once. On a disk of our own
# threads would only get in each other's way.
_WORTH_THREADS_SECONDS = 0.0002
_LOOKS_AT_ONCE = 16
_PART = 50

_Found: TypeAlias = tuple[Listing, tuple[int, int]]


class _Rank(NamedTuple):
    """In which order folders are looked at; the smallest first.

    A new link to a labelled study must not take its labels out of sight by giving it another path, and so
    another id.
    """

    without_labels: bool
    by_link: bool


@dataclass
class FolderScan:
    """Looks at the folders below a root, and remembers. For one thread at a time.

    A folder's listing is believed for as long as the folder keeps its time stamp, once it is settled: listed
    again when the stamp had been the same for some seconds of our own clock, so that a later change cannot
    have the same stamp however coarse it is. The file server's clock may differ from ours by any amount.

    Args:
        root: the folder.
        remembered: listings of an earlier start. Each counts only where the time stamp is the same and the
            files that it names are there.
        clock: seconds that only grow.
    """

    root: Path
    remembered: Mapping[str, Listing] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    _labelled: Labelled = field(init=False)
    _root: tuple[int, int] | None = field(default=None, init=False)
    _seen: dict[str, Listing] = field(default_factory=dict, init=False)
    # When a folder was first seen with this time stamp: stamp and seconds of ``clock``.
    _since: dict[str, tuple[int, float]] = field(default_factory=dict, init=False)
    _complained: set[str] = field(default_factory=set, init=False)

    def look(self, labelled: Labelled) -> Look:
        """Look at all folders now.

        Args:
            labelled: what has labels, and so must not be overlooked.

        Raises:
            OSError: the root cannot be read, or is the empty place where a share was mounted before.
        """
        self._labelled = labelled
        top, root_identity = self._list(ROOT)
        if root_identity != self._root and _is_empty(top) and not _is_empty(self._seen.get(ROOT, top)):
            raise OSError(ENODEV, "it is empty and another folder than before: its share may not be mounted")
        listings, unread, circles = {ROOT: top}, set[str](), {root_identity}
        # By rank: of several paths to one folder the first one counts.
        waiting: dict[_Rank, list[str]] = {}
        self._add_inside(ROOT, top, False, waiting)
        while waiting:
            rank = min(waiting)
            level = waiting.pop(rank)
            for folder, found in zip(level, self._list_all(level), strict=True):
                if isinstance(found, OSError):
                    # A share that is away takes no studies with it: what was seen there counts until it is
                    # back. A folder that is away without an error was removed.
                    if not isinstance(found, FileNotFoundError | NotADirectoryError):
                        unread.add(folder)
                        listings.update(self._as_it_was(folder))
                    continue
                listing, identity = found
                if identity not in circles:
                    circles.add(identity)
                    listings[folder] = listing
                    if not listing.holds_dicom or labelled.opens(folder, listing.examination):
                        self._add_inside(folder, listing, rank.by_link, waiting)
        self._root, self._seen, self.remembered = root_identity, listings, {}
        self._since = {folder: since for folder, since in self._since.items() if folder in listings}
        self._complained = {path for path in self._complained if os.path.lexists(path)}
        return Look(listings, tuple(sorted(unread)))

    def _add_inside(
        self, folder: str, listing: Listing, by_link: bool, waiting: dict[_Rank, list[str]]
    ) -> None:
        """Put the folders in a folder where they wait to be looked at."""
        for name in listing.folders:
            path = join(folder, name)
            rank = _Rank(not self._labelled.may_have_labels(path), by_link or name in listing.links)
            waiting.setdefault(rank, []).append(path)

    def _list_all(self, folders: Sequence[str]) -> list[_Found | OSError]:
        """What each of the folders holds, in their order; many at once where that is mostly waiting."""
        parts = [folders[first : first + _PART] for first in range(0, len(folders), _PART)]
        found: list[_Found | OSError] = []
        for number, part in enumerate(parts, start=1):
            began, worked = time.perf_counter(), time.thread_time()
            found += self._list_part(part)
            waited = time.perf_counter() - began - (time.thread_time() - worked)
            if waited > _WORTH_THREADS_SECONDS * len(part) and number < len(parts):
                with ThreadPoolExecutor(max_workers=_LOOKS_AT_ONCE) as pool:
                    return [*found, *chain.from_iterable(pool.map(self._list_part, parts[number:]))]
        return found

    def _list_part(self, folders: Sequence[str]) -> list[_Found | OSError]:
        return [self._try_to_list(folder) for folder in folders]

    def _try_to_list(self, folder: str) -> _Found | OSError:
        try:
            return self._list(folder)
        except OSError as error:
            self._complain(self.root / folder, error)
            return error

    def _list(self, folder: str) -> _Found:
        """What the folder holds, and which one it is.

        Raises:
            OSError: it cannot be read.
        """
        path = self.root / folder
        stat = path.stat()
        identity = _identity(path, stat)
        known, remembered = self._seen.get(folder), self.remembered.get(folder)
        if known is not None and known.settled and known.changed_ns == stat.st_mtime_ns:
            return known, identity
        if (
            remembered is not None
            and remembered.changed_ns == stat.st_mtime_ns
            and _is_there(path, remembered)
        ):
            return remembered, identity
        # The clock is read before the folder: what comes during the look must not count as seen.
        now = self.clock()
        if self._since.get(folder, (None, 0.0))[0] != stat.st_mtime_ns:
            self._since[folder] = (stat.st_mtime_ns, now)
        calm = now - self._since[folder][1] > _SETTLED_SECONDS
        before = known or remembered
        listing = self._look_into(folder, before.slice_file if before else None)
        return replace(listing, changed_ns=stat.st_mtime_ns, settled=listing.settled and calm), identity

    def _look_into(self, folder: str, before: SliceFile | None) -> Listing:
        """What the folder holds; settled where its files are complete as far as they were looked at."""
        folders, links, files, candidates = [], [], [], []
        with os.scandir(self.root / folder) as entries:
            for entry in entries:
                name = entry.name
                if not may_be_listed(folder, name):
                    continue
                if entry.is_dir():
                    folders.append(name)
                    if entry.is_symlink():
                        links.append(name)
                elif not entry.is_file():
                    continue  # a link to nowhere; a pipe, which would keep whoever opens it waiting
                elif is_study_file(Path(name)):
                    files.append(name)
                elif _may_be_dicom(name):
                    candidates.append(name)
        # First the one that spoke for the folder when its study was labelled.
        speaker = self._labelled.slice_of(folder)
        candidates.sort(key=lambda name: (name != speaker, name))
        slice_file = self._slice_file(self.root / folder, candidates, before)
        # The first bytes of a file can come later than its name, which leaves the time stamp as it was.
        complete = slice_file.examination != "" if slice_file else not candidates
        names = tuple(sorted(folders)), tuple(sorted(files))
        return Listing(0, *names, slice_file, tuple(sorted(links)), settled=complete)

    def _slice_file(self, folder: Path, names: Sequence[str], before: SliceFile | None) -> SliceFile | None:
        """The DICOM file that stands for the folder: the one of the last look for as long as it stays."""
        if before and before.examination and before.name in names and _is_as_before(folder, before):
            return before
        for name in names[:_FILES_TO_TRY]:
            path = folder / name
            try:
                stat = path.stat()
                if _is_dicom(path):
                    return SliceFile(name, stat.st_size, stat.st_mtime_ns, *read_uids(path))
            except OSError as error:
                # One file that cannot be read must not hide the studies beside it.
                self._complain(path, error)
        return None

    def _as_it_was(self, folder: str) -> dict[str, Listing]:
        """What was seen in a folder, and in those below it, when it could be read."""
        below = folder + "/"
        return {
            each: listing for each, listing in self._seen.items() if each == folder or each.startswith(below)
        }

    def _complain(self, path: Path, error: OSError) -> None:
        """Once for each path: a look may come every two seconds."""
        if str(path) not in self._complained:
            self._complained.add(str(path))
            _logger.warning("%s is not looked at: %s", path, error)


def _is_empty(listing: Listing) -> bool:
    return not (listing.folders or listing.files or listing.holds_dicom)


def _identity(path: Path, stat: os.stat_result) -> tuple[int, int]:
    """The same for the same folder, whatever links lead to it."""
    # Windows gives 0 for both unless asked for the path itself; there it is the path that counts.
    return (stat.st_dev, stat.st_ino) if stat.st_ino else (0, hash(path.resolve()))


def _is_there(folder: Path, listing: Listing) -> bool:
    """Whether the files that an earlier start saw are there; folders are looked at anyway."""
    known = listing.slice_file
    files_are_there = all((folder / name).is_file() for name in listing.files)
    return listing.settled and files_are_there and (known is None or _is_as_before(folder, known))


def _is_as_before(folder: Path, known: SliceFile) -> bool:
    """Whether the file is as it was when its header was read."""
    try:
        stat = (folder / known.name).stat()
    except OSError:
        return False
    return S_ISREG(stat.st_mode) and (stat.st_size, stat.st_mtime_ns) == (known.size_bytes, known.changed_ns)


def _may_be_dicom(name: str) -> bool:
    """By its name: ``.dcm``, or no suffix, or what is left of a UID. A DICOMDIR is a table of contents."""
    suffix = Path(name).suffix.lower()
    return name != "DICOMDIR" and (suffix in _DICOM_SUFFIXES or not suffix or suffix[1:].isdigit())


def _is_dicom(path: Path) -> bool:
    """Whether the file has the mark of DICOM after its preamble of 128 bytes (PS3.10, 7.1)."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
