"""PoolReader: studies to score, read from where they lie or from a copy that a training has prepared."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.dicom_headers import read_study_date
from vpt_plugin.ct.intensity import window_hu
from vpt_plugin.ct.reduced import read_reduced
from vpt_plugin.ct.statistics import StudyFacts
from vpt_plugin.data.prepared import PREPARATION_VERSION, PreparedStudies
from vpt_plugin.data.study_files import file_places
from vpt_plugin.store.source import StudySource
from vpt_plugin.tasks import HUWindow
from vpt_plugin.training.site import archived_identity

# The date stands in one of the first files, or the site has taken it out of all.
_FILES_ASKED_FOR_A_DATE = 3
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyContent:
    """What is read of a study.

    Attributes:
        slices: (slices, pixels, pixels), the HU window as [0, 255].
        facts: of the volume as it was read.
        synthetic: its files say that it is a phantom.
    """

    slices: NDArray[np.uint8]
    facts: StudyFacts
    synthetic: bool


@dataclass(frozen=True)
class PoolStudy:
    """A study as a scorer takes it.

    Attributes:
        study: its id.
        identity: what tells, without reading it, that it is still the same.
        study_date: as in DICOM, ``20201231``; "" where unknown.
        content: what was read.
    """

    study: str
    identity: str
    study_date: str
    content: StudyContent


class PoolReader:
    """Reads the studies of a source for one HU window and one size of slices.

    Args:
        studies: where they come from.
        window: the task's.
        pixels: side of the slices after resizing.
        prepared: copies that trainings made; used and never written. None where there are none.
    """

    def __init__(
        self, studies: StudySource, window: HUWindow, *, pixels: int, prepared: Path | None = None
    ) -> None:
        self.studies = studies
        self._window = window
        self._pixels = pixels
        self._prepared = PreparedStudies(prepared, window, pixels=pixels) if prepared else None
        self._archived = studies.state().kind == "archive"

    @property
    def identities_are_at_hand(self) -> bool:
        """``identity`` asks for no file: a listing tells."""
        return self._archived

    def identity(self, study: str) -> str:
        """What tells that a study is still the same; fetches and reads nothing of it.

        Of an archive's series it is its UID and the number of its slices, of a folder's study the place, size
        and time of change of all its files.

        Raises:
            StudyNotFoundError: it is gone.
            ArchiveError: the archive, or the folder, cannot be asked.
        """
        if self._archived:
            parts: list[str | int] = [archived_identity(self.studies, study, self.studies.facts(study))]
        else:
            with self.studies.opened(study) as opened:
                parts = file_places(opened.path)
        # Another one, too, when studies are read in another way than before.
        return hashlib.sha256(json.dumps([PREPARATION_VERSION, *parts]).encode()).hexdigest()[:32]

    def read(self, study: str, identity: str, cancelled: Callable[[], bool]) -> PoolStudy:
        """The study.

        Args:
            study: its id.
            identity: as ``identity`` gave it.
            cancelled: asked while slices are fetched.

        Raises:
            StudyError: it cannot be read, or is gone.
            ArchiveError: it cannot be had.
            CancelledError: ``cancelled`` said so.
        """
        facts = self.studies.facts(study)
        date = str(facts.get("study_date") or "")
        if self._archived:
            copied = self._copied(archived_identity(self.studies, study, facts))
            if copied is not None:
                return PoolStudy(study, identity, date, copied)
        with self.studies.opened(study, cancelled=cancelled) as opened:
            date = date or study_date(opened.path)
            copied = None if self._archived else self._copied(opened.path)
            if copied is not None:
                return PoolStudy(study, identity, date, copied)
            reduced = read_reduced(opened.path, pixels=self._pixels, name=study)
        slices = window_hu(reduced.hu, self._window)
        content = StudyContent(slices, reduced.facts, reduced.provenance.synthetic)
        return PoolStudy(study, identity, date, content)

    def _copied(self, what: str | Path) -> StudyContent | None:
        """The prepared copy of an archive's series, by its identity, or of what lies at a path."""
        prepared = self._prepared
        if prepared is None:
            return None
        try:
            # Given back at once: a training beside this one may need its room.
            with prepared:
                copy = prepared.find(what, make=False) if isinstance(what, str) else prepared.find_at(what)
                if copy is None:
                    return None
                return StudyContent(np.array(copy.slices), copy.facts, copy.synthetic)
        except OSError as error:
            _logger.warning("prepared studies cannot be used, all are read where they lie: %s", error)
            self._prepared = None
            return None


def study_date(path: Path) -> str:
    """The StudyDate in the DICOM files at a path, ``20201231``; "" where the first ones say none.

    Args:
        path: of a study: a folder, or a file of whatever format.
    """
    if path.is_file():
        return read_study_date(path)
    files = sorted(each for each in path.rglob("*") if each.is_file())
    return next(filter(None, map(read_study_date, files[:_FILES_ASKED_FOR_A_DATE])), "")
