"""From Hounsfield units to what a network sees: resize, HU window, crop."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.volume import Volume
from vpt_plugin.tasks import HUWindow


def window_hu(hu: NDArray[np.int16], window: HUWindow) -> NDArray[np.uint8]:
    """Hounsfield units to [0, 255]: the low end of the HU window is 0, the high end 255.

    A step is width / 255 HU (4 HU for `pe`, 6 HU for `nodule`), below the noise of a CT.
    """
    # A table look-up over all int16 there are, by their bits: arithmetic on the voxels, or an index that
    # starts at 0, would need a wider copy of them.
    levels = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.float64)
    table = np.clip((levels - window.low) / window.width, 0, 1) * 255
    return np.asarray(np.take(np.rint(table).astype(np.uint8), hu.view(np.uint16)))


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


def prepare_slices(volume: Volume, window: HUWindow, *, pixels: int) -> NDArray[np.uint8]:
    """Every slice as the networks take it, before the crop: resized, then in the HU window.

    Returns:
        (slices, pixels, pixels), 0 to 255.
    """
    return window_hu(reduce_slices(volume, pixels=pixels), window)


def reduce_slices(volume: Volume, *, pixels: int) -> NDArray[np.int16]:
    """Every slice as a square of ``pixels`` x ``pixels`` whose pixels are as wide as high, in HU.

    Returns:
        (slices, pixels, pixels) int16.
    """
    return resize_slices(_square_pixels(volume), pixels)


def _square_pixels(volume: Volume) -> NDArray[np.int16]:
    """Slices whose pixels are as wide as high; those turned from a coronal or sagittal series are not."""
    _, row_mm, column_mm = volume.spacing_mm
    finest_mm = min(row_mm, column_mm)
    rows = round(volume.hu.shape[1] * row_mm / finest_mm)
    columns = round(volume.hu.shape[2] * column_mm / finest_mm)
    if (rows, columns) == volume.hu.shape[1:]:
        return volume.hu
    return np.stack([cv2.resize(each, (columns, rows), interpolation=cv2.INTER_LINEAR) for each in volume.hu])


def centre_crop(slices: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    """The middle ``pixels`` x ``pixels`` of every slice."""
    top = (slices.shape[1] - pixels) // 2
    left = (slices.shape[2] - pixels) // 2
    return slices[:, top : top + pixels, left : left + pixels]


def air(window: HUWindow) -> int:
    """What air (-1000 HU) becomes in this HU window, in [0, 255]."""
    return int(window_hu(np.array([[[-1000]]], dtype=np.int16), window)[0, 0, 0])
