"""Geometry of a volume as the server sees it: every slice has a number from the feet, and a patient z.

Slicer's patient coordinates are RAS+, the server's are DICOM's, LPS+; z is the same in both. The server swaps
and flips the axes of every volume so that slices grow with z, rows with y and columns with x, as closely as
possible, and tells a slice by the z of its centre. Here the same is done with the matrix of a volume alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

Vector = tuple[float, float, float]

# As exact as the server asks for, and files keep: a tilted gantry is far beyond.
_RIGHT_ANGLE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class StudyGeometry:
    """Slices, rows and columns of a volume in the server's order; without the transforms it is shown under.

    Attributes:
        shape: number of slices, rows, columns.
        spacing_mm: from one voxel centre to the next along slices, rows, columns.
        directions: unit vectors (x, y, z) in LPS+ along slices (to the head), rows (to the back) and columns
            (to the patient's left).
        origin_mm: LPS+ of the centre of the first voxel: lowest slice, first row, first column.
        axes: which axis of the voxel array (k, j, i), as numpy has it, slices, rows and columns are.
        flipped: whether each of them runs the other way there.
    """

    shape: tuple[int, int, int]
    spacing_mm: Vector
    directions: tuple[Vector, Vector, Vector]
    origin_mm: Vector
    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    @property
    def slices(self) -> int:
        """Number of slices."""
        return self.shape[0]

    @property
    def step_mm(self) -> float:
        """How much higher the centre of the next slice is; less than the spacing where slices are oblique."""
        return self.spacing_mm[0] * self.directions[0][2]

    @property
    def first_z_mm(self) -> float:
        """Patient z of the centre of the lowest slice."""
        return self._centre_lps(0)[2]

    @property
    def z_range_mm(self) -> tuple[float, float]:
        """Patient z of the centres of the lowest and the highest slice."""
        return self.first_z_mm, self.z_of(self.slices - 1)

    @property
    def at_right_angles(self) -> bool:
        """Whether its axes are; the server takes no others."""
        axes = np.array(self.directions)
        return bool(np.allclose(axes @ axes.T, np.eye(3), atol=_RIGHT_ANGLE_TOLERANCE))

    def slice_of(self, z_mm: float) -> int:
        """The slice, from the feet, whose centre is nearest to this z; the first or last one beyond them."""
        steps = (z_mm - self.first_z_mm) / self.step_mm
        # Not Python's round(): from the middle between two, the same neighbour is taken everywhere.
        return min(max(math.floor(steps + 0.5), 0), self.slices - 1)

    def z_of(self, index: int) -> float:
        """Patient z of the centre of a slice."""
        return self.first_z_mm + index * self.step_mm

    def centre_ras(self, z_mm: float) -> Vector:
        """The middle of the slice nearest to this z, in RAS+ and in the volume's own coordinates."""
        x, y, z = self._centre_lps(self.slice_of(z_mm))
        return -x, -y, z

    def middle_lps(self) -> Vector:
        """The middle of the volume, LPS+."""
        return self._centre_lps((self.slices - 1) / 2)

    def _centre_lps(self, index: float) -> Vector:
        _, rows, columns = self.shape
        place = np.array([index, (rows - 1) / 2, (columns - 1) / 2]) * self.spacing_mm
        x, y, z = (place @ np.array(self.directions) + self.origin_mm).tolist()
        return x, y, z


def geometry_of(volume: slicer.vtkMRMLVolumeNode) -> StudyGeometry:
    """The geometry of a volume node that has voxels, without the transforms it is shown under."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    columns, rows, slices = volume.GetImageData().GetDimensions()
    return geometry_of_matrix(slicer.util.arrayFromVTKMatrix(matrix), (slices, rows, columns))


def geometry_of_matrix(ijk_to_ras: NDArray[np.float64], shape: tuple[int, int, int]) -> StudyGeometry:
    """The geometry of an array (k, j, i) with its 4 x 4 matrix from (i, j, k, 1) to RAS+."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ ijk_to_ras
    steps = lps[:3, 2::-1].T  # one row for each of k, j, i
    spacing = np.linalg.norm(steps, axis=1)
    units = steps / spacing[:, None]
    axes = _best_axes(np.abs(units))
    units, spacing = units[list(axes)], spacing[list(axes)]
    counts = (shape[axes[0]], shape[axes[1]], shape[axes[2]])
    origin = lps[:3, 3]
    flipped = [False, False, False]
    for axis, world in enumerate((2, 1, 0)):
        if units[axis, world] < 0:
            origin = origin + units[axis] * spacing[axis] * (counts[axis] - 1)
            units[axis] = -units[axis]
            flipped[axis] = True
    along_slices, along_rows, along_columns = (_vector(unit) for unit in units)
    return StudyGeometry(
        shape=counts,
        spacing_mm=_vector(spacing),
        directions=(along_slices, along_rows, along_columns),
        origin_mm=_vector(origin),
        axes=axes,
        flipped=(flipped[0], flipped[1], flipped[2]),
    )


def _best_axes(alignment: NDArray[np.float64]) -> tuple[int, int, int]:
    """For slices, rows, columns: the axis of the array that runs most along z, y, x.

    Of a volume turned by 45 degrees two axes tie, so the best assignment of all three is taken rather than
    each one's best; and so does the server.
    """
    orders = list(permutations(range(3)))
    slices, rows, columns = max(
        orders, key=lambda o: alignment[o[0], 2] + alignment[o[1], 1] + alignment[o[2], 0]
    )
    return slices, rows, columns


def _vector(values: NDArray[np.float64]) -> Vector:
    x, y, z = values.tolist()
    return x, y, z
