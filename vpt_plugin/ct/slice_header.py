"""What a header's elements make of a DICOM file: a slice of a CT, or the reason why it is none.

A file with any content is judged by that, not by its name or its SOPClassUID: exports name files as they
like, and the anonymised files of RSNA-PE carry hashed UIDs. A CT is what says ``Modality`` CT.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pydicom
from numpy.typing import NDArray

from vpt_plugin.ct.stored_pixels import StoredPixels
from vpt_plugin.ct.study_header import StudyHeader
from vpt_plugin.ct.volume import PHANTOM_MARK

# RescaleType where values are Hounsfield units ("" and US: not said). Iodine maps and their like, which
# are of modality CT too, say MGML, Z_EFF, PCT ... (DICOM PS3.3, C.11.1.1.2).
_HOUNSFIELD_TYPES = {"", "HU", "HU_MOD", "US"}
_PROJECTIONS = {"MIP", "MINIP", "PROJECTION IMAGE"}
# All that is asked of a header.
HEADER_ELEMENTS = frozenset(
    {
        "BitsAllocated", "BodyPartExamined", "Columns", "ContrastBolusAgent", "ConvolutionKernel",
        "ImageOrientationPatient", "ImagePositionPatient", "ImageType", "Manufacturer",
        "ManufacturerModelName", "Modality", "NumberOfFrames", "PatientID", "PixelSpacing", "ProtocolName",
        "RescaleType", "Rows", "SOPInstanceUID", "SamplesPerPixel", "SeriesDescription",
        "SeriesInstanceUID", "SliceThickness",
    }
)  # fmt: skip


class Elements(Protocol):
    """The elements of a header by keyword, as pydicom's ``Dataset`` has them."""

    def __contains__(self, keyword: str) -> bool: ...

    def get(self, keyword: str, default: Any = None) -> Any:
        """The value of an element, or ``default`` where it is not there."""


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
class FileVersion:
    """By what a file is known again: another one in its place, or one that was written to, differs.

    Attributes:
        size_bytes: of the whole file.
        modified_ns: when it was last written to, as the file system has it.
        inode: its number in the file system; 0 where there are none.
    """

    size_bytes: int
    modified_ns: int
    inode: int


def version_of(stat: os.stat_result) -> FileVersion:
    """The version of a file, from what the file system says of it."""
    return FileVersion(stat.st_size, stat.st_mtime_ns, stat.st_ino)


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
        pixels: how its pixels are stored; None where pydicom has to find out.
        version: of the file when its header was read.
        said: what it says of how its series was taken.
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
    pixels: StoredPixels | None = None
    version: FileVersion | None = None
    said: StudyHeader = field(default_factory=StudyHeader)

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

    def is_same_slice(self, other: SliceHeader) -> bool:
        """Whether both are the same image at the same place, however it is stored."""
        return _identity(self) == _identity(other)


def _identity(header: SliceHeader) -> tuple[object, ...]:
    size = header.rows, header.columns, header.pixel_spacing_mm
    place = header.position_mm, header.along_row, header.along_column
    return header.series_uid, header.instance_uid, size, place


def why_left_out(header: Elements) -> LeftOut | None:
    """Why a file with these elements is no slice; None where it is one.

    Raises:
        Exception: any, of elements that are damaged.
    """
    modality = text_of(header, "Modality")
    if not modality:
        # SOPInstanceUID comes before Modality and is in every object: without it the file ends early.
        return LeftOut.NOT_DICOM if "SOPInstanceUID" in header else LeftOut.DAMAGED
    if modality != "CT":
        return LeftOut.OTHER_MODALITY
    if not all(name in header for name in ("Rows", "Columns", "BitsAllocated")):
        return LeftOut.NO_IMAGE
    if min(int(header.get("Rows")), int(header.get("Columns"))) < 1:
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


def _is_hounsfield(header: Elements) -> bool:
    grey = int(header.get("SamplesPerPixel") or 1) == 1
    return (
        grey and int(header.get("BitsAllocated")) > 8 and text_of(header, "RescaleType") in _HOUNSFIELD_TYPES
    )


def _has_place(header: Elements) -> bool:
    wanted = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
    numbers = {name: _numbers(header, name) for name in wanted}
    finite = all(math.isfinite(number) for values in numbers.values() for number in values)
    counted = all(len(numbers[name]) == count for name, count in wanted.items())
    return finite and counted and min(numbers["PixelSpacing"]) > 0


def slice_of(path: Path, header: Elements) -> SliceHeader:
    """The slice of a file that ``why_left_out`` leaves in."""
    orientation = _numbers(header, "ImageOrientationPatient")
    thickness = _numbers(header, "SliceThickness")
    return SliceHeader(
        path=path,
        series_uid=text_of(header, "SeriesInstanceUID"),
        patient_id=text_of(header, "PatientID"),
        description=text_of(header, "SeriesDescription"),
        rows=int(header.get("Rows")),
        columns=int(header.get("Columns")),
        position_mm=_numbers(header, "ImagePositionPatient"),
        along_row=orientation[:3],
        along_column=orientation[3:],
        pixel_spacing_mm=_numbers(header, "PixelSpacing"),
        thickness_mm=thickness[0] if thickness else math.nan,
        instance_uid=text_of(header, "SOPInstanceUID"),
        synthetic=text_of(header, "Manufacturer") == PHANTOM_MARK,
        said=StudyHeader(
            body_part=text_of(header, "BodyPartExamined"),
            protocol=text_of(header, "ProtocolName"),
            kernel=text_of(header, "ConvolutionKernel"),
            contrast_agent=text_of(header, "ContrastBolusAgent"),
            slice_thickness_mm=thickness[0] if thickness else None,
            manufacturer=text_of(header, "Manufacturer"),
            model=text_of(header, "ManufacturerModelName"),
        ),
    )


def _texts(header: Elements, name: str) -> tuple[str, ...]:
    value = header.get(name)
    values = value if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]
    return tuple(str(each).strip() for each in values if each is not None)


def text_of(header: Elements, name: str) -> str:
    """The text of an element, or ""."""
    return "\\".join(_texts(header, name))


def _numbers(header: Elements, name: str) -> tuple[float, ...]:
    return tuple(float(text) for text in _texts(header, name) if text)
