"""Slice views: which plane of a volume one shows, and how it is turned and fitted to it.

A volume is shown where the transforms that it is under put it; directions and points here are the world's,
RAS+. Of a transform that is not linear the middle of the volume counts.
"""

from __future__ import annotations

import numpy as np
import slicer
from numpy.typing import NDArray

from .geometry import StudyGeometry, Vector, geometry_of
from .nodes import nodes_of_class

# As Slicer calls them; of an oblique volume they mean its own planes.
AXIAL, CORONAL, SAGITTAL = "Axial", "Coronal", "Sagittal"
# In the order of a geometry's directions: the plane that each one is the normal of.
_PLANES = (AXIAL, CORONAL, SAGITTAL)
_USUAL = {"Red": AXIAL, "Green": CORONAL, "Yellow": SAGITTAL}
# A plane that comes nearer than this to holding the line of the slices' centres shows no one slice.
_LEAST_COSINE = 0.1
_SAME_DIRECTION = 1e-6
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


def slice_views(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLSliceNode]:
    """All slice views, the red one first: where several are axial, it is the one that counts."""
    views = nodes_of_class(scene, "vtkMRMLSliceNode")
    return sorted(views, key=lambda view: view.GetLayoutName() != "Red")


def meant_plane(view: slicer.vtkMRMLSliceNode) -> str | None:
    """The plane that a view is there for: as it stands, else as it began; None where nothing tells."""
    names = (view.GetOrientation(), view.GetDefaultOrientation(), _USUAL.get(view.GetLayoutName()))
    return next((name for name in names if name in _PLANES), None)


class ShownVolume:
    """A volume at the place where it is shown now; made anew for every use.

    Attributes:
        geometry: its own, without transforms.
    """

    def __init__(self, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
        self._volume = volume
        self.geometry: StudyGeometry = geometry_of(volume)
        self._axes = self._shown_axes()

    def centre(self, z_mm: float) -> Vector:
        """The middle of the slice nearest to this z, where it is shown."""
        return self._world(np.array(self.geometry.centre_ras(z_mm)))

    def plane_of(self, view: slicer.vtkMRMLSliceNode) -> str:
        """``AXIAL`` for a view that is nearer to showing slices than to the volume's other planes."""
        return _PLANES[int(np.argmax(np.abs(self._axes @ _matrix(view)[:3, 2])))]

    def slice_in(self, view: slicer.vtkMRMLSliceNode) -> int | None:
        """The slice that a view cuts in its middle; None beside the volume, or where it cuts all of them."""
        to_ras = _matrix(view)
        normal, place = to_ras[:3, 2], to_ras[:3, 3]
        low, high = (np.array(self.centre(z)) for z in self.geometry.z_range_mm)
        line = (high - low) / max(1, self.geometry.slices - 1)
        along = float(normal @ line)
        if abs(along) < _LEAST_COSINE * float(np.linalg.norm(line)) or along == 0:
            return None
        index = int(np.floor(float(normal @ (place - low)) / along + 0.5))
        return index if 0 <= index < self.geometry.slices else None

    def turn(self, view: slicer.vtkMRMLSliceNode, plane_name: str) -> None:
        """Turn a view to a plane of the volume, around the middle of the slice that it shows."""
        index = self.slice_in(view)
        plane = self._plane(plane_name)
        if np.allclose(plane, _matrix(view)[:3, :3], atol=_SAME_DIRECTION):
            return
        middle = self.geometry.z_of(self.geometry.slices // 2 if index is None else index)
        _place(view, plane, np.array(self.centre(middle)))

    def fit(self, view: slicer.vtkMRMLSliceNode) -> None:
        """Let a view show the volume's plane whole, at the depth where it stands; beside it, in the middle.

        The face of a volume would be half a slice beside its last one, which is no slice to read or to mark.
        """
        to_ras = _matrix(view)
        inside = (self._corners() - to_ras[:3, 3]) @ to_ras[:3, :3]
        low, high = inside.min(axis=0), inside.max(axis=0)
        middle, size = (low + high) / 2, high - low
        depth = 0.0 if low[2] < 0 < high[2] else float(middle[2])
        centre = to_ras[:3, 3] + to_ras[:3, :3] @ np.array([middle[0], middle[1], depth])
        width_px, height_px, _ = view.GetDimensions()
        mm_per_px = max(float(size[0]) / max(1, width_px), float(size[1]) / max(1, height_px))
        view.SetSliceOrigin(0, 0, 0)
        view.SetFieldOfView(
            mm_per_px * max(1, width_px), mm_per_px * max(1, height_px), view.GetFieldOfView()[2]
        )
        _place(view, to_ras[:3, :3], centre)

    def _plane(self, plane: str) -> NDArray[np.float64]:
        """Columns: right, up and normal of a view, as in Slicer's own Axial, Coronal and Sagittal."""
        slices, rows, columns = self._axes
        right_up_normal = {
            AXIAL: (columns, -rows, slices),
            CORONAL: (columns, slices, -rows),
            SAGITTAL: (rows, slices, columns),
        }
        return np.array(right_up_normal[plane]).T

    def _shown_axes(self) -> NDArray[np.float64]:
        """Unit vectors normal to slices, along rows and columns, at right angles under any transform."""
        low, high = (np.array(self.geometry.centre_ras(z)) for z in self.geometry.z_range_mm)
        middle = (low + high) / 2
        start = np.array(self._world(middle))
        slices, rows, columns = (
            np.array(self._world(middle + np.array(each) * _LPS_TO_RAS)) - start
            for each in self.geometry.directions
        )
        columns = columns / np.linalg.norm(columns)
        normal = np.cross(columns, rows)
        normal *= np.sign(normal @ slices) / np.linalg.norm(normal)
        rows_at_right_angles = np.cross(normal, columns)
        rows_at_right_angles *= np.sign(rows_at_right_angles @ rows)
        return np.array([normal, rows_at_right_angles, columns])

    def _corners(self) -> NDArray[np.float64]:
        """The outer corners of the volume, (8, 3)."""
        geometry = self.geometry
        steps = np.array(geometry.directions) * np.array(geometry.spacing_mm)[:, None]
        ends = [(-0.5, count - 0.5) for count in geometry.shape]
        lps = [
            np.array(geometry.origin_mm) + np.array([a, b, c]) @ steps
            for a in ends[0]
            for b in ends[1]
            for c in ends[2]
        ]
        return np.array([self._world(point * _LPS_TO_RAS) for point in lps])

    def _world(self, ras: NDArray[np.float64]) -> Vector:
        shown = [0.0, 0.0, 0.0]
        self._volume.TransformPointToWorld(ras.tolist(), shown)
        return shown[0], shown[1], shown[2]


def _matrix(view: slicer.vtkMRMLSliceNode) -> NDArray[np.float64]:
    matrix: NDArray[np.float64] = slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())
    return matrix


def _place(
    view: slicer.vtkMRMLSliceNode, directions: NDArray[np.float64], through: NDArray[np.float64]
) -> None:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = directions, through
    slicer.util.updateVTKMatrixFromArray(view.GetSliceToRAS(), matrix)
    view.UpdateMatrices()
