"""From the evidence of overlapping clips to that of the study: one grid of cells for every slice of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.inference.heat.grid import Alignment, cell_positions, first_centre, interpolation, step_of


@dataclass(frozen=True)
class Cells:
    """Evidence within the square that the network saw, for every slice of a study.

    Attributes:
        values: float32 (slices, rows, columns) of cells, 0 and more.
        crop_px: side of the square.
        alignment: where a cell looks.
    """

    values: NDArray[np.float32]
    crop_px: int
    alignment: Alignment

    def weights(self, pixels: NDArray[np.float64]) -> NDArray[np.float32]:
        """What takes the values along rows or columns to positions in pixels: (positions, cells)."""
        cells = self.values.shape[1]
        positions = cell_positions(pixels, step_of(self.crop_px, cells), self.alignment)
        return interpolation(positions, cells)

    def centres(self) -> NDArray[np.float64]:
        """Where the cells look along rows or columns, in pixels."""
        cells = self.values.shape[1]
        step = step_of(self.crop_px, cells)
        return np.asarray(np.arange(cells) * step + first_centre(step, self.alignment))

    def at(self, pixels: NDArray[np.float64]) -> NDArray[np.float32]:
        """The values at a grid of positions: (slices, positions, positions)."""
        weights = self.weights(pixels)
        return np.asarray(weights @ self.values @ weights.T)


class Merging:
    """Adds up the evidence of clips, each weighed, and takes the mean over the clips that see a slice.

    Args:
        slices: of the study.
        length: slices of a clip; a study shorter than a clip was filled up.
        alignment: where a cell looks.
    """

    def __init__(self, slices: int, *, length: int, alignment: Alignment) -> None:
        self._length = length
        self._alignment: Alignment = alignment
        self._seen = np.zeros(slices, dtype=np.float32)
        self._total = np.zeros((slices, 1, 1), dtype=np.float32)

    def add(self, start: int, maps: Sequence[NDArray[np.float32]], weight: float) -> None:
        """Add a clip.

        Args:
            start: its first slice.
            maps: evidence (slices, rows, columns) of cells, one per pathway; what is below 0 is left out.
            weight: 0 leaves the clip's evidence out, but not the clip.
        """
        end = min(start + self._length, len(self._seen))
        self._seen[start:end] += 1
        clip = np.maximum(np.sum([self._per_slice(each) for each in maps], axis=0), 0)
        if self._total.shape[1:] != clip.shape[1:]:
            self._total = np.zeros((len(self._seen), *clip.shape[1:]), dtype=np.float32)
        self._total[start:end] += weight * clip[: end - start]

    def cells(self, crop_px: int) -> Cells:
        """What was added, merged; at least one clip was, and all of them cover the study."""
        return Cells(self._total / self._seen[:, None, None], crop_px, self._alignment)

    def _per_slice(self, evidence: NDArray[np.float32]) -> NDArray[np.float32]:
        """The evidence of a pathway's cells, spread over the slices of the clip."""
        step = step_of(self._length, len(evidence))
        centres = np.arange(self._length) + 0.5
        weights = interpolation(cell_positions(centres, step, self._alignment), len(evidence))
        # A cell that stands for several slices shares what it says among them.
        return np.asarray(np.tensordot(weights, evidence / step, axes=1), dtype=np.float32)
