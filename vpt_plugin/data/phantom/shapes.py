"""Soft-edged geometry in millimetres: where a voxel is, and how much of it a shape fills.

Everything is voxelised through ``coverage``: a depth below a surface in mm becomes the share of the voxel
that lies inside. That is partial volume, and it is why any pixel count shows the same anatomy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Points = NDArray[np.float64]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Pose:
    """From the reference man to this patient on this table.

    Attributes:
        scale: patient mm per reference mm along (x, y, z).
        roll_rad: turn about the patient's z axis.
        shift_mm: patient position (x, y, z) of the reference origin, which is the carina's level.
    """

    scale: tuple[float, float, float]
    roll_rad: float
    shift_mm: tuple[float, float, float]

    @property
    def size(self) -> float:
        """Mean scale; radii grow with it."""
        return float(np.mean(self.scale))

    def to_patient(self, points: Points) -> Points:
        """Reference points (n, 3) as x, y, z to patient mm."""
        x, y, z = (points * np.array(self.scale)).T
        cos, sin = np.cos(self.roll_rad), np.sin(self.roll_rad)
        turned = np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=1)
        return np.asarray(turned + np.array(self.shift_mm))

    def to_reference(self, points: Points) -> Points:
        """Patient points (n, 3) in mm to the reference man."""
        x, y, z = (points - np.array(self.shift_mm)).T
        cos, sin = np.cos(self.roll_rad), np.sin(self.roll_rad)
        turned = np.stack([cos * x + sin * y, cos * y - sin * x, z], axis=1)
        return np.asarray(turned / np.array(self.scale))


@dataclass(frozen=True)
class Grid:
    """Voxel centres in patient mm, ascending and even.

    Attributes:
        z_mm, y_mm, x_mm: (slices,), (rows,) and (columns,).
        spacing_mm: distance of voxel centres along (slices, rows, columns).
    """

    z_mm: Points
    y_mm: Points
    x_mm: Points
    spacing_mm: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        return len(self.z_mm), len(self.y_mm), len(self.x_mm)

    @property
    def edge_mm(self) -> float:
        """How wide a sharp edge becomes: the size of a voxel, root mean square over the axes."""
        return math.sqrt(sum(step * step for step in self.spacing_mm) / 3)

    def part(self, box: Box) -> Grid:
        """The voxels in a box of index ranges."""
        return Grid(self.z_mm[box[0]], self.y_mm[box[1]], self.x_mm[box[2]], self.spacing_mm)

    def boxes(self, low_mm: Points, high_mm: Points) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last-plus-one indices (n, 3) of the voxels between patient corners (n, 3) as x, y, z.

        One voxel of margin is added; the order of the indices is slices, rows, columns.
        """
        origin = np.array([axis[0] if len(axis) else 0.0 for axis in (self.z_mm, self.y_mm, self.x_mm)])
        first = np.floor((low_mm[:, ::-1] - origin) / self.spacing_mm) - 1
        stop = np.ceil((high_mm[:, ::-1] - origin) / self.spacing_mm) + 2
        return np.clip(first, 0, self.shape).astype(np.int64), np.clip(stop, 0, self.shape).astype(np.int64)

    def box(self, low_mm: Points, high_mm: Points) -> Box:
        """Index ranges of the voxels between two patient corners (x, y, z), one voxel of margin added."""
        first, stop = self.boxes(low_mm[None], high_mm[None])
        return _slices(first[0], stop[0])

    def box_around(self, pose: Pose, low: tuple[float, ...], high: tuple[float, ...]) -> Box:
        """Index ranges that hold a box of the reference man with corners ``low`` and ``high`` (x, y, z)."""
        corners = np.array(
            [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
        )
        patient = pose.to_patient(corners)
        return self.box(patient.min(axis=0), patient.max(axis=0))

    def reference_axes(self, pose: Pose, box: Box) -> tuple[Field, Field, Field]:
        """Reference x, y (1, rows, columns) and z (slices, 1, 1) of the voxels in a box."""
        z, y, x = (axis[part] for axis, part in zip((self.z_mm, self.y_mm, self.x_mm), box, strict=True))
        x, y, z = x - pose.shift_mm[0], y - pose.shift_mm[1], z - pose.shift_mm[2]
        cos, sin = np.cos(pose.roll_rad), np.sin(pose.roll_rad)
        across = (cos * x[None, None, :] + sin * y[None, :, None]) / pose.scale[0]
        back = (cos * y[None, :, None] - sin * x[None, None, :]) / pose.scale[1]
        up = z[:, None, None] / pose.scale[2]
        return across.astype(np.float32), back.astype(np.float32), up.astype(np.float32)


def _slices(first: NDArray[np.int64], stop: NDArray[np.int64]) -> Box:
    return slice(first[0], stop[0]), slice(first[1], stop[1]), slice(first[2], stop[2])


def coverage(depth_mm: Field, edge_mm: float) -> Field:
    """Share of a voxel inside a surface that lies ``depth_mm`` away (positive inside)."""
    share = depth_mm * np.float32(1 / edge_mm)
    share += np.float32(0.5)
    return np.asarray(np.clip(share, 0, 1, out=share), dtype=np.float32)


def smooth_min(first: Field, second: Field, blend_mm: float) -> Field:
    """The smaller of two depths, with the crease between them rounded over ``blend_mm``."""
    overlap = np.maximum(np.float32(blend_mm) - np.abs(first - second), 0)
    return np.asarray(
        np.minimum(first, second) - overlap * overlap * np.float32(0.25 / blend_mm), dtype=np.float32
    )


def paint(hu: Field, value: float | Field, share: Field) -> None:
    """Replace ``share`` of every voxel by ``value``, in place."""
    hu += share * (value - hu)


@dataclass(frozen=True)
class Tubes:
    """Tapering tubes with round ends, in mm.

    Attributes:
        start, end: (n, 3) as x, y, z.
        start_radius, end_radius: (n,).
    """

    start: Points
    end: Points
    start_radius: Points
    end_radius: Points

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Tubes:
        return Tubes(self.start[which], self.end[which], self.start_radius[which], self.end_radius[which])

    def to_patient(self, pose: Pose) -> Tubes:
        """The same tubes of the reference man in this patient."""
        return Tubes(
            pose.to_patient(self.start),
            pose.to_patient(self.end),
            self.start_radius * pose.size,
            self.end_radius * pose.size,
        )

    def widened(self, factor: float = 1.0, by_mm: float = 0.0) -> Tubes:
        """The same centrelines with radii times ``factor`` plus ``by_mm``."""
        return Tubes(
            self.start, self.end, self.start_radius * factor + by_mm, self.end_radius * factor + by_mm
        )

    def depth_mm(self, points: Points) -> Points:
        """Depth of points (m, 3) below the nearest tube's surface; negative outside. Shape (m,)."""
        depth = np.full(len(points), -np.inf)
        for start, end, r0, r1 in zip(self.start, self.end, self.start_radius, self.end_radius, strict=True):
            axis = end - start
            t = np.clip((points - start) @ axis / max(float(axis @ axis), 1e-9), 0, 1)
            distance = np.linalg.norm(points - start - t[:, None] * axis, axis=1)
            np.maximum(depth, r0 + (r1 - r0) * t - distance, out=depth)
        return depth


def chain(points: list[tuple[float, float, float]], radii: list[float]) -> Tubes:
    """Tubes along a line of points (x, y, z) with a radius at each."""
    at, radius = np.array(points, dtype=np.float64), np.array(radii, dtype=np.float64)
    return Tubes(at[:-1], at[1:], radius[:-1], radius[1:])


def joined(*tubes: Tubes) -> Tubes:
    """All tubes as one."""
    return Tubes(
        np.concatenate([t.start for t in tubes]),
        np.concatenate([t.end for t in tubes]),
        np.concatenate([t.start_radius for t in tubes]),
        np.concatenate([t.end_radius for t in tubes]),
    )


def tube_share(tubes: Tubes, grid: Grid) -> Field:
    """Share of every voxel of the grid that lies inside one of the tubes (patient mm).

    A tube thinner than a voxel is drawn a voxel wide and as much paler, as a scanner would.
    """
    share = np.zeros(grid.shape, dtype=np.float32)
    first, stop = grid.boxes(*_corners(tubes, grid))
    for i in np.flatnonzero((stop > first).all(axis=1)):
        box = _slices(first[i], stop[i])
        view = share[box]
        np.maximum(view, _one_tube(tubes, i, grid.part(box)), out=view)
    return share


def paint_tubes(hu: Field, grid: Grid, tubes: Tubes, value: float, *, within: Field | float = 1.0) -> None:
    """Paint tubes (patient mm) into a volume of the grid, in place; ``within`` is a share to keep to."""
    if not len(tubes):
        return
    box = tube_box(tubes, grid)
    view = hu[box]
    if view.size:
        share = tube_share(tubes, grid.part(box))
        share *= within if isinstance(within, float) else within[box]
        paint(view, value, share)


def tube_box(tubes: Tubes, grid: Grid) -> Box:
    """Index ranges of all the voxels that the tubes can touch."""
    low, high = _corners(tubes, grid)
    return grid.box(low.min(axis=0), high.max(axis=0))


def _corners(tubes: Tubes, grid: Grid) -> tuple[Points, Points]:
    """Patient corners (x, y, z) of the box that each tube can touch, (n, 3) each."""
    reach = np.maximum(np.maximum(tubes.start_radius, tubes.end_radius), grid.edge_mm / 2)[:, None]
    reach = reach + grid.edge_mm / 2
    return np.minimum(tubes.start, tubes.end) - reach, np.maximum(tubes.start, tubes.end) + reach


def _one_tube(tubes: Tubes, i: int, grid: Grid) -> Field:
    start, axis = tubes.start[i], tubes.end[i] - tubes.start[i]
    length_squared = max(float(axis @ axis), 1e-9)
    x = (grid.x_mm - start[0]).astype(np.float32)[None, None, :]
    y = (grid.y_mm - start[1]).astype(np.float32)[None, :, None]
    z = (grid.z_mm - start[2]).astype(np.float32)[:, None, None]
    along = (z * np.float32(axis[2]) + y * np.float32(axis[1]) + x * np.float32(axis[0])) * np.float32(
        1 / length_squared
    )
    t = np.clip(along, 0, 1)
    # |p - t a|^2 = |p|^2 - 2 t (p.a) + t^2 |a|^2
    squared = z * z + y * y + x * x + t * (t - 2 * along) * np.float32(length_squared)
    distance = np.sqrt(np.maximum(squared, 0))
    radius = np.float32(tubes.start_radius[i]) + t * np.float32(tubes.end_radius[i] - tubes.start_radius[i])
    drawn = np.maximum(radius, np.float32(grid.edge_mm / 2))
    return np.asarray(coverage(drawn - distance, grid.edge_mm) * np.square(radius / drawn), dtype=np.float32)
