"""Export: a volume as a file for an upload, in the smallest form that the server answers as the study itself.

Nothing goes along but the voxels and where they lie: no name, no attribute, nothing of DICOM. First the main
thread takes a snapshot, which copies nothing; then a worker writes it, slice by slice.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Callable

import numpy as np
import slicer
from numpy.typing import NDArray

from ..contract.info import StudyNeeds
from ..errors import LocalFileError
from ..transport.cancel import Cancel
from . import packing
from .fingerprint import revision
from .geometry import StudyGeometry, Vector, geometry_of
from .reduction import Reduction

# Noise keeps CTs from becoming much smaller, however long one tries.
_GZIP_LEVEL = 1
# Compression lets other threads run, those that draw the panel among them.
_PACKING_THREADS = 2
_SLICES_AT_ONCE = 16


@dataclass(frozen=True)
class VolumeSnapshot:
    """A volume at one moment, for a worker: it holds on to the voxels, even when the node goes.

    Attributes:
        voxels: (slices, rows, columns) in the server's order; shared with the scene, so they may change.
        geometry: where they lie.
        revision: of the volume; another one afterwards tells that it changed meanwhile.
    """

    voxels: NDArray[Any]
    geometry: StudyGeometry
    revision: str


def snapshot(volume: slicer.vtkMRMLScalarVolumeNode) -> VolumeSnapshot:
    """Take hold of a volume that ``refusal_of`` does not refuse; in the main thread, copies no voxels."""
    geometry = geometry_of(volume)
    voxels = slicer.util.arrayFromVolume(volume).transpose(geometry.axes)
    steps = tuple(slice(None, None, -1 if flipped else 1) for flipped in geometry.flipped)
    return VolumeSnapshot(voxels[steps], geometry, revision(volume))


class PackedStudy:
    """A snapshot in the form ``twelve_bits``, which is made while it is sent: no file, no second copy.

    Args:
        taken: the snapshot.
        needs: what the server says it needs for the task; None sends slices whole.
    """

    ending = ".vptct"

    def __init__(self, taken: VolumeSnapshot, needs: StudyNeeds | None) -> None:
        self._slices = _Slices(taken, needs)
        self._header = self._slices.header(packing.TWELVE_BITS)
        self.size_bytes = packing.size_of(self._header, self._slices.shape)

    def pieces(self) -> Iterator[bytes]:
        """The header, every slice, the checksum."""
        yield self._header
        yield from packing.packed(
            map(packing.twelve_bits, map(self._slices.hu, range(self._slices.shape[0])))
        )


def write_packed(
    taken: VolumeSnapshot,
    needs: StudyNeeds | None,
    folder: Path,
    *,
    progress: Callable[[int, int], object],
    cancel: Cancel,
) -> Path:
    """Write a snapshot as a packed study in the form ``differences``; all else as ``write_study``."""
    slices = _Slices(taken, needs)
    count = slices.shape[0]

    def one(index: int) -> bytes:
        return packing.differences(slices.hu(index))

    def all_slices() -> Iterator[bytes]:
        with ThreadPoolExecutor(_PACKING_THREADS) as threads:
            for begin in range(0, count, _SLICES_AT_ONCE):
                cancel.check()
                end = min(begin + _SLICES_AT_ONCE, count)
                yield from threads.map(one, range(begin, end))
                progress(end, count)

    with _written(folder, PackedStudy.ending) as file:
        file.write(slices.header(packing.DIFFERENCES))
        file.writelines(packing.packed(all_slices()))
    return folder / f"upload{PackedStudy.ending}"


def write_study(
    taken: VolumeSnapshot,
    needs: StudyNeeds | None,
    folder: Path,
    *,
    progress: Callable[[int, int], object],
    cancel: Cancel,
) -> Path:
    """Write a snapshot as an NRRD file for the server; in a worker.

    Args:
        taken: the snapshot.
        needs: what the server says it needs for the task; None writes slices whole.
        folder: an existing one.
        progress: slices so far and in all.
        cancel: ends it.

    Returns:
        The file. It has its name only when it is whole.

    Raises:
        CancelledError: it was asked for.
        LocalFileError: the file cannot be written.
    """
    slices = _Slices(taken, needs)
    with _written(folder, ".nrrd") as file:
        file.write(slices.nrrd_header())
        # No name and no time, which gzip would note otherwise.
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as compressed:
            for index in range(slices.shape[0]):
                cancel.check()
                compressed.write(slices.hu(index).astype("<i2").tobytes())
                progress(index + 1, slices.shape[0])
    return folder / "upload.nrrd"


@contextmanager
def _written(folder: Path, ending: str) -> Iterator[BinaryIO]:
    """A file that gets its name when it is whole, and is gone otherwise."""
    unfinished = folder / "upload.unfinished"
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(folder / f"upload{ending}")
    except OSError as error:
        raise LocalFileError(
            f"the study cannot be written to {folder}: {error}.", "Make room on this disk, and try again."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


class _Slices:
    """The slices of a snapshot as the server asks for them, and where they lie.

    Attributes:
        shape: slices, rows, columns of what is sent.
    """

    def __init__(self, taken: VolumeSnapshot, needs: StudyNeeds | None) -> None:
        self._voxels, self._geometry = taken.voxels, taken.geometry
        lowest, highest = packing.LOWEST_HU, packing.HIGHEST_HU
        self._range = (lowest, highest)
        if needs is not None:
            self._range = max(lowest, round(needs.hu_low)), min(highest, round(needs.hu_high))
        slices, rows, columns = self._geometry.shape
        _, row_mm, column_mm = self._geometry.spacing_mm
        pixels = None if needs is None else needs.pixels
        self._reduction = Reduction.of((rows, columns), (row_mm, column_mm), pixels)
        self.shape = (slices, *self._reduction.shape)

    def hu(self, index: int) -> NDArray[np.int16]:
        """One slice, rows and columns, from the feet; several threads may ask."""
        # In this order, as the server does it: cut, rounded, reduced.
        reduced = self._reduction.apply(_whole_hu(self._voxels[index]))
        return np.clip(reduced, *self._range).astype(np.int16)

    def header(self, form: str) -> bytes:
        """What stands before the slices of a packed study."""
        place = {
            "spacing_mm": list(self._spacing_mm()),
            "directions": [list(each) for each in self._geometry.directions],
            "origin_mm": self._origin().tolist(),
            "pixels_mm": self._pixels_mm(),
        }
        return packing.header(form, self.shape, place)

    def nrrd_header(self) -> bytes:
        """What stands before the slices of an NRRD file."""
        slices, rows, columns = self.shape
        steps = np.array(self._geometry.directions) * np.array(self._spacing_mm())[:, None]
        lines = [
            "NRRD0004",
            "type: int16",
            "dimension: 3",
            "space: left-posterior-superior",
            f"sizes: {columns} {rows} {slices}",
            "space directions: " + " ".join(_vector(step.tolist()) for step in steps[::-1]),
            "kinds: domain domain domain",
            "endian: little",
            "encoding: gzip",
            f"space origin: {_vector(self._origin().tolist())}",
        ]
        pixels_mm = self._pixels_mm()
        if pixels_mm is not None:
            lines.append(f"VPTCT_pixels_mm:={pixels_mm[0]!r} {pixels_mm[1]!r}")
        return ("\n".join(lines) + "\n\n").encode("ascii")

    def _spacing_mm(self) -> Vector:
        return (self._geometry.spacing_mm[0], *self._reduction.spacing_mm)

    def _origin(self) -> NDArray[np.float64]:
        # The middle stays where it was, for by the middle of a slice the server tells its z.
        half = np.array(self._spacing_mm()) * (np.array(self.shape) - 1) / 2
        return np.asarray(self._geometry.middle_lps() - half @ np.array(self._geometry.directions))

    def _pixels_mm(self) -> tuple[float, float] | None:
        """What pixels were before: by these the server sees whether it knows such studies; None as before."""
        if self._reduction.shape == self._geometry.shape[1:]:
            return None
        _, row_mm, column_mm = self._geometry.spacing_mm
        return float(row_mm), float(column_mm)


def _whole_hu(voxels: NDArray[Any]) -> NDArray[np.int16]:
    lowest, highest = packing.LOWEST_HU, packing.HIGHEST_HU
    if not np.issubdtype(voxels.dtype, np.integer):
        return np.asarray(np.rint(np.clip(voxels, lowest, highest)), dtype=np.int16)
    # An unsigned type does not hold the lowest, and one of 8 bits not the highest.
    held = np.iinfo(voxels.dtype)
    return np.asarray(np.clip(voxels, max(lowest, held.min), min(highest, held.max)), dtype=np.int16)


def _vector(values: Vector) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"
