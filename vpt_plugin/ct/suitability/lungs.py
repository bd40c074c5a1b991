"""Where the lungs are in a study: found on slices made so coarse that it costs next to nothing.

Lung is air of -950 to -500 HU within a body. What else is that dark in a CT lies outside the body (it reaches
the edge of the image), is gas of the bowel and the airways (nearly -1000 HU), or is thin: the blurred rim of
a body. All slices are looked at in one image, one below the other, with an empty row between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.intensity import AIR_HU
from vpt_plugin.ct.reduced import ReducedStudy
from vpt_plugin.ct.suitability.body import TISSUE_HU, body_scale, outlines
from vpt_plugin.ct.volume import MIN_HU

# A slice of a grown-up is looked at in pixels of about this size, and slices about this far apart: lungs are
# large. These and what is measured in them shrink with the width of the body.
_PIXEL_MM = 5.0
_SLICES_APART_MM = 10.0
_FEWEST_PIXELS = 16
# Between lung and soft tissue. Noise is gone from pixels that large.
_AIR_BELOW_HU = -400
# Medians of a piece of air that is lung: outside the body and in the bowel it is nearly -1000 HU. A bulla
# comes near to that, so that large pieces within the body are judged less strictly.
_LUNG_HU = (-940, -450)
_BULLA_HU, _BULLA_MM2 = -975, 3000.0
# A table has foam that is as dark as lung, and lies outside the outline of the body.
_LEAST_INSIDE = 0.6
# Scanners fill what they did not measure with their lowest value, which is clamped to -1024.
NOTHING_MEASURED_HU = -1018
# It measures what is in a round field; where so much of that is as low, air was clamped.
_CLAMPED = 0.1
# What takes up so much of the edge of an image, and of its width, lies around the body, whatever its values.
# A lung may take up as much of the edge of a narrow round field, on one side.
_AROUND, _ACROSS = 0.4, 0.75
# Smaller pieces of air are airways, gas, and noise; of a rim next to nothing is left when its edge is taken.
_PIECE_MM2 = 300.0
_LEAST_THICK = 0.1
# A slice with less lung shows a tip of it.
_SLICE_MM2 = 2000.0
# Between the middles of the two lungs there is more than this.
_APART_MM = 60
_SQUARE = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Lungs:
    """What was found in the slices that were looked at.

    Attributes:
        hu: the slices, made coarse, (looked at, pixels, pixels).
        mask: where lung is, of the same shape.
        outside: where air around the body is, without what it touches.
        body: the convex outline of the body, filled.
        slice_z_mm: patient z of the slices that were looked at, ascending.
        pixel_mm: side of a pixel.
        slice_mm: from one slice that was looked at to the next.
        edge_mm: per slice, along how much of the edge of what was measured there is lung.
        pieces: per slice, how many pieces of lung lie well apart: 2 where both lungs are.
        scale: how wide the body is as a share of a grown-up's, at most 1.
    """

    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    body: NDArray[np.bool_]
    slice_z_mm: NDArray[np.float64]
    pixel_mm: float
    slice_mm: float
    edge_mm: NDArray[np.float64]
    pieces: NDArray[np.int64]
    scale: float

    @cached_property
    def area_mm2(self) -> NDArray[np.float64]:
        """Lung per slice that was looked at."""
        return np.asarray(self.mask.sum(axis=(1, 2)) * self.pixel_mm**2, dtype=np.float64)

    @cached_property
    def lung_slices(self) -> NDArray[np.int64]:
        """Indices of the slices that were looked at that show a good deal of lung."""
        return np.flatnonzero(self.area_mm2 > _SLICE_MM2 * self.scale**2)

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
    scale, spacing_mm = body_scale(study), study.facts.slice_spacing_mm
    step = max(1, round(scale * _SLICES_APART_MM / spacing_mm))
    looked_at = slice((study.slices - 1) % step // 2, None, step)
    hu, field, pixel_mm = _coarse(study, looked_at, scale)
    seen = _Slices.of(hu)
    body = outlines(seen.tissue)
    air = _Pieces.of(seen, body, pixel_mm, scale)
    # Where there is air around the body, there may be a table; where none is, the body fills the image.
    bounded = (hu[:, field] <= NOTHING_MEASURED_HU).mean(axis=1) > _CLAMPED
    bounded[air.of_slice[air.outside]] = True
    lung = air.candidates & (air.inside | ~bounded[air.of_slice])
    mask = lung[air.labels]
    return Lungs(
        hu=hu,
        mask=mask[:, :-1],
        outside=(air.outside[air.labels] & air.core)[:, :-1],
        body=body[:, :-1],
        slice_z_mm=study.slice_z_mm[looked_at],
        pixel_mm=pixel_mm,
        slice_mm=step * spacing_mm,
        edge_mm=(mask & seen.edge).sum(axis=(1, 2)) * pixel_mm,
        pieces=air.apart(lung, len(hu), _APART_MM * scale / pixel_mm),
        scale=scale,
    )


def _coarse(
    study: ReducedStudy, looked_at: slice, scale: float
) -> tuple[NDArray[np.int16], NDArray[np.bool_], float]:
    """The slices in pixels of about the size wanted, the round field in them, and the pixels' side in mm."""
    fine_mm = study.facts.field_of_view_mm / study.pixels
    times = max(1, min(round(scale * _PIXEL_MM / fine_mm), study.pixels // _FEWEST_PIXELS))
    pixels = study.pixels // times
    # Whole blocks only, which cv2 adds up fast; less than one is left out at either side.
    first = (study.pixels - pixels * times) // 2
    inner = slice(first, first + pixels * times)
    slices = study.hu[looked_at]
    hu = np.empty((len(slices), pixels, pixels), dtype=np.int16)
    for fine, coarse in zip(slices, hu, strict=True):
        whole = fine[inner, inner]
        # Halving is much the fastest.
        half = _halved(whole) if times % 2 == 0 else whole
        cv2.resize(half, (pixels, pixels), dst=coarse, interpolation=cv2.INTER_AREA)
    # Rows and columns that were added to make a square of the slices were not measured.
    added = hu == AIR_HU
    rows, columns = added.all(axis=(0, 2)), added.all(axis=(0, 1))
    hu[:, rows] = MIN_HU
    hu[:, :, columns] = MIN_HU
    return hu, _from_middle(~rows)[:, None] ** 2 + _from_middle(~columns) ** 2 < 1, fine_mm * times


def _halved(hu: NDArray[np.int16]) -> NDArray[np.int16]:
    side = len(hu) // 2
    return np.asarray(cv2.resize(hu, (side, side), interpolation=cv2.INTER_AREA))


def _from_middle(measured: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Where lines lie between the ends of those that were measured, from -1 to 1."""
    at = np.flatnonzero(measured)
    first, last = (at[0], at[-1]) if len(at) else (0, len(measured) - 1)
    return np.asarray((2 * np.arange(len(measured)) - first - last) / (last - first + 1))


@dataclass(frozen=True)
class _Slices:
    """What is where, (slices, rows + 1, columns): the row between the slices is nothing of all that."""

    air: NDArray[np.uint8]
    tissue: NDArray[np.uint8]
    edge: NDArray[np.bool_]
    hu: NDArray[np.int16]

    @classmethod
    def of(cls, hu: NDArray[np.int16]) -> _Slices:
        slices, rows, columns = hu.shape
        framed = np.zeros((slices, rows + 1, columns), dtype=np.int16)
        framed[:, :rows] = hu
        tall = (slices * (rows + 1), columns)
        nothing = (framed <= NOTHING_MEASURED_HU).view(np.uint8)
        nothing[:, rows] = 1
        # A single pixel is noise, or a bronchus.
        nothing = cv2.morphologyEx(nothing.reshape(tall), cv2.MORPH_OPEN, _SQUARE).reshape(framed.shape)
        nothing[:, rows] = 0
        # A pixel beside one that was not measured is a mixture of both.
        measured = cv2.dilate(nothing.reshape(tall), _SQUARE) ^ 1
        measured.reshape(framed.shape)[:, rows] = 0
        inner = cv2.erode(measured, _SQUARE, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        air = (framed < _AIR_BELOW_HU).view(np.uint8) & measured.reshape(framed.shape)
        tissue = (framed > TISSUE_HU).view(np.uint8)
        tissue[:, rows] = 0
        return cls(air, tissue, (measured & ~inner).reshape(framed.shape).astype(np.bool_), framed)


@dataclass(frozen=True)
class _Pieces:
    """Pieces of air by their number in ``labels``; 0 is what is no air."""

    labels: NDArray[np.int32]
    core: NDArray[np.bool_]
    of_slice: NDArray[np.int64]
    columns: NDArray[np.float64]
    inside: NDArray[np.bool_]
    candidates: NDArray[np.bool_]
    outside: NDArray[np.bool_]

    @classmethod
    def of(cls, seen: _Slices, body: NDArray[np.bool_], pixel_mm: float, scale: float) -> _Pieces:
        """Which lie within the body, which around it, and which could be lung by size and values."""
        tall = seen.air.reshape(-1, seen.air.shape[2])
        count, labels, stats, centres = cv2.connectedComponentsWithStats(tall, connectivity=4)
        core = cv2.erode(tall, _SQUARE).reshape(seen.air.shape).astype(np.bool_)
        labels = labels.reshape(seen.air.shape)
        areas = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
        of_slice = stats[:, cv2.CC_STAT_TOP].astype(np.int64) // seen.air.shape[1]
        thick = np.bincount(labels[core], minlength=count) >= _LEAST_THICK * areas
        large = (areas * pixel_mm**2 >= _PIECE_MM2 * scale**2) & thick
        large[0] = False
        at_edge = np.bincount(labels[seen.edge], minlength=count)
        inside = np.bincount(labels[body], minlength=count) >= _LEAST_INSIDE * areas
        wide = stats[:, cv2.CC_STAT_WIDTH] > _ACROSS * seen.edge.any(axis=(0, 1)).sum()
        around = wide & (at_edge > _AROUND * seen.edge.sum(axis=(1, 2))[of_slice])
        medians_hu = _medians(labels, large & ~around, seen.hu)
        bulla = (areas * pixel_mm**2 > _BULLA_MM2 * scale**2) & (at_edge == 0)
        dark = medians_hu < np.where(bulla, _BULLA_HU, _LUNG_HU[0])
        candidates = large & ~around & ~dark & (medians_hu <= _LUNG_HU[1])
        outside = large & ~candidates & ~inside & (at_edge > 0)
        return cls(labels, core, of_slice, centres[:, 0], inside, candidates, outside)

    def apart(self, lung: NDArray[np.bool_], slices: int, least_pixels: float) -> NDArray[np.int64]:
        """Per slice, 2 where pieces of lung lie so far apart, else 1 where there is any."""
        first, last = np.full(slices, np.inf), np.full(slices, -np.inf)
        np.minimum.at(first, self.of_slice[lung], self.columns[lung])
        np.maximum.at(last, self.of_slice[lung], self.columns[lung])
        return np.asarray(np.isfinite(first).astype(np.int64) + (last - first >= least_pixels))


def _medians(
    labels: NDArray[np.int32], wanted: NDArray[np.bool_], hu: NDArray[np.int16]
) -> NDArray[np.float64]:
    """Median HU of the pieces that are wanted, by one sort for all; 0 of the others."""
    of_wanted = wanted[labels]
    pieces = labels[of_wanted]
    levels = np.sort(pieces.astype(np.int64) << 12 | (hu[of_wanted].astype(np.int64) - MIN_HU))
    counts = np.bincount(pieces, minlength=len(wanted))
    medians = np.zeros(len(wanted))
    middles = (np.cumsum(counts) - counts + counts // 2)[wanted]
    medians[wanted] = (levels[middles] & 0xFFF) + MIN_HU
    return medians
