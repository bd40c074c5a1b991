"""StudyFolder: the studies below one folder, found by looking."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vpt_plugin.ct.dicom import series_read
from vpt_plugin.ct.files import KINDS, file_suffix
from vpt_plugin.errors import ArchiveUnreachableError, CancelledError, StudyError, StudyNotFoundError
from vpt_plugin.store.finder import StudyFinder
from vpt_plugin.store.grouping import Grouping, Study
from vpt_plugin.store.listings import LABELS_FOLDER
from vpt_plugin.store.opening import open_study
from vpt_plugin.store.source import OpenedStudy, SourceState

__all__ = ["LABELS_FOLDER", "StudyFolder"]

_logger = logging.getLogger(__name__)
# A look is believed for at least so many times as long as it took: there is more to do than to look.
_REST = 5.0
_PATIENCE_SECONDS = 2.0
# Of so many studies all headers are read to find one series; an examination has a few folders, not hundreds.
_MAX_CANDIDATES = 64


class StudyFolder:
    """The studies below one folder; several threads may ask.

    A NIfTI, NRRD or MHA file is a study, and so is a folder that directly holds DICOM files, with everything
    below it. Where the series of one examination lie in folders side by side, with nothing else to read
    beside them, the folder around them is the study: a localizer is none by itself. The root never is, lest
    ids change when another study comes. Loose DICOM files in the root itself are a study only where there is
    no other: one stray file must not swallow the rest. Hidden files and folders and the root's own
    ``labels`` are left out. Links to folders are followed; of several paths to one folder the
    one with labels counts, then the one without links. An id leads to nothing but a path that the scan
    found. Studies with labels keep their ids whatever comes or goes, see ``grouping``.

    A folder that cannot be read is not an empty one: what was seen in it stays listed until it can be read
    again or is seen to be gone, and to open it meanwhile is an ``ArchiveUnreachableError``.

    Args:
        root: the folder.
        fresh_seconds: for so long the last scan is believed; 0 looks each time. A scan asks every folder for
            its time stamp and lists only those that changed, which is cheap on a network share, too; it needs
            no locks, no notices of changes and no clock that agrees with the file server's.
        labelled: asks for the ids that have labels, ``LabelFolder.labelled``.
        index_folder: the folder of labels, for what speeds up the next start (``studies-index.json``) and
            for what the labelled studies were (``examinations.json``); None keeps both in memory only.
        read_only: read these two and never write them, as whoever only looks should.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        root: Path,
        *,
        fresh_seconds: float = 2.0,
        labelled: Callable[[], Collection[str]] = tuple,
        index_folder: Path | None = None,
        read_only: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = root
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        self._finder = StudyFinder(
            root, labelled=labelled, index_folder=index_folder, read_only=read_only, clock=clock
        )
        self._found: Grouping | None = None
        self._state = SourceState("folder")
        self._look_began = self._fresh_until = -float("inf")
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self._finder.root_name

    @property
    def origin(self) -> str:
        """The folder's absolute path; two links to one folder lead to the same."""
        return str(self.root.resolve())

    def scan(self, *, now: bool = False) -> Mapping[str, Path]:
        """The path of every study, by id in sorted order.

        Args:
            now: look, however fresh the last scan is.

        Raises:
            ArchiveUnreachableError: the folder could never be read.
        """
        studies = self._current(now=now).studies
        return {each: self.root / study.place for each, study in studies.items()}

    def ids(self) -> list[str]:
        """The ids of all studies, sorted; while the folder cannot be read, those of the last look.

        Raises:
            ArchiveUnreachableError: the folder could never be read, so nothing is known.
        """
        return list(self._current().studies)

    def studies(self) -> Mapping[str, Study]:
        """What ``open_study`` takes of every study, by id in sorted order; small enough to be sent around.

        Raises:
            ArchiveUnreachableError: the folder could never be read, so nothing is known.
        """
        return self._current().studies

    def path(self, study_id: str) -> Path:
        """Where the study of that id lies.

        Raises:
            StudyNotFoundError: the scan finds no such study.
            ArchiveUnreachableError: it cannot be read at the moment.
        """
        return self.root / self._study(study_id).place

    def require(self, study_id: str) -> str:
        """The id that counts, of a study that is there now; another one may have led to it, see ``Grouping``.

        Raises:
            StudyNotFoundError: there is none.
            ArchiveUnreachableError: it cannot be read at the moment.
        """
        return self._study(study_id).id

    def study_of_series(
        self, series_uid: str, *, examination: str = "", cancelled: Callable[[], bool] | None = None
    ) -> str:
        """The id of the study that ``read_study`` reads from this series; of several the first.

        Of the folders in question all headers are read, of at most 64; of the others none.

        Raises:
            CancelledError: ``cancelled`` said so, which is asked before each of them.
            StudyNotFoundError: there is none, or no header that the look read leads to it.
            ArchiveUnreachableError: the folder cannot be read at the moment.
        """
        self._current()
        if not self._state.reachable:
            raise self._unreachable()
        candidates = self._finder.candidates(series_uid, examination)
        for each in candidates[:_MAX_CANDIDATES]:
            if cancelled is not None and cancelled():
                raise CancelledError
            # One that cannot be read, or has just gone, is not read from this series.
            with suppress(StudyError), self.opened(each, cancelled=cancelled) as study:
                if series_read(study.path, each) == series_uid:
                    return each
        looked = f", of {len(candidates)} only {_MAX_CANDIDATES} were looked into"
        raise StudyNotFoundError(
            f"series {series_uid[:64]!r}",
            f"no study is read from it, as far as is known{looked if candidates[_MAX_CANDIDATES:] else ''}.",
            "Upload it.",
        )

    def remember(self, study_id: str) -> None:
        """Write down what a study was at the last look, before another one can come to lie in its place."""
        # Whoever looks at the moment, perhaps at a share that is going away, does it, too.
        if self._lock.acquire(timeout=_PATIENCE_SECONDS):
            try:
                self._finder.remember(study_id)
            finally:
                self._lock.release()

    @contextmanager
    def opened(self, study_id: str, *, cancelled: Callable[[], bool] | None = None) -> Iterator[OpenedStudy]:
        """The study where it lies; where other studies lie there, too, a folder of links to its own files.

        Raises:
            StudyNotFoundError: there is none.
            ArchiveUnreachableError: it cannot be read at the moment.
        """
        with open_study(self.root, self._study(study_id)) as opened:
            yield opened

    def facts(self, study_id: str) -> dict[str, Any]:
        """The ``name`` of the study's file or folder, its ``kind``, and its ``place`` below the root.

        A study that the last look lists is told of even where it cannot be read at the moment.

        Raises:
            StudyNotFoundError: there is none.
            ArchiveUnreachableError: the folder cannot be read.
        """
        study = self._known(study_id, self._current())
        if study is None or not self._state.reachable:
            study = self._study(study_id)
        path = self.root / study.place
        kind = KINDS.get(file_suffix(path), "dicom") if path.is_file() else "dicom"
        return {"name": path.name or self.name, "kind": kind, "place": Path(study.place).as_posix()}

    def dates(self) -> dict[str, str]:
        """Empty: dates stand in the files, which no look reads."""
        return {}

    def refresh(self) -> None:
        """Look for new studies now. A folder that cannot be read is not an error here: ``state`` tells."""
        with suppress(ArchiveUnreachableError):
            self._current(now=True)

    def state(self) -> SourceState:
        """What the last look found; does not look."""
        return self._state

    def _study(self, study_id: str) -> Study:
        study = self._known(study_id, self._current())
        if study is None or not self._state.reachable or not (self.root / study.place).exists():
            study = self._known(study_id, self._current(now=True))
            if not self._state.reachable:
                raise self._unreachable()
        if study is None:
            # Only the beginning: the text comes from a caller and may be of any length.
            raise StudyNotFoundError(
                repr(study_id[:100]),
                "there is no study of this id.",
                "An id is the path below the studies folder, with -- for /.",
            )
        if not (self.root / study.place).exists():
            raise ArchiveUnreachableError(
                f"{study_id}: it was there, but cannot be read at the moment.", "Ask again later."
            )
        return study

    @staticmethod
    def _known(study_id: str, found: Grouping) -> Study | None:
        return found.studies.get(study_id) or found.aliases.get(study_id)

    def _current(self, *, now: bool = False) -> Grouping:
        """What the last look found, or the next one finds.

        Raises:
            ArchiveUnreachableError: there was none that succeeded.
        """
        asked, before = self._clock(), self._found
        if before is not None and not now and asked < self._fresh_until:
            return before
        # Where another thread is looking, which may take long on a share that is going away, what it found
        # the last time will do.
        if self._lock.acquire(blocking=now or before is None):
            try:
                # Whoever waited for a look that began after the question need not look again.
                if self._look_began <= asked:
                    self._look()
            finally:
                self._lock.release()
        if self._found is None:
            raise self._unreachable()
        return self._found

    def _look(self) -> None:
        began = self._clock()
        try:
            self._found, problem = self._finder.find()
            state = SourceState("folder", problem=problem)
        except OSError as error:
            problem = f"the studies folder cannot be read: {error.strerror or type(error).__name__}"
            state = SourceState("folder", reachable=False, problem=problem)
        if state.problem and state != self._state:
            _logger.warning("%s: %s", self.root, state.problem)
        self._state = state
        ended = self._clock()
        self._look_began = began
        rest = max(self._fresh_seconds, _REST * (ended - began)) if self._fresh_seconds else 0.0
        self._fresh_until = ended + rest

    def _unreachable(self) -> ArchiveUnreachableError:
        return ArchiveUnreachableError(
            f"{self._state.problem}.",
            "Where it is a network share, mount it again; the studies are back as soon as it is.",
        )
