"""A study as every network of one size reads it: slices reduced to a square, still in Hounsfield units."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.dicom import FoundSeries, read_slices
from vpt_plugin.ct.hounsfield import can_be_hounsfield, count_air
from vpt_plugin.ct.intensity import reduce_slice, reduce_slices
from vpt_plugin.ct.reader import find_study, whole_volume
from vpt_plugin.ct.statistics import StudyFacts, count_levels, facts_of, sample_slice, study_facts
from vpt_plugin.ct.volume import Provenance, Volume, turn_of, turned


@dataclass(frozen=True)
class ReducedStudy:
    """A canonical volume without what the networks do not see: a quarter of its size, or less.

    ``window_hu`` of ``hu`` is what ``prepare_slices`` makes of the volume.

    Attributes:
        hu: int16 Hounsfield units, (slices, pixels, pixels), within [MIN_HU, MAX_HU].
        slice_z_mm: patient z of the centre of every slice, shape (slices,), ascending.
        facts: of the volume before it was reduced.
        study: the study's name, for messages.
        provenance: where the volume came from.
        levels: different values among its voxels before it was reduced, in a sample; None where that is not
            known.
    """

    hu: NDArray[np.int16]
    slice_z_mm: NDArray[np.float64]
    facts: StudyFacts
    study: str
    provenance: Provenance
    levels: int | None = None

    @property
    def slices(self) -> int:
        """Number of slices."""
        return int(self.hu.shape[0])

    @property
    def pixels(self) -> int:
        """Side of every slice in pixels."""
        return int(self.hu.shape[1])


def reduce_volume(volume: Volume, *, pixels: int) -> ReducedStudy:
    """A canonical volume, reduced.

    Args:
        volume: as ``read_study`` gives it.
        pixels: side of the slices after resizing.
    """
    return ReducedStudy(
        hu=reduce_slices(volume, pixels=pixels),
        slice_z_mm=volume.slice_z_mm,
        facts=study_facts(volume),
        study=volume.study,
        provenance=volume.provenance,
        levels=_levels(volume, np.stack([sample_slice(each) for each in volume.hu])),
    )


def read_reduced(
    path: Path, *, pixels: int, name: str | None = None, series_uid: str | None = None
) -> ReducedStudy:
    """Read a chest CT and reduce it: the same as ``read_study`` and ``reduce_volume``, with less memory.

    Of a DICOM series whose slices are those of the canonical volume, as nearly all are, every slice is
    reduced as soon as it is read, and the whole volume never exists.

    Args:
        path: as ``read_study`` takes it.
        pixels: side of the slices after resizing.
        name: the study's name in messages; the path's own name by default.
        series_uid: which DICOM series to read; by default ``choose_series`` decides.

    Raises:
        StudyError: as ``read_study``.
        OSError: the disk that an archive is unpacked to is full.
    """
    with find_study(path, name=name, series_uid=series_uid) as found:
        if isinstance(found, FoundSeries) and (reduced := _read_slice_by_slice(found, pixels)):
            return reduced
        volume = whole_volume(found)
    return reduce_volume(volume, pixels=pixels)


def _read_slice_by_slice(found: FoundSeries, pixels: int) -> ReducedStudy | None:
    """The series reduced; None where it has to be seen whole: turned, or refused for its values."""
    # The geometry of the volume, around voxels that take no memory.
    stored = found.volume(np.broadcast_to(np.int16(0), found.shape))
    turn = turn_of(stored)
    if not turn.keeps_slices:
        return None
    seen = turned(stored, turn)
    hu = np.empty((seen.slices, pixels, pixels), dtype=np.int16)
    sample = np.empty((seen.slices, *sample_slice(seen.hu[0]).shape), dtype=np.int16)
    air = np.zeros(seen.slices, dtype=np.int64)

    def take(index: int, slice_hu: NDArray[np.int16]) -> None:
        place = seen.slices - 1 - index if turn.flips[0] else index
        slice_hu = turn.of_slice(slice_hu)
        sample[place] = sample_slice(slice_hu)
        air[place] = count_air(slice_hu)
        reduce_slice(slice_hu, seen.spacing_mm[1:], hu[place])

    read_slices(found, take)
    if not can_be_hounsfield(int(air.sum()) / seen.hu.size):
        return None
    facts, levels = facts_of(seen, sample), _levels(seen, sample)
    return ReducedStudy(hu, seen.slice_z_mm, facts, seen.study, seen.provenance, levels)


def _levels(volume: Volume, sample: NDArray[np.int16]) -> int | None:
    """Where a client reduced the slices it made new values of old ones."""
    return None if volume.provenance.reduced_from_mm else count_levels(sample)
