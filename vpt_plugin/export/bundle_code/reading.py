"""From the voxels of a chest CT to the slices that the network sees."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from monai.transforms import MapTransform
from numpy.typing import NDArray

_AIR_HU = -1000


def studies_in(folder: str) -> list[dict[str, str]]:
    """The studies in a folder: NIfTI, NRRD or MHA files, and folders of DICOM files of one series each.

    Raises:
        FileNotFoundError: there is none.
    """
    paths = sorted(path for path in Path(folder).glob("*") if not path.name.startswith("."))
    if not paths:
        raise FileNotFoundError(f"{folder}: there are no studies; give their folder: --dataset_dir FOLDER")
    return [{"image": str(path), "study": path.name} for path in paths]


class PrepareSlicesd(MapTransform):  # type: ignore[misc]  # MONAI has no types
    """An image in LPS orientation and Hounsfield units as the slices that the network sees.

    Takes what ``LoadImaged`` and ``Orientationd`` (LPS) give, (1, columns, rows, slices), and gives uint8
    (1, slices, crop_px, crop_px), filled up with air to the length of one clip, and the number of slices that
    the study has itself under ``slices``.

    Args:
        keys: of the image.
        reading: the ``reading`` of the bundle's metadata.
    """

    def __init__(self, keys: str, reading: Mapping[str, Any]) -> None:
        super().__init__(keys)
        self.reading = reading

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The study with its slices prepared.

        Raises:
            ValueError: it is no single volume, too short, or holds what is no number.
        """
        out = dict(data)
        for key in self.key_iterator(out):
            image = out[key]
            slices = self._slices(np.asarray(image), np.asarray(image.affine), str(out.get("study", "")))
            missing = max(0, self.reading["clip_slices"] - len(slices))
            filled = np.pad(slices, ((0, missing), (0, 0), (0, 0)), constant_values=self.reading["air_level"])
            out[key], out["slices"] = filled[None], len(slices)
        return out

    def _slices(self, image: NDArray[Any], affine: NDArray[Any], study: str) -> NDArray[np.uint8]:
        least = self.reading["min_slices"]
        if image.ndim != 4 or image.shape[0] != 1 or image.shape[3] < least:
            raise ValueError(f"{study}: a volume of at least {least} slices is needed, not {image.shape}")
        if not np.isfinite(image).all():
            raise ValueError(f"{study}: it holds voxels that are no number")
        hu = np.clip(np.rint(image[0].T), self.reading["least_hu"], self.reading["most_hu"]).astype(np.int16)
        column_mm, row_mm = np.linalg.norm(affine[:3, :2], axis=0)
        seen = [reduce_slice(each, (row_mm, column_mm), self.reading["resize_px"]) for each in hu]
        return centre_crop(to_levels(np.stack(seen), self.reading), self.reading["crop_px"])


def reduce_slice(hu: NDArray[np.int16], pixel_mm: tuple[float, float], pixels: int) -> NDArray[np.int16]:
    """A slice as a square of ``pixels`` x ``pixels`` whose pixels are as wide as high.

    Args:
        hu: (rows, columns).
        pixel_mm: distance of neighbouring voxels along (rows, columns).
    """
    finest_mm = min(pixel_mm)
    rows, columns = (round(side * mm / finest_mm) for side, mm in zip(hu.shape, pixel_mm, strict=True))
    if (rows, columns) != hu.shape:
        hu = cv2.resize(hu, (columns, rows), interpolation=cv2.INTER_LINEAR)
    side = max(rows, columns)
    top, left = (side - rows) // 2, (side - columns) // 2
    square = np.full((side, side), _AIR_HU, dtype=np.int16)
    square[top : top + rows, left : left + columns] = hu
    if side == pixels:
        return square
    interpolation = cv2.INTER_AREA if side > pixels else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (pixels, pixels), interpolation=interpolation), dtype=np.int16)


def to_levels(hu: NDArray[np.int16], reading: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Hounsfield units to 0 to 255: the low end of the HU window is 0, the high end 255."""
    low, width = reading["low_hu"], reading["high_hu"] - reading["low_hu"]
    every_hu = np.arange(reading["least_hu"], reading["most_hu"] + 1, dtype=np.float64)
    levels = np.rint(np.clip((every_hu - low) / width, 0, 1) * 255).astype(np.uint8)
    return np.asarray(levels[hu.astype(np.int32) - reading["least_hu"]])


def centre_crop(slices: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    """The middle ``pixels`` x ``pixels`` of every slice."""
    top, left = ((side - pixels) // 2 for side in slices.shape[1:])
    return slices[:, top : top + pixels, left : left + pixels]
