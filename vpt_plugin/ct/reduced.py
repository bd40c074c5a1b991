"""A study as every network of one size reads it: slices reduced to a square, still in Hounsfield units."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.intensity import reduce_slices
from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.statistics import StudyFacts, study_facts
from vpt_plugin.ct.volume import Provenance, Volume


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
    """

    hu: NDArray[np.int16]
    slice_z_mm: NDArray[np.float64]
    facts: StudyFacts
    study: str
    provenance: Provenance

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
    )


def read_reduced(
    path: Path, *, pixels: int, name: str | None = None, series_uid: str | None = None
) -> ReducedStudy:
    """Read a chest CT and reduce it: the same as ``read_study`` and ``reduce_volume``, with less memory.

    Args:
        path: as ``read_study`` takes it.
        pixels: side of the slices after resizing.
        name: the study's name in messages; the path's own name by default.
        series_uid: which DICOM series to read; by default ``choose_series`` decides.

    Raises:
        StudyError: as ``read_study``.
        OSError: the disk that an archive is unpacked to is full.
    """
    return reduce_volume(read_study(path, name=name, series_uid=series_uid), pixels=pixels)
