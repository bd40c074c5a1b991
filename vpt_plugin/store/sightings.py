"""What the labelled studies were when last seen: the evidence by which labels stay with their study.

A study's id is its place. When its place moves, or something else comes to lie there, only the
StudyInstanceUID tells which study the labels are of. It is kept beside the labels, because the labels
themselves need not name it::

    labels/examinations.json
    {"schema": "vptct.examinations/1", "studies": {
     "p01--ct1": {"place": "p01/ct1", "examination": "1.2.840.99", "slices": ["p01/ct1/IM0001"]}}}

It is no index: what is lost with it is only that labels find their way after a study has moved.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vpt_plugin.durable import write_over
from vpt_plugin.store.ids import JOINT, is_study_id, study_id

FILE_NAME = "examinations.json"
SCHEMA = "vptct.examinations/1"
_SHOWN_CHARACTERS = 100
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sighting:
    """What a labelled study was when it was last seen.

    Attributes:
        place: its path below the root; "" for the root itself.
        examination: StudyInstanceUID; "" for a file, and where the header has none.
        slices: paths below the root of the DICOM files it was read from, one for each folder: where slices of
            another examination are copied into the folder, they do not speak for it.
    """

    place: str
    examination: str = ""
    slices: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelledPlaces:
    """Where the labelled studies are, or were.

    Args:
        root_name: stands for the path of a study that is the root itself.
        labelled: the ids with labels.
        sightings: what is known of them, by id.
    """

    root_name: str
    labelled: Collection[str] = ()
    sightings: Mapping[str, Sighting] = field(default_factory=dict)
    _under: Mapping[str, set[Sighting]] = field(init=False, repr=False)
    _slices: Mapping[str, str] = field(init=False, repr=False)
    _ids_under: Collection[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        under: dict[str, set[Sighting]] = {}
        slices = {}
        for each, sighting in self.sightings.items():
            if each in self.labelled:
                for place in (sighting.place, *_above(sighting.place)):
                    under.setdefault(place, set()).add(sighting)
                for path in sighting.slices:
                    folder, _, name = path.rpartition("/")
                    slices[folder] = name
        object.__setattr__(self, "_under", under)
        object.__setattr__(self, "_slices", slices)
        ids_under = {around for each in self.labelled for around in (each, *_above(each, JOINT))}
        object.__setattr__(self, "_ids_under", ids_under)

    def opens(self, folder: str, examination: str) -> bool:
        """Whether a DICOM folder must not swallow what is below it: something else there has labels."""
        found = self._under.get(folder, ())
        if len({sighting.place for sighting in found}) > 1:
            return True
        return any(
            differ(sighting.examination, examination)
            if sighting.place == folder
            else not (sighting.examination == examination != "")
            for sighting in found
        )

    def slice_of(self, folder: str) -> str:
        """The name of the DICOM file that spoke for a folder, or ""."""
        return self._slices.get(folder, "")

    def at(self, place: str) -> list[Sighting]:
        """What was sighted in this very place."""
        return [sighting for sighting in self._under.get(place, ()) if sighting.place == place]

    def has_sighted(self, place: str) -> bool:
        """Whether a study with labels was sighted in this place or below it."""
        return place in self._under

    def may_have_labels(self, folder: str) -> bool:
        """Whether something with labels is, by this very path, in a folder or below it.

        Where no sighting tells, the ids do: they are made of paths.
        """
        return self.has_sighted(folder) or self.plain_id(folder) in self._ids_under

    def count(self, place: str) -> int:
        """How many studies with labels are in this place and below it, as far as is known."""
        plain = self.plain_id(place)
        unsighted = plain in self.labelled and plain not in self.sightings
        return len({sighting.place for sighting in self._under.get(place, ())}) + unsighted

    def plain_id(self, place: str) -> str:
        """The id that a study in this place has by itself."""
        return study_id(place or self.root_name)

    def newcomers_id(self, place: str, examination: str) -> str:
        """The id of a study in a place whose plain id has the labels of another one."""
        return study_id(place or f"./{self.root_name}", examination=examination or "-")

    def sighted(self, labelled_id: str, now: Sighting) -> Sighting:
        """A labelled study as it is now.

        A header that cannot be read at the moment wipes out no evidence; nor does a study that now is part of
        a larger one forget its own slices.
        """
        before = self.sightings.get(labelled_id)
        if before is None:
            return now
        if not now.examination:
            return replace(before, place=now.place)
        by_folder = {path.rpartition("/")[0]: path for path in (*before.slices, *now.slices)}
        return replace(now, slices=tuple(by_folder.values()))


class SightingsFile:
    """The sightings, kept in a file where there is one; several servers may share it.

    Args:
        path: the file; None keeps them in memory only. Its folder is not made: where there are labels, it is
            there.
        read_only: read the file and never write it.
    """

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        self._sightings: dict[str, Sighting] = {}
        self._stamp: tuple[int, int] | None = None

    def read(self) -> Mapping[str, Sighting]:
        """What is known, by id of the labelled study; of a damaged file, nothing."""
        stamp = self._stamp_now()
        if self._path is not None and stamp is not None and stamp != self._stamp:
            self._stamp = stamp
            try:
                self._sightings = _parse(self._path.read_bytes())
            except (OSError, ValueError, RecursionError) as error:
                _logger.warning("%s is left out: %s", self._path, error)
        return self._sightings

    def keep(self, sightings: Mapping[str, Sighting]) -> None:
        """Keep these from now on, in the file where that can be written."""
        if sightings == self._sightings:
            return
        self._sightings = dict(sightings)
        if self._read_only:
            return
        if self._path is None or not self._path.parent.is_dir():
            self._stamp = None  # A share that is away: what it keeps counts again when it is back.
            return
        studies = {each: asdict(known) for each, known in sorted(sightings.items())}
        data = json.dumps({"schema": SCHEMA, "studies": studies}, indent=0).encode()
        try:
            write_over(self._path, data)
        except OSError as error:
            _logger.warning(
                "%s cannot be written, so labels may not follow a moved study: %s", self._path, error
            )
        self._stamp = self._stamp_now()

    def _stamp_now(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_ino


def differ(examination: str, other: str) -> bool:
    """Whether two examinations are known, and are not the same."""
    return examination != other and "" not in (examination, other)


def _above(place: str, joint: str = "/") -> Iterator[str]:
    """The folders around a place, but not the root."""
    while joint in place:
        place = place.rpartition(joint)[0]
        yield place


def _parse(data: bytes) -> dict[str, Sighting]:
    """The sightings of a file.

    Raises:
        ValueError: it is none of ours.
    """
    content = json.loads(data)
    studies = content.get("studies") if isinstance(content, dict) else None
    if not isinstance(studies, dict) or content.get("schema") != SCHEMA:
        raise ValueError(f"this is no file of the schema {SCHEMA}")
    # Places and slices are compared with what a look finds and never opened, so any text will do.
    return {each: _sighting(entry) for each, entry in studies.items() if is_study_id(each)}


def _sighting(entry: Any) -> Sighting:
    """One entry.

    Raises:
        ValueError: it is none.
    """
    if isinstance(entry, dict) and entry.keys() == {"place", "examination", "slices"}:
        place, examination, slices = entry["place"], entry["examination"], entry["slices"]
        if isinstance(slices, list) and all(isinstance(text, str) for text in (place, examination, *slices)):
            return Sighting(place, examination, tuple(slices))
    raise ValueError(f"an entry is {str(entry)[:_SHOWN_CHARACTERS]}")
