"""StudyFolder: the studies below one folder, found by looking."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vpt_plugin.ct.dicom_headers import read_examination
from vpt_plugin.ct.reader import is_study_file
from vpt_plugin.errors import ArchiveUnreachableError, StudyNotFoundError
from vpt_plugin.store.ids import study_ids
from vpt_plugin.store.source import OpenedStudy, SourceState

LABELS_FOLDER = "labels"
_logger = logging.getLogger(__name__)
_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_FILES_TO_TRY = 8
# A folder's time stamp may be as coarse as two seconds: what changed so recently is listed again next time.
_SETTLED_SECONDS = 3.0


@dataclass(frozen=True)
class _Listing:
    """What one folder held when its time stamp was ``changed`` (seconds since 1970).

    Attributes:
        settled: nothing can have changed since without a new time stamp.
        folders: paths of the folders in it, but the hidden ones.
        files: paths of the study files directly in it.
        holds_dicom: DICOM files lie directly in it.
        examination: StudyInstanceUID of the first of them, or "".
    """

    changed: float
    settled: bool
    folders: tuple[Path, ...] = ()
    files: tuple[Path, ...] = ()
    holds_dicom: bool = False
    examination: str = ""


class StudyFolder:
    """The studies below one folder; several threads may ask.

    A NIfTI, NRRD or MHA file is a study, and so is a folder that directly holds DICOM files, with everything
    below it. Where the series of one examination lie in folders side by side, with nothing else to read
    beside them, the folder around them is the study: a localizer is none by itself. The root never is, lest
    ids change when another study comes. Loose DICOM files in the root itself are a study only where there is
    no other: one stray file must not swallow the rest. Hidden files and folders and the root's own
    ``labels`` are left out. Links to folders are followed. An id leads to nothing but a path that the scan
    found.

    Args:
        root: the folder.
        fresh_seconds: for so long the last scan is believed. A scan asks every folder for its time stamp and
            lists only those that changed, which is cheap on a network share, too.
        labelled: asks for the ids that have labels, ``LabelFolder.labelled``: a study keeps its labelled id
            when its place moves up or down the folders.
        index_folder: where to keep what speeds up the next start; None keeps nothing.
    """

    def __init__(
        self,
        root: Path,
        *,
        fresh_seconds: float = 2.0,
        labelled: Callable[[], Collection[str]] = tuple,
        index_folder: Path | None = None,
    ) -> None:
        self.root = root
        self._labelled = labelled
        self._index_folder = index_folder
        self._problem = ""
        self._fresh_seconds = fresh_seconds
        self._scanned_at = -float("inf")
        self._listings: dict[Path, _Listing] = {}
        self._found: list[Path] = []
        self._paths: Mapping[str, Path] = {}
        self._lock = threading.Lock()

    def scan(self, *, now: bool = False) -> Mapping[str, Path]:
        """The path of every study, by id in sorted order.

        Args:
            now: look, however fresh the last scan is.
        """
        with self._lock:
            if now or time.monotonic() - self._scanned_at >= self._fresh_seconds:
                found = self._find()
                if found != self._found:
                    self._found, self._paths = found, self._by_id(found)
                self._scanned_at = time.monotonic()
            return self._paths

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.root.resolve().name or "studies"

    def ids(self) -> list[str]:
        """The ids of all studies, sorted; while the folder cannot be read, those of the last look.

        Raises:
            ArchiveUnreachableError: the folder could never be read, so nothing is known.
        """
        return list(self.scan())

    def require(self, study_id: str) -> None:
        """Make sure that there is such a study.

        Raises:
            StudyNotFoundError: there is none.
            ArchiveUnreachableError: the folder cannot be read.
        """
        self.path(study_id)

    @contextmanager
    def opened(self, study_id: str, *, cancelled: Callable[[], bool] | None = None) -> Iterator[OpenedStudy]:
        """The study where it lies: nothing is copied.

        Raises:
            StudyNotFoundError: there is none.
            ArchiveUnreachableError: the folder cannot be read.
        """
        yield OpenedStudy(self.path(study_id))

    def facts(self, study_id: str) -> dict[str, Any]:
        """The ``name`` of the study's file or folder.

        Raises:
            StudyNotFoundError: there is none.
            ArchiveUnreachableError: the folder cannot be read.
        """
        return {"name": self.path(study_id).name}

    def refresh(self) -> None:
        """Look for new studies now."""
        with suppress(ArchiveUnreachableError):
            self.scan(now=True)

    def state(self) -> SourceState:
        """Whether the last look found the folder."""
        return SourceState("folder", reachable=not self._problem, problem=self._problem)

    def path(self, study_id: str) -> Path:
        """Where the study of that id lies.

        Raises:
            StudyNotFoundError: the scan finds no such study.
        """
        path = self.scan().get(study_id)
        if path is None or not path.exists():
            path = self.scan(now=True).get(study_id)
        if path is None:
            # Only the beginning: the text comes from a caller and may be of any length.
            raise StudyNotFoundError(
                repr(study_id[:100]),
                "there is no study of this id.",
                "An id is the path below the studies folder with -- for /; /datastore/?output=all lists all.",
            )
        return path

    def _by_id(self, found: list[Path]) -> Mapping[str, Path]:
        if found == [self.root]:
            (study,) = study_ids([Path(self.root.resolve().name or "studies")])
            return {study: self.root}
        ids = study_ids(path.relative_to(self.root) for path in found)
        return {study: self.root / path for study, path in ids.items()}

    def _find(self) -> list[Path]:
        """The paths of all studies, sorted."""
        listings: dict[Path, _Listing] = {}
        seen: set[tuple[int, int]] = set()
        studies: list[Path] = []
        pending = [self.root]
        while pending:
            folder = pending.pop()
            listing = self._list(folder, seen)
            if listing is None:
                continue
            listings[folder] = listing
            if listing.holds_dicom and folder != self.root:
                studies.append(folder)
            else:
                studies += listing.files
                pending += listing.folders
        if not studies and self.root in listings and listings[self.root].holds_dicom:
            studies = [self.root]
        self._listings = listings
        examinations = {
            folder
            for folder, listing in listings.items()
            if folder != self.root and _is_examination(listing, listings)
        }
        return sorted(examinations.union(path for path in studies if path.parent not in examinations))

    def _list(self, folder: Path, seen: set[tuple[int, int]]) -> _Listing | None:
        """What the folder holds; None where it cannot be read, or was seen already (links in a circle)."""
        try:
            stat = folder.stat()
            # Windows gives 0 for both unless asked for the path itself; there it is the path that counts.
            identity = (stat.st_dev, stat.st_ino) if stat.st_ino else (0, hash(folder.resolve()))
            if identity in seen:
                return None
            seen.add(identity)
            known = self._listings.get(folder)
            if known is not None and known.settled and known.changed == stat.st_mtime:
                return known
            return self._look_into(folder, stat.st_mtime)
        except OSError as error:
            _logger.warning("%s is left out of the studies: %s", folder, error)
            return None

    def _look_into(self, folder: Path, changed: float) -> _Listing:
        folders, files, candidates = [], [], []
        # Read the clock before the folder: a file that comes during the look must not count as seen.
        settled = time.time() - changed > _SETTLED_SECONDS
        with os.scandir(folder) as entries:
            for entry in entries:
                path = Path(entry.path)
                if entry.name.startswith(".") or path == self.root / LABELS_FOLDER:
                    continue
                if entry.is_dir():
                    folders.append(path)
                elif not entry.is_file():
                    continue  # a link to nowhere; a pipe, which would keep whoever opens it waiting
                elif is_study_file(path):
                    files.append(path)
                elif _may_be_dicom(path):
                    candidates.append(path)
        first = next((path for path in sorted(candidates)[:_FILES_TO_TRY] if _is_dicom(path)), None)
        holds_dicom = first is not None
        examination = "" if first is None else read_examination(first)
        # The first bytes of a file can come later than its name, which leaves the time stamp as it was.
        settled = settled and (holds_dicom or not candidates)
        return _Listing(changed, settled, tuple(folders), tuple(files), holds_dicom, examination)


def _is_examination(listing: _Listing, listings: Mapping[Path, _Listing]) -> bool:
    """Whether a folder holds several folders of DICOM files of one examination, and nothing else to read."""
    inside = [listings.get(folder) for folder in listing.folders]
    if listing.holds_dicom or listing.files or any(each is None for each in inside):
        return False
    series = [each for each in inside if each is not None and each.holds_dicom]
    others = [each for each in inside if each is not None and not each.holds_dicom]
    empty = not any(each.files or each.folders for each in others)
    examinations = {each.examination for each in series}
    return len(series) > 1 and empty and len(examinations) == 1 and examinations != {""}


def _may_be_dicom(path: Path) -> bool:
    """By its name: ``.dcm``, or no suffix, or what is left of a UID. A DICOMDIR is a table of contents."""
    suffix = path.suffix.lower()
    return path.name != "DICOMDIR" and (suffix in _DICOM_SUFFIXES or not suffix or suffix[1:].isdigit())


def _is_dicom(path: Path) -> bool:
    """Whether the file has the mark of DICOM after its preamble of 128 bytes (PS3.10, 7.1)."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        # One file that cannot be read must not hide the studies beside it.
        _logger.warning("%s is not looked at: %s", path, error)
        return False
