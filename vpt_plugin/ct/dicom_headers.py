"""One DICOM file's header: a slice of a CT, or the reason why it is none.

A file with any content is judged by that, not by its name or its SOPClassUID: exports name files as they
like, and the anonymised files of RSNA-PE carry hashed UIDs. A CT is what says ``Modality`` CT.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from vpt_plugin.ct.volume import PHANTOM_MARK

# RescaleType where values are Hounsfield units ("" and US: not said). Iodine maps and their like, which
# are of modality CT too, say MGML, Z_EFF, PCT ... (DICOM PS3.3, C.11.1.1.2).
_HOUNSFIELD_TYPES = {"", "HU", "HU_MOD", "US"}
_DATE = re.compile(r"[12]\d{7}")
_PYDICOM = r"pydicom(\.|$)"
_QUIET = ("ignore", None, Warning, re.compile(_PYDICOM), 0)
_DICOMDIR = b"1.2.840.10008.1.3.10"
_PROJECTIONS = {"MIP", "MINIP", "PROJECTION IMAGE"}


class LeftOut(Enum):
    """Why a file is no slice; the value names such files."""

    NOT_DICOM = "files that are not DICOM images"
    DAMAGED = "damaged DICOM files"
    OTHER_MODALITY = "images of other modalities"
    NO_IMAGE = "CT objects without pixel data"
    LOCALIZER = "localizers"
    PROJECTION = "intensity projections"
    NO_PLACE = "secondary captures and other images without a place in the patient"
    NOT_HOUNSFIELD = "images not in Hounsfield units (8-bit, colour, material maps)"
    MULTI_FRAME = "enhanced (multi-frame) CT objects"


@dataclass(frozen=True)
class LeftOutFile:
    """A file that is no slice of a CT.

    Attributes:
        path: the file.
        reason: why.
        modality: the modality, or "".
        series_uid: SeriesInstanceUID, or "" where it could not be read.
    """

    path: Path
    reason: LeftOut
    modality: str = ""
    series_uid: str = ""


@dataclass(frozen=True)
class SliceHeader:
    """One CT slice as its header describes it; patient coordinates are LPS+ in mm.

    Attributes:
        path: the file.
        series_uid: SeriesInstanceUID.
        patient_id: PatientID, or "".
        description: SeriesDescription, or "".
        rows: number of rows.
        columns: number of columns.
        position_mm: (x, y, z) of the centre of the first voxel.
        along_row: (x, y, z) in which the column index grows, as stored.
        along_column: (x, y, z) in which the row index grows, as stored.
        pixel_spacing_mm: distance of neighbouring (rows, columns).
        thickness_mm: SliceThickness, or nan.
        instance_uid: SOPInstanceUID, or "".
        synthetic: whether it is of a phantom that VPTCT wrote.
    """

    path: Path
    series_uid: str
    patient_id: str
    description: str
    rows: int
    columns: int
    position_mm: tuple[float, ...]
    along_row: tuple[float, ...]
    along_column: tuple[float, ...]
    pixel_spacing_mm: tuple[float, ...]
    thickness_mm: float
    instance_uid: str = ""
    synthetic: bool = False

    @property
    def normal(self) -> NDArray[np.float64]:
        """(x, y, z) across the slice."""
        return np.cross(self.along_row, self.along_column)

    @property
    def centre_mm(self) -> NDArray[np.float64]:
        """(x, y, z) of the middle of the slice; its z is the ``slice_z_mm`` of the volume."""
        down_mm, across_mm = self.pixel_spacing_mm
        along_row = np.array(self.along_row) * across_mm * (self.columns - 1) / 2
        along_column = np.array(self.along_column) * down_mm * (self.rows - 1) / 2
        return np.asarray(self.position_mm + along_row + along_column, dtype=np.float64)


def read_header(path: Path) -> SliceHeader | LeftOutFile:
    """What one file is, from its header alone. No content of a file makes this fail.

    Raises:
        OSError: the file system does not hand the file out.
    """
    _hush_pydicom()
    with path.open("rb") as file:
        start = file.read(512)
        if not start and _named_like_dicom(path):
            return LeftOutFile(path, LeftOut.DAMAGED)
        complete = start[128:132] == b"DICM"
        if not _begins_as_dicom(start):
            return LeftOutFile(path, LeftOut.NOT_DICOM)
        file.seek(0)
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            reason = _why_left_out(header)
            if reason is None:
                return _slice(path, header)
            return LeftOutFile(path, reason, _text(header, "Modality"), _text(header, "SeriesInstanceUID"))
        except Exception:  # a damaged file breaks pydicom anywhere, with any exception
            return LeftOutFile(path, LeftOut.DAMAGED if complete else LeftOut.NOT_DICOM)


def is_dicom(path: Path) -> bool:
    """Whether the file begins as one DICOM object does; a DICOMDIR is none.

    Raises:
        OSError: the file system does not hand the file out.
    """
    with path.open("rb") as file:
        return _begins_as_dicom(file.read(512))


def read_examination(path: Path) -> str:
    """StudyInstanceUID of one file, or "" where none can be read. No file makes this fail."""
    return _stored_text(path, "StudyInstanceUID")


def read_uids(path: Path) -> tuple[str, str]:
    """StudyInstanceUID and SeriesInstanceUID of one file, or "" for what cannot be read; it never fails."""
    examination, series = _stored_texts(path, ("StudyInstanceUID", "SeriesInstanceUID"))
    return examination, series


def read_study_date(path: Path) -> str:
    """StudyDate of one file, ``20201231``, or "" where none can be read. No file makes this fail."""
    date = _stored_text(path, "StudyDate")
    return date if _DATE.fullmatch(date) else ""


def _hush_pydicom() -> None:
    """pydicom warns of every odd value (over-long numbers, hashed UIDs); what matters is checked here.

    For good, not in a ``catch_warnings`` block: those are not for threads, and several studies are read at
    once.
    """
    if _QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", module=_PYDICOM)


def _stored_text(path: Path, name: str) -> str:
    return _stored_texts(path, (name,))[0]


def _stored_texts(path: Path, names: Sequence[str]) -> list[str]:
    """Elements as stored: pydicom warns of a UID with letters in it, which anonymised files have."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(names))
    except Exception:  # a damaged file breaks pydicom anywhere, with any exception
        return [""] * len(names)
    return [_text_as_stored(header, name) for name in names]


