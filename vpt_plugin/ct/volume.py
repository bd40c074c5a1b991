"""Volume: the voxels of a study in Hounsfield units, in one canonical orientation.

Patient coordinates are DICOM's, LPS+ in millimetres: x grows to the patient's left, y to the back,
z to the head. In the canonical orientation the slice index grows with z, the row index with y and the
column index with x, as closely as flipping and swapping axes allows; nothing is resampled.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.study_header import StudyHeader
from vpt_plugin.errors import GeometryError

# Scanners pad with -2048 or -3024 outside the field of view; below air there is nothing to see.
MIN_HU = -1024
MAX_HU = 3071
# 2,048 slices of 1024 x 1024. A header of a few bytes can ask for far more memory than there is.
MAX_VOXELS = 2**31
# What a file says whose slices a client reduced before it uploaded them: how large their pixels were.
REDUCED_MARK = "VPTCT_pixels_mm"
# What the file of a phantom says: Manufacturer in DICOM, the notes of the other formats.
PHANTOM_MARK = "VPTCT phantom"
Voxel = TypeVar("Voxel", bound=np.generic)


@dataclass(frozen=True)
class Provenance:
    """Where a volume came from and what the reader did, for people to read.

    Attributes:
        kind: ``dicom``, ``nifti``, ``nrrd``, ``mha``, ``phantom``, or ``packed`` for an upload.
        series_uid: SeriesInstanceUID, or "" where there is none.
        patient_id: PatientID, or "" where there is none.
        description: SeriesDescription, or "".
        notes: what the reader decided, one sentence each: which series it chose and why, what it left out.
        warnings: what makes its reading doubtful, one sentence each.
        synthetic: the file says that it is a phantom.
        reduced_from_mm: of slices that were reduced for an upload, what their pixels (rows, columns) were.
        header: what its DICOM header says of how it was taken; None where it has none.
    """

    kind: str
    series_uid: str = ""
    patient_id: str = ""
    description: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    synthetic: bool = False
    reduced_from_mm: tuple[float, float] | None = None
    header: StudyHeader | None = None


@dataclass(frozen=True)
class Volume:
    """A study's voxels with their geometry.

    Attributes:
        hu: int16 Hounsfield units, (slices, rows, columns), within [MIN_HU, MAX_HU].
        spacing_mm: distance of neighbouring voxel centres along (slices, rows, columns).
        origin_mm: patient position (x, y, z) of the centre of voxel (0, 0, 0).
        direction: 3 x 3; column k is the unit vector (x, y, z) along array axis k.
        study: the study's name, for messages.
        provenance: where it came from.
        turn: how the axes that it was stored with became these; None where it was never stored otherwise.
    """

    hu: NDArray[np.int16]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: NDArray[np.float64]
    study: str
    provenance: Provenance = field(default_factory=lambda: Provenance(kind="phantom"))
    turn: Turn | None = None

    @property
    def slices(self) -> int:
        """Number of slices."""
        return int(self.hu.shape[0])

    @property
    def slice_z_mm(self) -> NDArray[np.float64]:
        """Patient z of the centre of every slice, shape (slices,), ascending."""
        centre_index = np.array([0.0, (self.hu.shape[1] - 1) / 2, (self.hu.shape[2] - 1) / 2])
        first_z = self.origin_mm[2] + (self.direction[2] * np.array(self.spacing_mm)) @ centre_index
        step_z = self.direction[2, 0] * self.spacing_mm[0]
        return np.asarray(first_z + step_z * np.arange(self.slices), dtype=np.float64)

    @property
    def field_of_view_mm(self) -> tuple[float, float]:
        """Extent of a slice along (rows, columns)."""
        return self.hu.shape[1] * self.spacing_mm[1], self.hu.shape[2] * self.spacing_mm[2]


@dataclass(frozen=True)
class Turn:
    """How stored axes become canonical.

    Attributes:
        axes: the stored axes that become slices, rows, columns.
        flips: which of these are then reversed.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    @property
    def keeps_slices(self) -> bool:
        """Every stored slice is one of the canonical volume."""
        return self.axes[0] == 0

    def of_slice(self, hu: NDArray[np.int16]) -> NDArray[np.int16]:
        """A stored slice as the canonical volume has it, where slices are kept; a view."""
        if self.axes[1] == 2:
            hu = hu.T
        return hu[:: -1 if self.flips[1] else 1, :: -1 if self.flips[2] else 1]

    @property
    def back(self) -> Turn:
        """What undoes it."""
        back = (self.axes.index(0), self.axes.index(1), self.axes.index(2))
        return Turn(back, (self.flips[back[0]], self.flips[back[1]], self.flips[back[2]]))

    def of_voxels(self, voxels: NDArray[Voxel]) -> NDArray[Voxel]:
        """Voxels (any three axes) with their axes swapped and flipped; a view."""
        return np.flip(voxels.transpose(self.axes), [axis for axis, flip in enumerate(self.flips) if flip])


def canonical(volume: Volume) -> Volume:
    """The same voxels with their axes swapped and flipped into the canonical orientation.

    Raises:
        GeometryError: the direction is no rotation (sheared, mirrored to nothing, not finite).
    """
    turn = turn_of(volume)
    seen = turned(volume, turn)
    return replace(seen, hu=np.ascontiguousarray(seen.hu), turn=turn)


def as_stored(volume: Volume) -> Volume:
    """The volume with the axes that it was stored with; its voxels are a view."""
    return volume if volume.turn is None else replace(turned(volume, volume.turn.back), turn=None)


def turn_of(volume: Volume) -> Turn:
    """What makes a volume canonical.

    Raises:
        GeometryError: as ``canonical``.
    """
    direction = np.asarray(volume.direction, dtype=np.float64)
    if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-3):
        raise GeometryError(
            volume.study,
            "its axes are not at right angles (a gantry tilt, or a damaged header).",
            "Resample it onto a straight grid first, for example with dcm2niix or 3D Slicer.",
        )
    # For slices, rows, columns: the array axis that runs most along z, y, x. On a volume turned by 45
    # degrees two axes tie, so the best assignment of all three is taken rather than each one's best.
    axes = _best_axes(np.abs(direction))
    z, y, x = (bool(direction[world, axis] < 0) for world, axis in zip((2, 1, 0), axes, strict=True))
    return Turn(axes, (z, y, x))


def turned(volume: Volume, turn: Turn) -> Volume:
    """The volume with its axes swapped and flipped; its voxels are a view."""
    axes = turn.axes
    hu = turn.of_voxels(volume.hu)
    direction = np.asarray(volume.direction, dtype=np.float64)[:, axes]
    spacing = np.array(volume.spacing_mm)[list(axes)]
    origin = np.array(volume.origin_mm, dtype=np.float64)
    for axis, flip in enumerate(turn.flips):
        if flip:
            origin = origin + direction[:, axis] * spacing[axis] * (hu.shape[axis] - 1)
            direction[:, axis] = -direction[:, axis]
    return replace(
        volume,
        hu=hu,
        spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        origin_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction=direction,
    )


def _best_axes(alignment: NDArray[np.float64]) -> tuple[int, int, int]:
    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    return max(orders, key=lambda o: alignment[2, o[0]] + alignment[1, o[1]] + alignment[0, o[2]])
