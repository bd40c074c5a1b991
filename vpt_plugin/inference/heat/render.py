"""From evidence on a network's cells to heat on the voxels of a study."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.volume import Volume
from vpt_plugin.inference.heat.grid import SeenPart
from vpt_plugin.inference.heat.heat_map import STEPS, HeatMap
from vpt_plugin.inference.heat.merge import Cells, Evidence


def heat_map(volume: Volume, finding: str, evidence: Evidence, *, method: str, resize_px: int) -> HeatMap:
    """The heat map of one finding.

    Slice by slice, so that beside the map itself, a byte per voxel, there is little in memory.

    Args:
        volume: the study.
        finding: its name.
        evidence: what speaks for it.
        method: how it was made, in words.
        resize_px: of the network.
    """
    _, rows, columns = volume.hu.shape
    cells = evidence.cells()
    seen = SeenPart((rows, columns), volume.spacing_mm[1:], resize_px, cells.crop_px)
    spread = _Spread(cells, seen)
    values = np.zeros(volume.hu.shape, dtype=np.uint8)
    hottest = spread.hottest()
    if hottest is None or evidence.peak == 0:
        return HeatMap(finding, values, volume, method, None, None)
    scale = STEPS * evidence.peak / spread.slice(hottest[0])[hottest[1:]]
    for index, out in enumerate(values):
        if spread.may_glow(index):
            np.rint(spread.slice(index) * scale, out=out, casting="unsafe")
    if not values.any():
        # Too far below the threshold for a byte to tell: nobody is led to a place that does not glow.
        return HeatMap(finding, values, volume, method, None, None)
    place_mm = position_mm(volume, hottest)
    return HeatMap(finding, values, volume, method, float(volume.slice_z_mm[hottest[0]]), place_mm)


def position_mm(volume: Volume, voxel: tuple[int, int, int]) -> tuple[float, float, float]:
    """The patient position (x, y, z) of the centre of a voxel (slice, row, column)."""
    x, y, z = np.array(volume.origin_mm) + volume.direction @ (np.array(volume.spacing_mm) * voxel)
    return (float(x), float(y), float(z))


class _Spread:
    """Evidence spread over the voxels of slices, one at a time."""

    def __init__(self, cells: Cells, seen: SeenPart) -> None:
        self._values = cells.values
        self._rows, self._columns = (
            cells.weights(seen.pixels_of(axis)) * seen.sees(axis)[:, None] for axis in (0, 1)
        )

    def may_glow(self, index: int) -> bool:
        """Whether there is any evidence in a slice."""
        return bool(self._values[index].any())

    def slice(self, index: int) -> NDArray[np.float32]:
        """(rows, columns) of a slice; 0 where the network saw nothing."""
        return np.asarray(self._rows @ self._values[index] @ self._columns.T)

    def hottest(self) -> tuple[int, int, int] | None:
        """The voxel (slice, row, column) with most evidence; None where there is none.

        What lies between cells is never above them, so that most slices need not be looked at.
        """
        best, place = 0.0, None
        highest = self._values.max(axis=(1, 2))
        for index in np.argsort(-highest, kind="stable"):
            if highest[index] <= best:
                break
            voxels = self.slice(int(index))
            at = int(voxels.argmax())
            if voxels.flat[at] > best:
                row, column = divmod(at, voxels.shape[1])
                best, place = float(voxels.flat[at]), (int(index), row, column)
        return place