def _text_as_stored(header: Any, name: str) -> str:
    try:
        stored: bytes = header.get_item(name).value
        return stored.decode("ascii").strip("\0 ")
    except Exception:  # as above
        return ""


def _named_like_dicom(path: Path) -> bool:
    """Of an empty file only the name is left to judge by: a full disk leaves such slices behind."""
    return path.suffix.lower() in ("", ".dcm", ".ima") and not path.name.startswith(".")


def _begins_as_dicom(start: bytes) -> bool:
    return (start[128:132] == b"DICM" or _begins_bare(start)) and _DICOMDIR not in start


def _begins_bare(start: bytes) -> bool:
    """Old exports lack the preamble and begin with their first element, of group 0002 or 0008."""
    return len(start) > 3 and start[0] in (2, 8) and start[1] == 0 and start[3] == 0


def _why_left_out(header: Any) -> LeftOut | None:
    modality = _text(header, "Modality")
    if not modality:
        # SOPInstanceUID comes before Modality and is in every object: without it the file ends early.
        return LeftOut.NOT_DICOM if "SOPInstanceUID" in header else LeftOut.DAMAGED
    if modality != "CT":
        return LeftOut.OTHER_MODALITY
    if not all(name in header for name in ("Rows", "Columns", "BitsAllocated")):
        return LeftOut.NO_IMAGE
    if min(int(header.Rows), int(header.Columns)) < 1:
        return LeftOut.DAMAGED
    image_type = set(_texts(header, "ImageType"))
    rules = (
        (LeftOut.MULTI_FRAME, int(header.get("NumberOfFrames") or 1) > 1),
        (LeftOut.LOCALIZER, "LOCALIZER" in image_type),
        (LeftOut.NOT_HOUNSFIELD, not _is_hounsfield(header)),
        (LeftOut.NO_PLACE, not _has_place(header)),
        (LeftOut.PROJECTION, bool(image_type & _PROJECTIONS)),
    )
    return next((reason for reason, applies in rules if applies), None)


def _is_hounsfield(header: Any) -> bool:
    grey = int(header.get("SamplesPerPixel") or 1) == 1
    return grey and int(header.BitsAllocated) > 8 and _text(header, "RescaleType") in _HOUNSFIELD_TYPES


def _has_place(header: Any) -> bool:
    wanted = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
    numbers = {name: _numbers(header, name) for name in wanted}
    finite = all(math.isfinite(number) for values in numbers.values() for number in values)
    counted = all(len(numbers[name]) == count for name, count in wanted.items())
    return finite and counted and min(numbers["PixelSpacing"]) > 0


def _slice(path: Path, header: Any) -> SliceHeader:
    orientation = _numbers(header, "ImageOrientationPatient")
    thickness = _numbers(header, "SliceThickness")
    return SliceHeader(
        path=path,
        series_uid=_text(header, "SeriesInstanceUID"),
        patient_id=_text(header, "PatientID"),
        description=_text(header, "SeriesDescription"),
        rows=int(header.Rows),
        columns=int(header.Columns),
        position_mm=_numbers(header, "ImagePositionPatient"),
        along_row=orientation[:3],
        along_column=orientation[3:],
        pixel_spacing_mm=_numbers(header, "PixelSpacing"),
        thickness_mm=thickness[0] if thickness else math.nan,
        instance_uid=_text(header, "SOPInstanceUID"),
        synthetic=_text(header, "Manufacturer") == PHANTOM_MARK,
    )


def _texts(header: Any, name: str) -> tuple[str, ...]:
    value = header.get(name)
    values = value if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]
    return tuple(str(each).strip() for each in values if each is not None)


def _text(header: Any, name: str) -> str:
    return "\\".join(_texts(header, name))


def _numbers(header: Any, name: str) -> tuple[float, ...]:
    return tuple(float(text) for text in _texts(header, name) if text)
