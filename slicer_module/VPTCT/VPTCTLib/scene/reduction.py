"""Reduction: slices made smaller exactly as the server makes them, so that it answers the same.

The server widens pixels that are no squares by linear interpolation, fills slices that are no squares up with
air, and makes them smaller by the mean over an area (OpenCV's INTER_LINEAR and INTER_AREA).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_AIR_HU = -1000


@dataclass(frozen=True)
class Taps:
    """How every new pixel along one side is made: which old ones, and how much of each; (new, old ones)."""

    sources: NDArray[np.intp]
    weights: NDArray[np.float32]

    def apply(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Along the first axis."""
        out: NDArray[np.float32] = self.weights[:, :1] * rows[self.sources[:, 0]]
        for tap in range(1, self.sources.shape[1]):
            out += self.weights[:, tap : tap + 1] * rows[self.sources[:, tap]]
        return out


@dataclass(frozen=True)
class Reduction:
    """From one size of slices to another.

    Attributes:
        shape: rows and columns afterwards.
        spacing_mm: along rows and columns afterwards.
        widen: makes pixels squares, along rows and along columns; None where they are.
        padding: rows above and below, columns left and right.
        shrink: along rows and columns.
    """

    shape: tuple[int, int]
    spacing_mm: tuple[float, float]
    widen: tuple[Taps, Taps] | None = None
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    shrink: Taps | None = None

    @classmethod
    def of(cls, shape: tuple[int, int], spacing_mm: tuple[float, float], pixels: int | None) -> Reduction:
        """To squares of so many pixels; none at all for None, and where slices are not larger.

        Args:
            shape: rows and columns.
            spacing_mm: along rows and columns.
            pixels: of a side.
        """
        finest_mm = min(spacing_mm)
        rows = round(shape[0] * spacing_mm[0] / finest_mm)
        columns = round(shape[1] * spacing_mm[1] / finest_mm)
        side = max(rows, columns)
        if pixels is None or side <= pixels:
            return cls(shape, spacing_mm)
        widen = None
        if (rows, columns) != shape:
            widen = linear_taps(shape[0], rows), linear_taps(shape[1], columns)
        above, left = (side - rows) // 2, (side - columns) // 2
        return cls(
            shape=(pixels, pixels),
            spacing_mm=(side * finest_mm / pixels, side * finest_mm / pixels),
            widen=widen,
            padding=((above, side - rows - above), (left, side - columns - left)),
            shrink=area_taps(side, pixels),
        )

    def apply(self, hu: NDArray[Any]) -> NDArray[Any]:
        """One slice of whole HU; so are those that come out, and between the steps, as the server has them.

        Args:
            hu: int16 of a CT's range, or any float.
        """
        if self.shrink is None:
            return hu
        if self.widen is not None:
            down, across = self.widen
            hu = np.rint(_both(hu, down, across))
        if self.padding != ((0, 0), (0, 0)):
            hu = np.pad(hu, self.padding, constant_values=_AIR_HU)
        if len(hu) == 2 * self.shape[0] and hu.dtype == np.int16:
            return _mean_of_four(hu)
        means = _both(hu, self.shrink, self.shrink)
        # OpenCV rounds halves to even numbers, but up where four voxels become one.
        return np.asarray(np.floor(means + 0.5) if len(hu) == 2 * self.shape[0] else np.rint(means))


def area_taps(old: int, new: int) -> Taps:
    """Every new pixel is the mean over the piece of the side that it covers; ``new`` is not above ``old``."""
    scale = old / new
    starts = np.arange(new) * scale
    sources = np.floor(starts).astype(np.intp)[:, None] + np.arange(int(np.ceil(scale)) + 1)
    low = np.maximum(sources, starts[:, None])
    high = np.minimum(sources + 1, (starts + scale)[:, None])
    weights = np.clip(high - low, 0, None)
    # OpenCV leaves slivers out, and so does one beyond the end.
    weights[weights < 1e-3] = 0
    return _normal(sources, weights, old)


def linear_taps(old: int, new: int) -> Taps:
    """Between the centres of the two nearest old pixels; beyond the outermost centres, as those are."""
    centres = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    below = np.floor(centres).astype(np.intp)
    share = centres - below
    return _normal(np.stack([below, below + 1], axis=1), np.stack([1 - share, share], axis=1), old)


def _normal(sources: NDArray[np.intp], weights: NDArray[np.float64], old: int) -> Taps:
    """With weights that add up to 1, and sources beyond the end, which weigh nothing, at the last pixel."""
    needed = weights.any(axis=0)
    sources, weights = sources[:, needed], weights[:, needed]
    total = weights.sum(axis=1, keepdims=True)
    return Taps(np.minimum(sources, old - 1), (weights / total).astype(np.float32))


def _both(hu: NDArray[Any], down: Taps, across: Taps) -> NDArray[np.float32]:
    # The transposed copy keeps both passes along whole rows.
    once = np.ascontiguousarray(across.apply(np.ascontiguousarray(hu.T)).T)
    return down.apply(once)


def _mean_of_four(hu: NDArray[np.int16]) -> NDArray[np.int16]:
    # The sum of four voxels of a CT has 14 bits.
    pairs = hu[::2] + hu[1::2]
    return np.asarray((pairs[:, ::2] + pairs[:, 1::2] + 2) >> 2)
