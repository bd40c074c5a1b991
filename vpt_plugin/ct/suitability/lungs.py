"""Where the lungs are in a study: found on slices made so coarse that it costs next to nothing.

Lung is air of -950 to -500 HU within a body. What else is that dark in a CT lies outside the body (it reaches
the edge of the image) or is gas of the bowel and the airways (nearly -1000 HU).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.intensity import AIR_HU
from vpt_plugin.ct.reduced import ReducedStudy
from vpt_plugin.ct.volume import MIN_HU

# A slice is looked at in pixels of about this size, and slices about this far apart: lungs are large.
_PIXEL_MM = 5.0
_MOST_PIXELS = 96
_SLICES_APART_MM = 7.0
# Between lung and soft tissue. Noise is gone from pixels that large.
_AIR_BELOW_HU = -400
# Medians of a piece of air that is lung: outside the body and in the bowel it is nearly -1000 HU. A bulla
# comes near to that, so that large pieces within the body are judged less strictly.
_LUNG_HU = (-940, -450)
_BULLA_HU, _BULLA_MM2 = -975, 3000.0
# A table has foam that is as dark as lung, and lies outside the outline of the body.
_TISSUE_HU = -300
_LEAST_INSIDE = 0.6
# Scanners fill what they did not measure with their lowest value, which is clamped to -1024.
_NOTHING_MEASURED_HU = -1018
# What takes up so much of the edge of an image lies around the body, whatever its values.
_AROUND = 0.4
# Smaller pieces of air are airways, gas, and noise.
_PIECE_MM2 = 300.0
# A slice with less lung shows a tip of it.
_SLICE_MM2 = 2000.0
# Between the middles of the two lungs there is more than this.
_APART_MM = 60


@dataclass(frozen=True)
class Lungs:
    """What was found in the slices that were looked at.

    Attributes:
        hu: the slices, made coarse, (looked at, pixels, pixels).
        mask: where lung is, of the same shape.
        outside: where air around the body is.
        slice_z_mm: patient z of the slices that were looked at, ascending.
        pixel_mm: side of a pixel.
        slice_mm: from one slice that was looked at to the next.
        edge_mm: per slice, along how much of the edge of what was measured there is lung.
        pieces: per slice, how many pieces of lung lie well apart: 2 where both lungs are.
    """

    hu: NDArray[np.float32]
    mask: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    slice_z_mm: NDArray[np.float64]
    pixel_mm: float
    slice_mm: float
    edge_mm: NDArray[np.float64]
    pieces: NDArray[np.int64]

    @property
    def area_mm2(self) -> NDArray[np.float64]:
        """Lung per slice that was looked at."""
        return np.asarray(self.mask.sum(axis=(1, 2)) * self.pixel_mm**2, dtype=np.float64)

    @property
    def lung_slices(self) -> NDArray[np.int64]:
        """Indices of the slices that were looked at that show a good deal of lung."""
        return np.flatnonzero(self.area_mm2 > _SLICE_MM2)

    @property
    def length_mm(self) -> float:
        """From the lowest to the highest slice that shows a good deal of lung."""
        slices = self.lung_slices
        return float(slices[-1] - slices[0] + 1) * self.slice_mm if len(slices) else 0.0

    @property
    def millilitres(self) -> float:
        """Volume of the lungs."""
        return float(self.area_mm2.sum()) * self.slice_mm / 1000


def find_lungs(study: ReducedStudy) -> Lungs:
    """The lungs of a study."""
    step = max(1, round(_SLICES_APART_MM / study.facts.slice_spacing_mm))
    looked_at = slice((study.slices - 1) % step // 2, None, step)
    pixels = max(16, min(_MOST_PIXELS, study.pixels, round(study.facts.field_of_view_mm / _PIXEL_MM)))
    pixel_mm = study.facts.field_of_view_mm / pixels
    slices = study.hu[looked_at]
    hu = np.stack([cv2.resize(each, (pixels, pixels), interpolation=cv2.INTER_AREA) for each in slices])
    _mark_padding(hu)
    found = [_look_at(each, pixel_mm) for each in hu]
    return Lungs(
        hu=hu.astype(np.float32),
        mask=np.stack([each.lung for each in found]),
        outside=np.stack([each.outside for each in found]),
        slice_z_mm=study.slice_z_mm[looked_at],
        pixel_mm=pixel_mm,
        slice_mm=step * study.facts.slice_spacing_mm,
        edge_mm=np.array([each.edge_pixels for each in found]) * pixel_mm,
        pieces=np.array([each.pieces for each in found]),
    )


def _mark_padding(hu: NDArray[np.int16]) -> None:
    """Rows and columns that were added to make a square of the slices were not measured; in place."""
    added = hu == AIR_HU
    hu[:, added.all(axis=(0, 2))] = MIN_HU
    hu[:, :, added.all(axis=(0, 1))] = MIN_HU


@dataclass(frozen=True)
class _Seen:
    """What was found in one slice: lung, air outside the body, lung at the edge in pixels, pieces of lung."""

    lung: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    edge_pixels: int
    pieces: int


def _look_at(hu: NDArray[np.int16], pixel_mm: float) -> _Seen:
    measured = hu > _NOTHING_MEASURED_HU
    air = ((hu < _AIR_BELOW_HU) & measured).astype(np.uint8)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(air, connectivity=4)
    areas_mm2 = stats[:, cv2.CC_STAT_AREA] * pixel_mm**2
    edge = _edge(measured)
    lung, outside = np.zeros_like(edge), np.zeros_like(edge)
    candidates = []
    for piece in (each for each in range(1, count) if areas_mm2[each] >= _PIECE_MM2):
        inside = labels == piece
        at_edge = int(edge[inside].sum())
        around = at_edge > _AROUND * edge.sum()
        low = _BULLA_HU if areas_mm2[piece] > _BULLA_MM2 and not at_edge else _LUNG_HU[0]
        if not around and low <= np.median(hu[inside]) <= _LUNG_HU[1]:
            candidates.append((piece, inside))
        elif at_edge:
            outside |= inside
    # Where air is around the body, there may be a table; where none is, the body fills the image.
    body = _outline(hu) if outside.any() else np.ones_like(edge)
    places: list[float] = []
    for piece, inside in candidates:
        if body[inside].mean() >= _LEAST_INSIDE:
            lung |= inside
            places.append(float(centres[piece, 0]) * pixel_mm)
    apart = bool(places) and max(places) - min(places) >= _APART_MM
    return _Seen(lung, outside, int((lung & edge).sum()), 2 if apart else len(places[:1]))


def _outline(hu: NDArray[np.int16]) -> NDArray[np.bool_]:
    """The convex outline of the largest piece of tissue, filled; thin things, like a table, are left out."""
    tissue = cv2.morphologyEx((hu > _TISSUE_HU).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(tissue, connectivity=4)
    outline = np.zeros(hu.shape, dtype=np.uint8)
    if count > 1:
        inside = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        rows = np.flatnonzero(inside.any(axis=1))
        # The ends of its rows have the same outline as all of its pixels, and are few.
        first = inside[rows].argmax(axis=1)
        last = hu.shape[1] - 1 - inside[rows, ::-1].argmax(axis=1)
        ends = np.concatenate([np.stack([first, rows], axis=1), np.stack([last, rows], axis=1)])
        cv2.fillConvexPoly(outline, cv2.convexHull(ends.astype(np.int32)), 1)
    return outline.astype(np.bool_)


def _edge(measured: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The outermost pixels of what was measured: at the frame, or beside what the scanner filled."""
    framed = np.pad(measured.astype(np.uint8), 1)
    inner = cv2.erode(framed, np.ones((3, 3), np.uint8))[1:-1, 1:-1].astype(np.bool_)
    return np.asarray(measured & ~inner)
