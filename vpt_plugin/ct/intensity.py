"""From Hounsfield units to what a network sees: resize, HU window, crop."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.volume import MAX_HU, MIN_HU
from vpt_plugin.tasks import HUWindow


def window_hu(hu: NDArray[np.int16], window: HUWindow) -> NDArray[np.uint8]:
    """Hounsfield units to [0, 255]: the low end of the HU window is 0, the high end 255.

    A step is width / 255 HU (4 HU for `pe`, 6 HU for `nodule`), below the noise of a CT.
    """
    # A table look-up over all HU there can be; arithmetic on the voxels would need a float copy.
    levels = np.arange(MIN_HU, MAX_HU + 1, dtype=np.float64)
    table = np.clip((levels - window.low) / window.width, 0, 1) * 255
    return np.asarray(np.rint(table).astype(np.uint8)[hu.astype(np.int32) - MIN_HU])


def resize_slices(hu: NDArray[np.int16], pixels: int) -> NDArray[np.int16]:
    """Every slice as a square of ``pixels`` x ``pixels``: by area when it shrinks, linear when it grows.

    A slice that is not square is padded with air first, so that nothing is stretched.

    Args:
        hu: (slices, rows, columns).

    Returns:
        (slices, pixels, pixels) int16.
    """
    slices, rows, columns = hu.shape
    side = max(rows, columns)
    if rows != columns:
        top, left = (side - rows) // 2, (side - columns) // 2
        # Pad with air: 0 HU would look like water.
        hu = np.pad(
            hu,
            ((0, 0), (top, side - rows - top), (left, side - columns - left)),
            constant_values=-1000,
        )
    if side == pixels:
        return np.ascontiguousarray(hu)
    interpolation = cv2.INTER_AREA if side > pixels else cv2.INTER_LINEAR
    out = np.empty((slices, pixels, pixels), dtype=np.int16)
    for source, target in zip(hu, out, strict=True):
        cv2.resize(source, (pixels, pixels), dst=target, interpolation=interpolation)
    return out


def centre_crop(slices: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    """The middle ``pixels`` x ``pixels`` of every slice."""
    top = (slices.shape[1] - pixels) // 2
    left = (slices.shape[2] - pixels) // 2
    return slices[:, top : top + pixels, left : left + pixels]


def air(window: HUWindow) -> int:
    """What air (-1000 HU) becomes in this HU window, in [0, 255]."""
    return int(window_hu(np.array([[[-1000]]], dtype=np.int16), window)[0, 0, 0])
