"""From the cells of a network's maps back to the voxels of a study: the inverse of resize, padding and crop.

Along each axis three kinds of coordinates follow each other, all linear in one another: voxels of the study,
pixels that the network saw, cells of a map. Positions are counted so that the first voxel, pixel or cell lies
between 0 and 1 and its centre at 0.5; what is outside the crop, the network never saw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# Where a cell looks: ``points``, odd kernels with zeros around them, so that the first cell looks at the
# first pixel; ``tiles``, patches side by side, so that it looks at the middle of the first patch. A cell of
# the last stage stands for 32 pixels: taken for the other kind, its heat lies 15.5 pixels off.
Alignment = Literal["points", "tiles"]


@dataclass(frozen=True)
class SeenPart:
    """Which part of a study's slices a network saw.

    Attributes:
        shape: rows and columns of the study.
        pixel_mm: distance of neighbouring voxels along (rows, columns).
        resize_px, crop_px: of the network.
    """

    shape: tuple[int, int]
    pixel_mm: tuple[float, float]
    resize_px: int
    crop_px: int

    def pixels_of(self, axis: int) -> NDArray[np.float64]:
        """Where the centres of voxels lie in the crop, in its pixels; below 0 or above ``crop_px`` outside.

        Follows ``reduce_slice`` and ``centre_crop`` step by step: square pixels, a square slice, the
        network's size, the crop.

        Args:
            axis: 0 for rows, 1 for columns.

        Returns:
            (rows,) or (columns,).
        """
        finest_mm = min(self.pixel_mm)
        squared = [round(count * mm / finest_mm) for count, mm in zip(self.shape, self.pixel_mm, strict=True)]
        side = max(squared)
        centres = (np.arange(self.shape[axis]) + 0.5) * squared[axis] / self.shape[axis]
        padded = centres + (side - squared[axis]) // 2
        return np.asarray(padded * self.resize_px / side - (self.resize_px - self.crop_px) // 2)

    def sees(self, axis: int) -> NDArray[np.bool_]:
        """Which rows (axis 0) or columns (axis 1) have their centre within the crop."""
        pixels = self.pixels_of(axis)
        return np.asarray((pixels >= 0) & (pixels <= self.crop_px))


def step_of(pixels: int, cells: int) -> int:
    """How many pixels one cell stands for: networks halve, and round up what is left over.

    Raises:
        ValueError: no halving makes so many cells of so many pixels.
    """
    step = 1
    while -(-pixels // step) > cells:
        step *= 2
    if -(-pixels // step) != cells:
        raise ValueError(f"{cells} cells are no halving of {pixels} pixels")
    return step


def cell_positions(pixels: NDArray[np.float64], step: int, alignment: Alignment) -> NDArray[np.float64]:
    """Where positions in pixels lie among cells, so that 0 is the centre of the first cell."""
    return (pixels - first_centre(step, alignment)) / step


def first_centre(step: int, alignment: Alignment) -> float:
    """Where the first cell looks, in pixels."""
    return 0.5 if alignment == "points" else step / 2


def interpolation(positions: NDArray[np.float64], cells: int) -> NDArray[np.float32]:
    """Weights that take values of cells, linearly, to positions; beyond the outermost cells theirs hold.

    Args:
        positions: (positions,), as ``cell_positions`` gives them.
        cells: how many there are.

    Returns:
        (positions, cells); every row sums to 1.
    """
    inside = np.clip(positions, 0, cells - 1)
    low = np.minimum(np.floor(inside).astype(np.int64), max(0, cells - 2))
    share = inside - low
    weights = np.zeros((len(positions), cells), dtype=np.float32)
    every = np.arange(len(positions))
    weights[every, low] = 1 - share
    weights[every, np.minimum(low + 1, cells - 1)] += share
    return weights
