"""StudyFinder: one look after another at a folder of studies, each building on what the ones before found."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vpt_plugin.store import index, sightings
from vpt_plugin.store.collector import collector_at_rest
from vpt_plugin.store.folder_scan import FolderScan
from vpt_plugin.store.grouping import Grouping, group_studies, sighting_of
from vpt_plugin.store.listings import Listing
from vpt_plugin.store.sightings import LabelledPlaces, Sighting, SightingsFile

_logger = logging.getLogger(__name__)
# While a large folder is copied in, every look finds something new.
_SECONDS_BETWEEN_INDEXES = 10.0
_SHOWN_NAMES = 3


class StudyFinder:
    """Finds the studies below a folder; for one thread at a time.

    Args:
        root: the folder.
        labelled: asks for the ids that have labels.
        index_folder: where ``studies-index.json`` and ``examinations.json`` are kept; None for memory only.
        read_only: read these files and never write them.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        root: Path,
        *,
        labelled: Callable[[], Collection[str]] = tuple,
        index_folder: Path | None = None,
        read_only: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        resolved = root.resolve()
        self.root_name = resolved.name or "studies"
        self._ask_labelled = labelled
        self._clock = clock
        self._index = index.StudiesIndex(index_folder / index.FILE_NAME, resolved) if index_folder else None
        self._indexed: Mapping[str, Listing] = self._index.load() if self._index else {}
        self._indexed_at = -float("inf")
        self._scan = FolderScan(root, remembered=self._indexed, clock=clock)
        self._read_only = read_only
        file = index_folder / sightings.FILE_NAME if index_folder else None
        self._sightings = SightingsFile(file, read_only=read_only)
        self._places = LabelledPlaces(self.root_name)
        self._found: tuple[Mapping[str, Listing], LabelledPlaces, Grouping] | None = None
        self._missing: frozenset[str] = frozenset()

    def find(self) -> tuple[Grouping, str]:
        """The studies that are there now, and what could not be looked at, in words.

        Raises:
            OSError: the folder cannot be read.
        """
        places = self._labelled_places()
        look = self._scan.look(places)
        if self._found is None or self._found[0] != look.listings or self._found[1] is not places:
            with collector_at_rest():
                grouping = group_studies(look.listings, places)
            self._found = (look.listings, places, grouping)
            known = {each: seen for each, seen in places.sightings.items() if each in places.labelled}
            missing = known.keys() - grouping.studies.keys()
            # What is gone no longer has a file that speaks for a folder in which others may come to lie.
            gone = {each: replace(known[each], slices=()) for each in missing}
            self._sightings.keep({**gone, **grouping.sightings})
            self._say_what_is_missing(frozenset(missing))
        grouping = self._found[2]
        if grouping.studies and not self._read_only:
            self._write_index(look.listings)
        return grouping, _in_words(look.unread)

    def remember(self, study_id: str) -> None:
        """Keep what a study was at the last look as evidence, if nothing is known of it yet."""
        if self._found is None:
            return
        listings, _, grouping = self._found
        known = self._sightings.read()
        if study_id in grouping.studies and study_id not in known:
            self._sightings.keep({**known, study_id: sighting_of(grouping.studies[study_id], listings)})

    def candidates(self, series_uid: str, examination: str = "") -> list[str]:
        """Studies that may be read from a series, the likeliest first, by one header of each folder.

        Args:
            series_uid: SeriesInstanceUID.
            examination: StudyInstanceUID, where it is known: beside a series there may lie others of it,
                one of which spoke for the folder.
        """
        if self._found is None:
            return []
        listings, _, grouping = self._found
        likely, possible = [], []
        for study in grouping.studies.values():
            seen = [listings[each] for each in study.folders if each in listings]
            if any(each.series == series_uid for each in seen):
                likely.append(study.id)
            elif examination and any(each.examination == examination for each in seen):
                possible.append(study.id)
        return [*likely, *possible]

    def _labelled_places(self) -> LabelledPlaces:
        """Where the labelled studies are; the same object for as long as nothing changes."""
        try:
            labelled: Collection[str] = frozenset(self._ask_labelled())
        except OSError as error:
            # A folder of labels that is away for a moment must not move any study to another id.
            _logger.warning("the folder of labels cannot be read: %s", error)
            labelled = self._places.labelled
        known = {**self._seen_before(labelled), **self._sightings.read()}
        if labelled != self._places.labelled or known != self._places.sightings:
            self._places = LabelledPlaces(self.root_name, labelled, known)
        return self._places

    def _seen_before(self, labelled: Collection[str]) -> Mapping[str, Sighting]:
        """What got its first label since the last look, as it was then: by now another may lie there."""
        if self._found is None:
            return {}
        listings, places, grouping = self._found
        new = [grouping.studies[each] for each in labelled if each in grouping.studies]
        return {study.id: sighting_of(study, listings) for study in new if study.id not in places.labelled}

    def _say_what_is_missing(self, missing: frozenset[str]) -> None:
        if new := sorted(missing - self._missing):
            _logger.warning("labelled before, and not here any more: %s", _some(new))
        self._missing = missing

    def _write_index(self, listings: Mapping[str, Listing]) -> None:
        if self._index is None or self._clock() - self._indexed_at < _SECONDS_BETWEEN_INDEXES:
            return
        if listings != self._indexed:
            self._index.save(listings)
            self._indexed, self._indexed_at = listings, self._clock()


def _in_words(unread: Sequence[str]) -> str:
    if not unread:
        return ""
    folders = "1 folder" if len(unread) == 1 else f"{len(unread)} folders"
    return f"{folders} cannot be read: {_some(unread)}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
