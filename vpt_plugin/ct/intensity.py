"""From Hounsfield units to what a network sees: resize, HU window, crop."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.volume import Volume
from vpt_plugin.tasks import HUWindow

# What slices are padded with: 0 HU would look like water.
AIR_HU = -1000
_EVERY_HU = np.arange(65536, dtype=np.uint16).view(np.int16)


def window_hu(hu: NDArray[np.int16], window: HUWindow) -> NDArray[np.uint8]:
    """Hounsfield units to [0, 255]: the low end of the HU window is 0, the high end 255.

    A step is width / 255 HU (4 HU for `pe`, 6 HU for `nodule`), below the noise of a CT.
    """
    if _float_is_exact(window):
        return _window_by_float(hu, window)
    return np.asarray(np.take(_window_table(window), hu.view(np.uint16)))


def _window_table(window: HUWindow) -> NDArray[np.uint8]:
    """The level of every int16 there is, by its bits."""
    share = np.clip((_EVERY_HU.astype(np.float64) - window.low) / window.width, 0, 1)
    return np.asarray(np.rint(share * 255).astype(np.uint8))


def _window_by_float(hu: NDArray[np.int16], window: HUWindow) -> NDArray[np.uint8]:
    """Three times as fast as the table, in float32."""
    out = np.empty(hu.shape, dtype=np.uint8)
    scale = 255 / window.width
    flat = hu.reshape(-1, hu.shape[-1])
    cv2.addWeighted(flat, scale, flat, 0, -window.low * scale, dst=out.reshape(flat.shape), dtype=cv2.CV_8U)
    return out


@lru_cache(maxsize=64)
def _float_is_exact(window: HUWindow) -> bool:
    """Whether float32 gives the level of the table for every HU there is; it may round halves otherwise."""
    return np.array_equal(_window_by_float(_EVERY_HU[None], window)[0], _window_table(window))


def resize_slices(hu: NDArray[np.int16], pixels: int) -> NDArray[np.int16]:
    """Every slice as a square of ``pixels`` x ``pixels``: by area when it shrinks, linear when it grows.

    A slice that is not square is padded with air first, so that nothing is stretched.

    Args:
        hu: (slices, rows, columns).

    Returns:
        (slices, pixels, pixels) int16.
    """
    out = np.empty((len(hu), pixels, pixels), dtype=np.int16)
    for source, target in zip(hu, out, strict=True):
        _resize(source, target)
    return out


def _resize(hu: NDArray[np.int16], out: NDArray[np.int16]) -> None:
    rows, columns = hu.shape
    side, pixels = max(rows, columns), len(out)
    if rows != columns:
        top, left = (side - rows) // 2, (side - columns) // 2
        # Pad with air: 0 HU would look like water.
        hu = np.pad(hu, ((top, side - rows - top), (left, side - columns - left)), constant_values=AIR_HU)
    if side == pixels:
        out[...] = hu
        return
    interpolation = cv2.INTER_AREA if side > pixels else cv2.INTER_LINEAR
    cv2.resize(hu, (pixels, pixels), dst=out, interpolation=interpolation)


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
    out = np.empty((volume.slices, pixels, pixels), dtype=np.int16)
    for source, target in zip(volume.hu, out, strict=True):
        reduce_slice(source, volume.spacing_mm[1:], target)
    return out


def reduce_slice(hu: NDArray[np.int16], pixel_mm: tuple[float, float], out: NDArray[np.int16]) -> None:
    """One slice as ``reduce_slices`` makes it.

    Args:
        hu: (rows, columns).
        pixel_mm: distance of neighbouring voxels along (rows, columns).
        out: (pixels, pixels), is written.
    """
    _resize(_square_pixels(hu, pixel_mm), out)


def _square_pixels(hu: NDArray[np.int16], pixel_mm: tuple[float, float]) -> NDArray[np.int16]:
    """A slice whose pixels are as wide as high; one turned from a coronal or sagittal series has others."""
    row_mm, column_mm = pixel_mm
    finest_mm = min(row_mm, column_mm)
    rows = round(hu.shape[0] * row_mm / finest_mm)
    columns = round(hu.shape[1] * column_mm / finest_mm)
    if (rows, columns) == hu.shape:
        return np.ascontiguousarray(hu)
    return np.asarray(cv2.resize(hu, (columns, rows), interpolation=cv2.INTER_LINEAR))


def centre_crop(slices: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    """The middle ``pixels`` x ``pixels`` of every slice."""
    top = (slices.shape[1] - pixels) // 2
    left = (slices.shape[2] - pixels) // 2
    return slices[:, top : top + pixels, left : left + pixels]


def air(window: HUWindow) -> int:
    """What air (-1000 HU) becomes in this HU window, in [0, 255]."""
    return int(window_hu(np.array([[[AIR_HU]]], dtype=np.int16), window)[0, 0, 0])
