"""From the positions of slices to one straight, evenly spaced stack, or the reason why there is none.

Only the geometry is asked: the direction in which the slices follow each other is taken from their
positions, never from InstanceNumber, SliceLocation or GantryDetectorTilt, which exports get wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.dicom_headers import SliceHeader
from vpt_plugin.errors import GeometryError, TooFewSlicesError

MIN_SLICES = 3
# A gap may differ from the spacing by this share, or by what rounding to 0.1 mm makes of it.
_GAP_TOLERANCE = 0.1
_ROUNDING_MM = 0.1
# Nearer than this, two slices are the same one.
_SAME_MM = 0.01
# A stack leans when its last slice lies more than this beside where a straight one would have it ...
_LEAN_MM = 1.0
# ... or when it is short and leans by more than this. Rounded positions stay below both.
_LEAN_DEGREES = 1.0


@dataclass(frozen=True)
class Stack:
    """Slices in the order of their positions, with the geometry of the whole.

    Attributes:
        slices: in the order of the array's first axis.
        spacing_mm: distance of neighbouring voxel centres along (slices, rows, columns).
        origin_mm: patient position (x, y, z) of the centre of voxel (0, 0, 0).
        direction: 3 x 3; column k is the unit vector (x, y, z) along array axis k.
    """

    slices: tuple[SliceHeader, ...]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: NDArray[np.float64]


def stack_slices(slices: Sequence[SliceHeader], study: str) -> Stack:
    """The slices of one series, all of one orientation and size, as a stack.

    Raises:
        TooFewSlicesError: fewer than ``MIN_SLICES``.
        GeometryError: doubled, missing or unevenly spaced slices, or a gantry tilt; says where.
    """
    if len(slices) < MIN_SLICES:
        raise TooFewSlicesError(
            study,
            f"the series has only {len(slices)} of the at least {MIN_SLICES} slices of a volume.",
            "Give the folder that holds the whole series.",
        )
    direction = _direction(slices[0], study)
    ordered = tuple(sorted(slices, key=lambda each: float(np.dot(each.position_mm, direction[:, 0]))))
    positions = np.array([each.position_mm for each in ordered])
    along = positions @ direction[:, 0]
    _refuse_uneven(along, ordered, direction[:, 0], study)
    _refuse_leaning(positions, direction, study)
    spacing = float(along[-1] - along[0]) / (len(ordered) - 1)
    rows_mm, columns_mm = ordered[0].pixel_spacing_mm
    x, y, z = ordered[0].position_mm
    return Stack(ordered, (spacing, rows_mm, columns_mm), (x, y, z), direction)


def _direction(header: SliceHeader, study: str) -> NDArray[np.float64]:
    """Unit vectors along slices, rows and columns, made exactly square from the rounded stored ones."""
    along_row, along_column = np.array(header.along_row), np.array(header.along_column)
    lengths = float(np.linalg.norm(along_row)), float(np.linalg.norm(along_column))
    if not np.allclose([*lengths, along_row @ along_column], [1, 1, 0], atol=1e-2):
        raise GeometryError(
            study,
            f"the orientation of {header.path.name} (ImageOrientationPatient) is no right angle.",
            "The header is damaged: export the series again.",
        )
    along_row = along_row / lengths[0]
    normal = np.cross(along_row, along_column)
    normal = normal / np.linalg.norm(normal)
    return np.stack([normal, np.cross(normal, along_row), along_row], axis=1)


def _refuse_uneven(
    along: NDArray[np.float64], ordered: Sequence[SliceHeader], normal: NDArray[np.float64], study: str
) -> None:
    gaps = np.diff(along)
    place = _Places(ordered, normal)
    if (doubled := np.flatnonzero(gaps < _SAME_MM)).size:
        first, second = ordered[doubled[0]].path.name, ordered[doubled[0] + 1].path.name
        raise GeometryError(
            study,
            f"{doubled.size} slice {'position is' if doubled.size == 1 else 'positions are'} there twice, "
            f"the first at {place.at(doubled[0])} ({first} and {second}).",
            "Two reconstructions or phases, or copies, lie in one series: leave one of each, "
            "or choose another series.",
        )
    spacing = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    wrong = np.abs(gaps - spacing) > max(_GAP_TOLERANCE * spacing, _ROUNDING_MM) + 1e-6
    steps = gaps[wrong] / spacing
    if wrong.any() and np.all((steps > 1.5) & (np.abs(steps - np.rint(steps)) < 0.25)):
        _refuse_missing(np.flatnonzero(wrong), np.rint(steps).astype(int) - 1, place, spacing, study)
    if wrong.any():
        raise GeometryError(
            study,
            f"the slices are unevenly spaced: {gaps.min():.2f} to {gaps.max():.2f} mm apart, "
            f"first at {place.at(np.flatnonzero(wrong)[0])}.",
            "Export one reconstruction with even spacing, or resample the study onto an even grid.",
        )
    drift_mm = float(np.abs(along - np.linspace(along[0], along[-1], len(along))).max())
    if drift_mm > spacing / 2:
        raise GeometryError(
            study,
            f"the slice spacing changes along the study: slices lie up to {drift_mm:.1f} mm beside an "
            "even grid.",
            "Export one reconstruction with even spacing, or resample the study onto an even grid.",
        )


def _refuse_missing(
    after: NDArray[np.intp], counts: NDArray[np.int_], place: _Places, spacing: float, study: str
) -> None:
    total = int(counts.sum())
    shown = [f"{count} after {place.at(index)}" for count, index in zip(counts, after, strict=True)]
    more = f" and {len(shown) - 3} more places" if len(shown) > 3 else ""
    raise GeometryError(
        study,
        f"{total} {'slice is' if total == 1 else 'slices are'} missing: {', '.join(shown[:3])}{more} "
        f"(slice spacing {spacing:.2f} mm).",
        "The transfer may have been cut short: export the series again.",
    )


def _refuse_leaning(positions: NDArray[np.float64], direction: NDArray[np.float64], study: str) -> None:
    sideways = (positions - positions[0]) @ direction[:, 1:]
    length_mm = float((positions[-1] - positions[0]) @ direction[:, 0])
    lean_mm = float(np.linalg.norm(sideways[-1]))
    degrees = math.degrees(math.atan2(lean_mm, length_mm))
    if lean_mm > _LEAN_MM or degrees > _LEAN_DEGREES:
        raise GeometryError(
            study,
            f"the gantry was tilted by {degrees:.1f} degrees, so the slices do not stand straight on each "
            "other.",
            "Correct the tilt first, for example with dcm2niix, and give the corrected file.",
        )
    if (jitter_mm := float(np.linalg.norm(sideways, axis=1).max())) > _LEAN_MM:
        raise GeometryError(
            study,
            f"slices are shifted sideways against each other by up to {jitter_mm:.1f} mm.",
            "Export one reconstruction with one centre, or resample the study onto a straight grid.",
        )


class _Places:
    """Says where a slice lies, by the patient axis along which the slices follow each other."""

    def __init__(self, ordered: Sequence[SliceHeader], normal: NDArray[np.float64]) -> None:
        self._ordered = ordered
        self._axis = int(np.argmax(np.abs(normal)))

    def at(self, index: int | np.intp) -> str:
        return f"{'xyz'[self._axis]} = {self._ordered[int(index)].position_mm[self._axis]:.1f} mm"
