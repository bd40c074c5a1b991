"""Export: a volume as a file for an upload, in the smallest form that the server answers as the study itself.

Nothing goes along but the voxels and where they lie: no name, no attribute, nothing of DICOM. First the main
thread takes a snapshot, which copies nothing; then a worker writes it, slice by slice.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Callable

import numpy as np
import slicer
from numpy.typing import NDArray

from ..contract.info import StudyNeeds
from ..errors import LocalFileError
from ..transport.cancel import Cancel
from .fingerprint import revision
from .geometry import StudyGeometry, Vector, geometry_of
from .reduction import Reduction

# What the server keeps of any CT before it does anything else.
_CT_HU = (-1024, 3071)
# Noise keeps CTs from becoming much smaller, however long one tries.
_GZIP_LEVEL = 1


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
    reduction = _reduction(taken.geometry, needs)
    unfinished = folder / "upload.unfinished"
    try:
        with unfinished.open("wb") as file:
            file.write(_header(taken.geometry, reduction))
            _write_voxels(file, taken.voxels, reduction, needs, progress, cancel)
        return unfinished.replace(folder / "upload.nrrd")
    except OSError as error:
        raise LocalFileError(
            f"the study cannot be written to {folder}: {error}.", "Make room on this disk, and try again."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _reduction(geometry: StudyGeometry, needs: StudyNeeds | None) -> Reduction:
    _, rows, columns = geometry.shape
    _, row_mm, column_mm = geometry.spacing_mm
    return Reduction.of((rows, columns), (row_mm, column_mm), None if needs is None else needs.pixels)


def _write_voxels(
    file: BinaryIO,
    voxels: NDArray[Any],
    reduction: Reduction,
    needs: StudyNeeds | None,
    progress: Callable[[int, int], object],
    cancel: Cancel,
) -> None:
    low, high = _CT_HU if needs is None else (needs.hu_low, needs.hu_high)
    # No name and no time, which gzip would note otherwise.
    with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
        for number, each in enumerate(voxels):
            cancel.check()
            # In this order, as the server does it: cut, rounded, reduced.
            hu = np.rint(np.clip(each, *_CT_HU)).astype(np.float32)
            reduced = np.clip(reduction.apply(hu), low, high)
            packed.write(np.rint(reduced).astype("<i2").tobytes())
            progress(number + 1, len(voxels))


def _header(geometry: StudyGeometry, reduction: Reduction) -> bytes:
    rows, columns = reduction.shape
    shape = (geometry.slices, rows, columns)
    spacing = (geometry.spacing_mm[0], *reduction.spacing_mm)
    directions = np.array(geometry.directions)
    # The middle stays where it was, for by the middle of a slice the server tells its z.
    middle = geometry.middle_lps()
    origin = middle - (np.array(spacing) * (np.array(shape) - 1) / 2) @ directions
    steps = directions * np.array(spacing)[:, None]
    lines = [
        "NRRD0004",
        "type: int16",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {columns} {rows} {geometry.slices}",
        "space directions: " + " ".join(_vector(step.tolist()) for step in steps[::-1]),
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(origin.tolist())}",
    ]
    if reduction.shape != geometry.shape[1:]:
        # By the pixels as they were the server sees whether it knows such studies.
        row_mm, column_mm = geometry.spacing_mm[1:]
        lines.append(f"VPTCT_pixels_mm:={float(row_mm)!r} {float(column_mm)!r}")
    return ("\n".join(lines) + "\n\n").encode("ascii")


def _vector(values: Vector) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"
