"""LabelLooks: what lies in the studies' folders of labels, read anew only where a folder has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vpt_plugin.store.label_folders import folder_of, labelled_studies, namesake
from vpt_plugin.store.label_versions import StudyVersions, read_versions

# On a network share a look at a folder is mostly waiting, and many can wait at once.
_LOOKS_AT_ONCE = 16
# A folder's time stamp may be as coarse as two seconds.
_SETTLED_SECONDS = 3.0


@dataclass(frozen=True)
class _Look:
    """What was read in a study's folder.

    Attributes:
        changed_ns: the folder's time stamp, asked before.
        first_seen: when this stamp was seen for the first time, in seconds of a clock that only grows. The
            clock of the computer that holds the folder may go before or after ours.
        settled: nothing can have changed since without a new time stamp.
        found: what was read.
    """

    changed_ns: int
    first_seen: float
    settled: bool
    found: StudyVersions


class LabelLooks:
    """The folders of all studies' labels, as they were when they were looked at; several threads may ask.

    Args:
        final: the folder above them.
        fresh_seconds: for so long ``all`` believes the last look. ``of`` looks each time, and what was
            ``saved`` counts at once.
        clock: seconds that only grow.
    """

    def __init__(self, final: Path, *, fresh_seconds: float, clock: Callable[[], float]) -> None:
        self._final = final
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        self._read: dict[str, _Look] = {}
        self._saves = 0
        # What the last look at all studies found, when it began, and the studies with something newer.
        self._looked: dict[str, StudyVersions] = {}
        self._looked_at = float("-inf")
        self._news: set[str] = set()
        self._one_look = threading.Lock()
        self._lock = threading.Lock()

    def all(self) -> list[StudyVersions]:
        """What there is about every study with a label, in the order of their names."""
        with self._one_look:
            with self._lock:
                news, self._news = self._news, set()
            began = self._clock()
            looked_at, self._looked_at = self._looked_at, float("-inf")  # a look that fails is done again
            if began - looked_at < self._fresh_seconds:
                if news:
                    self._look(self._looked.keys() | news, news)
                self._looked_at = looked_at
            else:
                names = labelled_studies(self._final)
                self._look(names, names)
                self._looked_at = began
            return list(self._looked.values())

    def of(self, study_id: str) -> StudyVersions:
        """What there is about one study, looked at now."""
        if namesake(self._final, study_id):
            return StudyVersions()
        read = self._study(study_id)
        with self._lock:
            if read.versions and read is not self._looked.get(study_id):
                self._news.add(study_id)
        return read

    def saved(self, study_id: str) -> None:
        """A label of a study was saved here: what was read of it before is old."""
        with self._lock:
            self._news.add(study_id)
            # Some disks (FAT, some network shares) leave the folder's time stamp as it was.
            self._saves += 1
            self._read.pop(study_id, None)

    def _look(self, all_names: Iterable[str], at: Iterable[str]) -> None:
        """Look at the folders of some studies, several at once."""
        if waiting := sorted(at):
            parts = [waiting[i::_LOOKS_AT_ONCE] for i in range(min(_LOOKS_AT_ONCE, len(waiting)))]
            with ThreadPoolExecutor(len(parts)) as threads:
                for found in threads.map(self._studies, parts):
                    self._looked |= found
        self._looked = {name: self._looked[name] for name in sorted(all_names)}

    def _studies(self, names: Iterable[str]) -> dict[str, StudyVersions]:
        return {name: self._study(name) for name in names}

    def _study(self, study_id: str) -> StudyVersions:
        """All there is about one study; read anew when its folder has changed."""
        folder = folder_of(self._final, study_id)
        now = self._clock()
        try:
            changed_ns = folder.stat().st_mtime_ns
        except FileNotFoundError:
            return StudyVersions()
        with self._lock:
            known, saves = self._read.get(study_id), self._saves
        first_seen = now
        if known is not None and known.changed_ns == changed_ns:
            if known.settled:
                return known.found
            first_seen = known.first_seen
        found = read_versions(study_id, folder)
        # A damaged file that is mended in its place leaves the folder's time stamp as it was.
        settled = now - first_seen > _SETTLED_SECONDS and not found.damaged
        with self._lock:
            if saves == self._saves:  # else it may be older than what was saved meanwhile
                self._read[study_id] = _Look(changed_ns, first_seen, settled, found)
        return found
