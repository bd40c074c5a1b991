"""A DICOM series, lying in a folder with whatever else, as a Volume.

Geometry comes from pydicom's headers: with the hashed SOPClassUIDs of RSNA-PE SimpleITK reads a pixel
spacing of 1.0 mm, and where slices are tilted or missing it averages the spacing and goes on.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.dicom_headers import LeftOut, LeftOutFile, SliceHeader, read_header
from vpt_plugin.ct.series import (
    Series,
    choice_notes,
    choose_series,
    group_series,
    left_out_notes,
    refusal,
)
from vpt_plugin.ct.slice_pixels import SliceReader
from vpt_plugin.ct.stacking import Stack, stack_slices
from vpt_plugin.ct.volume import MAX_VOXELS, Provenance, Volume
from vpt_plugin.errors import StudyTooLargeError, UnreadableStudyError

# Of a network share no more files are asked for at once.
_MAX_THREADS = 8


@dataclass(frozen=True)
class FoundSeries:
    """The series of a folder that is to be read, as its headers tell.

    Attributes:
        stack: its slices in their places.
        provenance: where it came from, and what was chosen and left out.
        study: the study's name, for messages.
    """

    stack: Stack
    provenance: Provenance
    study: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """How many slices, rows, columns are stored."""
        first = self.stack.slices[0]
        return len(self.stack.slices), first.rows, first.columns

    def volume(self, hu: NDArray[np.int16]) -> Volume:
        """Voxels at their places; of this shape, as stored."""
        stack = self.stack
        return Volume(hu, stack.spacing_mm, stack.origin_mm, stack.direction, self.study, self.provenance)


def find_in_folder(folder: Path, study: str, series_uid: str | None = None) -> FoundSeries:
    """The CT of a folder, searched with all folders in it; ``choose_series`` has the rule of choice.

    Raises:
        StudyError: nothing in the folder can be read as a CT, its geometry is damaged, or it asks for more
            voxels than any CT has.
    """
    return _find(_files_below(folder), study, series_uid)


def find_by_file(file: Path, study: str, series_uid: str | None = None) -> FoundSeries:
    """The whole series to which one DICOM file belongs, from the files beside it.

    Raises:
        StudyError: as ``find_in_folder``; also where the file itself is no CT slice.
    """
    header = read_header(file)
    if isinstance(header, LeftOutFile):
        if header.reason is LeftOut.NOT_DICOM and file.name.upper() == "DICOMDIR":
            return find_in_folder(file.parent, study, series_uid)
        raise refusal([header], study)
    return _find(file.parent.iterdir(), study, series_uid or header.series_uid)


def read_found(found: FoundSeries) -> Volume:
    """The volume as stored: array axes (slices, rows, columns) of the files.

    Raises:
        UnreadableStudyError: of the first slice that is damaged.
    """
    hu = np.empty(found.shape, dtype=np.int16)
    read_slices(found, hu.__setitem__)
    return found.volume(hu)


def read_slices(found: FoundSeries, take: Callable[[int, NDArray[np.int16]], None]) -> None:
    """Read the pixels of all slices of a series.

    Args:
        found: the series.
        take: is given the index of a slice and its Hounsfield units, (rows, columns), good until it returns;
            several threads call it.

    Raises:
        UnreadableStudyError: of the first slice that is damaged.
    """
    slices, (count, rows, columns) = found.stack.slices, found.shape
    over = Event()

    def read(indices: range) -> None:
        reader = SliceReader(rows, columns, found.study)
        for index in indices:
            if over.is_set():
                return
            take(index, reader.read(slices[index]))

    # The decoders and the file system leave the interpreter free, so threads share the cores.
    threads = min(_MAX_THREADS, os.cpu_count() or 1)
    ends = [count * part // threads for part in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        try:
            for _ in pool.map(read, map(range, ends, ends[1:])):
                pass
        finally:  # after an error, or Ctrl+C, the other threads need not go on
            over.set()


def read_slice_headers(folder: Path, study: str) -> list[SliceHeader]:
    """Every CT slice of a folder and of all folders in it, of whatever series; no pixels are read.

    Raises:
        UnreadableStudyError: the file system does not hand a file out.
    """
    return _headers(_plain_files(_files_below(folder)), study)[0]


def find_stack(folder: Path, study: str, series_uid: str | None = None) -> Stack:
    """The slices that would be read of a folder, in their places; no pixels are read.

    Raises:
        StudyError: as ``find_in_folder``.
    """
    return find_in_folder(folder, study, series_uid).stack


def first_header(files: Iterable[Path]) -> SliceHeader | LeftOutFile | None:
    """The first header that is of a slice, or says of what else it is; else the last one. None of no files.

    Raises:
        OSError: the file system does not hand a file out.
    """
    header = None
    for file in files:
        header = read_header(file)
        if isinstance(header, SliceHeader) or header.modality not in ("", "CT"):
            break
    return header


def series_read(folder: Path, study: str) -> str:
    """SeriesInstanceUID of the series that would be read of a folder, from headers alone.

    Raises:
        UnreadableStudyError: it reads none, or the file system does not hand a file out.
    """
    slices = read_slice_headers(folder, study)
    if not slices:
        raise UnreadableStudyError(study, "holds no CT slices.")
    return choose_series(group_series(slices), study).uid


def _files_below(folder: Path) -> Iterator[Path]:
    return (Path(root, name) for root, _, names in os.walk(folder) for name in names)


def _plain_files(files: Iterable[Path]) -> list[Path]:
    """To open a pipe would wait for ever."""
    return sorted(file for file in files if file.is_file())


def _find(files: Iterable[Path], study: str, series_uid: str | None) -> FoundSeries:
    slices, left_out = _headers(_plain_files(files), study)
    if not slices:
        raise refusal(left_out, study)
    series = group_series(slices)
    chosen = choose_series(series, study, series_uid)
    _refuse_cut_short(left_out, chosen, study)
    first = chosen.slices[0]
    provenance = Provenance(
        kind="dicom",
        series_uid=chosen.uid,
        patient_id=first.patient_id,
        description=first.description,
        notes=choice_notes(chosen, series, series_uid) + left_out_notes(left_out),
        synthetic=first.synthetic,
        header=first.said,
    )
    found = FoundSeries(stack_slices(chosen.slices, study), provenance, study)
    _refuse_too_large(found)
    return found


def _refuse_too_large(found: FoundSeries) -> None:
    """Before memory is asked for: headers of a few bytes may claim any size."""
    if math.prod(found.shape) <= MAX_VOXELS:
        return
    slices, rows, columns = found.shape
    raise StudyTooLargeError(
        found.study,
        f"its headers ask for {slices} slices of {rows} x {columns} pixels, more than {MAX_VOXELS:,} voxels.",
        "No CT of a chest is that large: export the series again.",
    )


def _headers(files: Sequence[Path], study: str) -> tuple[list[SliceHeader], list[LeftOutFile]]:
    slices: list[SliceHeader] = []
    left_out: list[LeftOutFile] = []
    for file in files:
        try:
            header = read_header(file)
        except OSError as error:
            raise UnreadableStudyError(study, f"{file.name} cannot be read: {error}.") from error
        if isinstance(header, SliceHeader):
            slices.append(header)
        else:
            left_out.append(header)
    return slices, left_out


def _refuse_cut_short(left_out: Sequence[LeftOutFile], chosen: Series, study: str) -> None:
    """A slice whose header ends early, left out at an end of the series, would leave no gap to be seen."""
    for each in left_out:
        if each.reason is LeftOut.NO_IMAGE and each.series_uid == chosen.uid:
            cause = f"{each.path.name}, of the series to be read, has no pixel data, or ends before them."
        elif each.reason is LeftOut.DAMAGED or (each.reason is LeftOut.NO_IMAGE and not each.series_uid):
            cause = f"{each.path.name} is damaged or cut short, and may be a slice of the series to be read."
        else:
            continue
        raise UnreadableStudyError(
            study, cause, "Copy or export the series again, or remove the file if it is none of it."
        )
