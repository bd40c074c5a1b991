"""Unpack: a downloaded study made ready for Slicer's readers, in a worker: this part takes long."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Callable, cast

import numpy as np
import pydicom  # of Slicer's own Python: its DICOM module stands on it

from ..errors import LocalFileError
from ..transport.cancel import Cancel

OnProgress = Callable[[int, int], object]

# 2,000 slices of 1024 x 1024, as the server takes at most, with room for headers.
_MOST_BYTES = 8 * 2**30
_MOST_FILES = 10_000
_CHUNK_BYTES = 1 << 20
_HEADER = ("SeriesInstanceUID", "ImageOrientationPatient", "ImagePositionPatient", "Rows", "Columns")
_SAME_PLACE_MM = 0.01
_DAMAGED = "Download the study again; if it stays so, the server's copy is damaged."


@dataclass(frozen=True)
class _Slice:
    file: Path
    series: tuple[object, ...]
    height_mm: float


def ready_to_load(file: Path, *, progress: OnProgress, cancel: Cancel) -> tuple[Path, ...]:
    """The files of a study in the order in which Slicer reads them; new ones lie beside the downloaded one.

    Args:
        file: NIfTI, NRRD or MHA, or a zip of DICOM files, of which the largest series is taken.
        progress: steps so far and in all.
        cancel: ends it.

    Raises:
        CancelledError: it was asked for.
        LocalFileError: it is damaged, or there is no room for what is in it.
    """
    try:
        if file.suffix.lower() == ".zip":
            return in_order(_unzip(file, progress, cancel))
        if file.name.lower().endswith(".nii.gz"):
            # Slicer's reader unpacks it, too, but takes one that is cut short for a whole one.
            return (_gunzip(file, cancel),)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
        raise LocalFileError(f"the downloaded study cannot be unpacked: {error}.", _DAMAGED) from error
    return (file,)


def in_order(files: Sequence[Path]) -> tuple[Path, ...]:
    """The files of the largest series along its slices, one for each place.

    Raises:
        LocalFileError: none of them is a slice of a CT.
    """
    series: defaultdict[tuple[object, ...], list[_Slice]] = defaultdict(list)
    for each in filter(None, map(_read_slice, files)):
        series[each.series].append(each)
    if not series:
        raise LocalFileError("there are no slices in the downloaded study.", _DAMAGED)
    largest = max(series.values(), key=len)
    largest.sort(key=lambda each: each.height_mm)
    places = [largest[0]]
    for each in largest[1:]:
        if each.height_mm - places[-1].height_mm > _SAME_PLACE_MM:
            places.append(each)
    return tuple(each.file for each in places)


def _read_slice(file: Path) -> _Slice | None:
    """What is told of a file by its header; None for one that is no slice."""
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_HEADER))
        directions = np.array(header.ImageOrientationPatient, dtype=float)
        place = np.array(header.ImagePositionPatient, dtype=float)
        series = (str(header.SeriesInstanceUID), tuple(directions.round(3)), header.Rows, header.Columns)
        height_mm = float(np.cross(directions[:3], directions[3:]) @ place)
    except (pydicom.errors.InvalidDicomError, AttributeError, TypeError, ValueError):
        return None
    return _Slice(file, series, height_mm) if np.isfinite(height_mm) else None


def _unzip(file: Path, progress: OnProgress, cancel: Cancel) -> list[Path]:
    """Every file of a zip under a number: names in it may point anywhere."""
    folder = file.parent / "slices"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(file) as archive:
        inside = [each for each in archive.infolist() if not each.is_dir()]
        room = _MOST_BYTES
        if len(inside) > _MOST_FILES:
            raise zipfile.BadZipFile(f"it has {len(inside)} files, more than any CT")
        files = []
        for number, each in enumerate(inside):
            cancel.check()
            files.append(folder / f"{number:05d}.dcm")
            with archive.open(each) as packed, files[-1].open("wb") as out:
                room -= _copy(packed, out, room, cancel)
            progress(number + 1, len(inside))
    return files


def _gunzip(file: Path, cancel: Cancel) -> Path:
    plain = file.with_suffix("")
    with gzip.open(file) as packed, plain.open("wb") as out:
        _copy(cast("IO[bytes]", packed), out, _MOST_BYTES, cancel)
    return plain


def _copy(packed: IO[bytes], out: IO[bytes], room_bytes: int, cancel: Cancel) -> int:
    """Copy as far as there is room; the number of bytes.

    Raises:
        zipfile.BadZipFile: there is more.
    """
    copied = 0
    while chunk := packed.read(_CHUNK_BYTES):
        cancel.check()
        copied += len(chunk)
        if copied > room_bytes:
            raise zipfile.BadZipFile("it unpacks to more than any CT holds")
        out.write(chunk)
    return copied
