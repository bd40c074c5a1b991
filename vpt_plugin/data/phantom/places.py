"""Where lesions lie in a scan, voxel by voxel: the truth that a map of evidence is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.data.phantom.shapes import Box, Field


@dataclass(frozen=True)
class LesionPlace:
    """The voxels of one lesion in a phantom's volume.

    Attributes:
        box: index ranges along (slices, rows, columns) of the volume.
        inside: bool, of the shape of the box; at least one voxel is inside.
    """

    box: Box
    inside: NDArray[np.bool_]

    @staticmethod
    def of(share: Field, box: Box) -> LesionPlace | None:
        """The place of a lesion that fills ``share`` of every voxel of a box; None where it fills nothing.

        Inside are voxels that hold at least half of what the fullest of its voxels holds: a clot thinner
        than a voxel fills none of them by half, and still lies somewhere.
        """
        most = float(share.max(initial=0))
        return LesionPlace(box, share >= most / 2) if most > 0 else None


def mask_of(places: Sequence[LesionPlace], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """All places as one bool volume of ``shape`` (slices, rows, columns)."""
    mask = np.zeros(shape, dtype=np.bool_)
    for place in places:
        mask[place.box] |= place.inside
    return mask
