"""What one DICOM file is, read from its header: a slice of a CT, or why it is none."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import pydicom

from vpt_plugin.ct.plain_dicom import FIRST_PIECE_BYTES, find_elements
from vpt_plugin.ct.plain_values import PlainElements, StoredValue, stored_value
from vpt_plugin.ct.slice_header import (
    HEADER_ELEMENTS,
    LeftOut,
    LeftOutFile,
    SliceHeader,
    slice_of,
    text_of,
    version_of,
    why_left_out,
)
from vpt_plugin.ct.stored_pixels import PIXEL_ELEMENTS, PixelFormat, StoredPixels, pixel_format

__all__ = [
    "LeftOut",
    "LeftOutFile",
    "SliceHeader",
    "is_dicom",
    "read_examination",
    "read_header",
    "read_sop_class",
    "read_study_date",
    "read_uids",
]

_DATE = re.compile(r"[12]\d{7}")
_BEGINNING_BYTES = 512
_WANTED = HEADER_ELEMENTS | PIXEL_ELEMENTS
# What a position and a UID look like that need no judging: three finite numbers, and letters as hashes have.
_NUMBER = rb" *([-+]?\d{1,16}(?:\.\d{0,16})?(?:[eE][-+]?\d\d?)?) *"
_POSITION = re.compile(rb"\\".join([_NUMBER] * 3))
_UID = re.compile(rb"([0-9A-Za-z.]+)[\0 ]*")
_STANDING_IN = (
    stored_value("ImagePositionPatient", "DS", b"0\\0\\0 "),
    stored_value("SOPInstanceUID", "UI", b"1\0"),
)
_PYDICOM = r"pydicom(\.|$)"
_QUIET = ("ignore", None, Warning, re.compile(_PYDICOM), 0)
# Far more than the elements that are asked for have; of longer ones nothing is kept in memory.
_LONG_VALUE_BYTES = 1 << 10
_DICOMDIR = b"1.2.840.10008.1.3.10"


def read_header(path: Path) -> SliceHeader | LeftOutFile:
    """What one file is, from its header alone. No content of a file makes this fail.

    Raises:
        OSError: the file system does not hand the file out.
    """
    _hush_pydicom()
    with path.open("rb", buffering=0) as file:
        version = version_of(os.fstat(file.fileno()))
        start = file.read(FIRST_PIECE_BYTES)
        if not start and _named_like_dicom(path):
            return LeftOutFile(path, LeftOut.DAMAGED)
        if not _begins_as_dicom(start[:_BEGINNING_BYTES]):
            return LeftOutFile(path, LeftOut.NOT_DICOM)
        header = _read_plain(path, file, start)
    if header is None:
        header = _read_by_pydicom(path, complete=start[128:132] == b"DICM")
    return replace(header, version=version) if isinstance(header, SliceHeader) else header


def _read_by_pydicom(path: Path, *, complete: bool) -> SliceHeader | LeftOutFile:
    with path.open("rb") as file:
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            reason = why_left_out(header)
            if reason is None:
                return slice_of(path, header)
            return LeftOutFile(
                path, reason, text_of(header, "Modality"), text_of(header, "SeriesInstanceUID")
            )
        except Exception:  # a damaged file breaks pydicom anywhere, with any exception
            return LeftOutFile(path, LeftOut.DAMAGED if complete else LeftOut.NOT_DICOM)


def _read_plain(path: Path, file: BinaryIO, start: bytes) -> SliceHeader | LeftOutFile | None:
    """What an ordinary file is; None where only pydicom can tell."""
    found = find_elements(file, start, _WANTED)
    if found is None or any(len(value) > _LONG_VALUE_BYTES for _, _, value in found.stored):
        return None
    position = _POSITION.fullmatch(found.take("ImagePositionPatient", "DS"))
    instance = _UID.fullmatch(found.take("SOPInstanceUID", "UI"))
    if position is None or instance is None:
        return None
    try:
        judged = _judge(found.stored)
    except Exception:  # pydicom's own, of damaged elements
        return None
    if isinstance(judged, LeftOutFile):
        return replace(judged, path=path)
    slice_like, pixels = judged
    return replace(
        slice_like,
        path=path,
        position_mm=tuple(map(float, position.groups())),
        instance_uid=instance[1].decode("ascii"),
        pixels=None if pixels is None else StoredPixels(found.place, pixels),
    )


# The slices of a series share all elements but two, and then what those make of them. A few series are kept.
@lru_cache(maxsize=32)
def _judge(stored: tuple[StoredValue, ...]) -> LeftOutFile | tuple[SliceHeader, PixelFormat | None]:
    """What files with these elements are, whatever their position and their SOPInstanceUID.

    Raises:
        Exception: any, of elements that are damaged.
    """
    elements = PlainElements((*stored, *_STANDING_IN))
    anywhere = Path()
    if reason := why_left_out(elements):
        modality, series_uid = text_of(elements, "Modality"), text_of(elements, "SeriesInstanceUID")
        return LeftOutFile(anywhere, reason, modality, series_uid)
    return slice_of(anywhere, elements), pixel_format(elements)


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


def read_sop_class(path: Path) -> str:
    """SOPClassUID of one file, or "" where none can be read. No file makes this fail."""
    return _stored_text(path, "SOPClassUID")


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
