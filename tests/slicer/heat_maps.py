"""Heat maps as the server writes them, for tests: one hot ball over a volume of the scene."""

from __future__ import annotations

import gzip
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray


def heat_map_of(
    volume: Any, hottest_ijk: tuple[int, int, int], *, radius: float = 4.0, hottest: float = 1.0
) -> bytes:
    """A packed NIfTI file of bytes with a slope of 1/255, on the voxels of a volume.

    Args:
        volume: of the scene.
        hottest_ijk: where it is hottest; from there the heat falls to 0 over the radius, in voxels.
        hottest: the heat there.
    """
    import slicer

    matrix = slicer.util.arrayFromVTKMatrix(ijk_to_ras(volume))
    k, j, i = np.indices(slicer.util.arrayFromVolume(volume).shape)
    away = np.sqrt(sum((a - b) ** 2 for a, b in zip((i, j, k), hottest_ijk, strict=True)))
    return nifti((255 * hottest * np.clip(1 - away / radius, 0, 1)).astype(np.uint8), matrix)


def nifti(values: NDArray[np.uint8], ras: NDArray[np.float64], *, slope: float = 1 / 255) -> bytes:
    """A packed NIfTI file of these values (k, j, i) times a slope, where a matrix from (i, j, k, 1) says."""
    lps = np.diag([-1.0, -1, 1, 1]) @ ras
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "map.nii"
        SimpleITK.WriteImage(image, str(file))
        content = bytearray(file.read_bytes())
    struct.pack_into("<ff", content, 112, slope, 0.0)
    return gzip.compress(bytes(content))


def ijk_to_ras(volume: Any) -> Any:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix
