"""StudySource: where studies come from, be it a folder or a DICOM archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class OpenedStudy:
    """A study that lies on this computer for as long as it is open.

    Attributes:
        path: what ``read_study`` takes: a DICOM folder or a file.
        notes: what whoever reads the answer must know, such as that a copy was read while the archive was
            not reachable.
    """

    path: Path
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceState:
    """Whether studies can be had at the moment.

    Attributes:
        kind: ``folder`` or ``archive``.
        reachable: the last look at it succeeded.
        problem: what is wrong, for people; "" where nothing is. No path of the server is in it.
    """

    kind: str
    reachable: bool = True
    problem: str = ""


class StudySource(Protocol):
    """Several threads may ask."""

    @property
    def name(self) -> str:
        """What to call it on a screen; no path of the server."""

    @property
    def origin(self) -> str:
        """Where the studies come from, which tells sources with equal ids apart; for no screen.

        Of a folder its absolute path with all links followed, of an archive its address without the protocol.
        """

    def ids(self) -> list[str]:
        """The ids of all studies, sorted.

        Raises:
            ArchiveError: the archive was never reached, so nothing is known.
        """

    def require(self, study_id: str) -> str:
        """The id that counts, of a study that is there; labels are saved under it. Fetches nothing.

        Raises:
            StudyNotFoundError: there is none.
            ArchiveError: it is not known, and the archive cannot be asked.
        """

    def study_of_series(
        self, series_uid: str, *, examination: str = "", cancelled: Callable[[], bool] | None = None
    ) -> str:
        """The id of the study that is read from a DICOM series, so that an answer is about that series.

        Args:
            series_uid: SeriesInstanceUID.
            examination: StudyInstanceUID, where it is known: more studies are then found.
            cancelled: asked between studies that are looked into.

        Raises:
            CancelledError: ``cancelled`` said so.
            StudyNotFoundError: none is, as far as can be told without reading every file.
            ArchiveError: as ``require``.
        """

    def remember(self, study_id: str) -> None:
        """Write down what a study is, so that its labels stay with it; to be called after its first label.

        Nothing that goes wrong with it is an error: the next look at the studies does it again.
        """

    def opened(
        self, study_id: str, *, cancelled: Callable[[], bool] | None = None
    ) -> AbstractContextManager[OpenedStudy]:
        """The whole study, on this computer until the ``with`` block is left.

        Args:
            study_id: an id.
            cancelled: asked while slices are fetched.

        Raises:
            StudyNotFoundError: there is no such study.
            ArchiveError: the archive cannot be asked, or does not hand out every slice.
            CancelledError: ``cancelled`` said so.
        """

    def facts(self, study_id: str) -> dict[str, Any]:
        """What a client may know of a study without reading it, never where the server keeps it.

        At least ``name``, ``kind`` (``dicom``, ``nifti``, ``nrrd`` or ``mha``) and ``place``: its path below
        the folder; of an archive's series, how the archive calls it.

        Raises:
            StudyNotFoundError, ArchiveError.
        """

    def dates(self) -> Mapping[str, str]:
        """The StudyDate, as 20201231, of the studies whose date is known without reading them, by id.

        Raises:
            ArchiveError: as ``ids``.
        """

    def refresh(self) -> None:
        """Look for new studies now. An archive that is down is not an error here: ``state`` tells."""

    def state(self) -> SourceState:
        """What the last look found; asks nobody."""
