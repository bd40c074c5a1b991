"""What one folder holds, and what a look at many of them finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

LABELS_FOLDER = "labels"
ROOT = ""


@dataclass(frozen=True)
class SliceFile:
    """One DICOM file that stands for its folder, as it was when its header was read.

    Attributes:
        name: its name.
        size_bytes: its size.
        changed_ns: its time stamp.
        examination: StudyInstanceUID, or "".
        series: SeriesInstanceUID, or "".
    """

    name: str
    size_bytes: int
    changed_ns: int
    examination: str
    series: str = ""


@dataclass(frozen=True)
class Listing:
    """What one folder held when its time stamp was ``changed_ns``.

    Attributes:
        changed_ns: the folder's time stamp, by the clock of whoever keeps the folder: a file server's may be
            wrong, so it is compared with nothing but itself.
        folders: names of the folders in it, but the hidden ones.
        files: names of the study files directly in it.
        slice_file: a DICOM file directly in it, or None where there is none.
        links: those of ``folders`` that are links to folders elsewhere.
        settled: whatever changes from now on gives the folder another time stamp.
    """

    changed_ns: int
    folders: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    slice_file: SliceFile | None = None
    links: tuple[str, ...] = ()
    settled: bool = False

    @property
    def holds_dicom(self) -> bool:
        """DICOM files lie directly in it."""
        return self.slice_file is not None

    @property
    def examination(self) -> str:
        """StudyInstanceUID of one of them, or ""."""
        return "" if self.slice_file is None else self.slice_file.examination

    @property
    def series(self) -> str:
        """SeriesInstanceUID of the same one, or ""."""
        return "" if self.slice_file is None else self.slice_file.series


@dataclass(frozen=True)
class Look:
    """What one look at all folders found.

    Attributes:
        listings: by the path below the root, ``/`` between names, "" for the root; of DICOM folders the
            folders inside are left out unless the look was told to open them.
        unread: paths of the folders that could not be read; where they once were, ``listings`` has what was
            seen then.
    """

    listings: Mapping[str, Listing]
    unread: tuple[str, ...] = ()


class Labelled(Protocol):
    """What a look must know of the studies with labels."""

    def opens(self, folder: str, examination: str) -> bool:
        """Whether to look into the folders in a folder that directly holds DICOM of an examination."""

    def may_have_labels(self, folder: str) -> bool:
        """Whether something with labels was in this folder or below it, by this very path."""

    def slice_of(self, folder: str) -> str:
        """The name of the DICOM file that spoke for a folder, or ""."""


def may_be_listed(folder: str, name: str) -> bool:
    """Whether a name is neither hidden nor the root's own folder of labels."""
    return not name.startswith(".") and (folder != ROOT or name != LABELS_FOLDER)


def join(folder: str, name: str) -> str:
    """The path below the root of what lies in a folder."""
    return f"{folder}/{name}" if folder else name
