"""From the evidence of overlapping clips to that of the study: one grid of cells for every slice of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.inference.heat.grid import Alignment, cell_positions, interpolation, step_of


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


class Evidence:
    """What speaks for one finding in a study: the evidence of its clips, added up as it comes.

    A slice has the mean over the clips that see it. Every clip counts as much as it says the finding is
    there, so that one which speaks against it adds nothing, wherever in it the network looked.

    Attributes:
        peak: the highest weight of a clip.

    Args:
        slices: of the study.
        length: slices of a clip; a study shorter than a clip was filled up.
        alignment: where a cell looks.
        crop_px: side of the square that the network saw.
    """

    def __init__(self, slices: int, *, length: int, alignment: Alignment, crop_px: int) -> None:
        self.peak = 0.0
        self._length = length
        self._alignment: Alignment = alignment
        self._crop_px = crop_px
        self._seen = np.zeros(slices, dtype=np.float32)
        self._total: NDArray[np.float32] | None = None

    def add(self, start: int, pathways: Sequence[NDArray[np.float32]], weight: float) -> None:
        """Add a clip.

        Args:
            start: its first slice.
            pathways: the evidence of each, (slices, rows, columns) of cells; what is below 0, where a cell
                speaks against the finding, is left out.
            weight: how much the clip counts, 0 to 1.
        """
        self.peak = max(self.peak, weight)
        end = min(start + self._length, len(self._seen))
        self._seen[start:end] += 1
        clip = np.maximum(np.sum([self._per_slice(each) for each in pathways], axis=0), 0)
        if self._total is None:
            self._total = np.zeros((len(self._seen), *clip.shape[1:]), np.float32)
        self._total[start:end] += weight * clip[: end - start]

    def cells(self) -> Cells:
        """What was added, merged; the clips that were cover the study."""
        assert self._total is not None
        return Cells(self._total / self._seen[:, None, None], self._crop_px, self._alignment)

    def _per_slice(self, evidence: NDArray[np.float32]) -> NDArray[np.float32]:
        """The evidence of a pathway's cells, spread over the slices of the clip."""
        step = step_of(self._length, len(evidence))
        centres = np.arange(self._length) + 0.5
        weights = interpolation(cell_positions(centres, step, self._alignment), len(evidence))
        # A cell that stands for several slices shares what it says among them.
        return np.asarray(np.tensordot(weights, evidence / step, axes=1), dtype=np.float32)
