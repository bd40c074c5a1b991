"""Studies that a model for chests must not answer in silence, made of one phantom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.reduced import ReducedStudy, reduce_volume
from vpt_plugin.ct.study_header import StudyHeader
from vpt_plugin.ct.suitability.lungs import Lungs, find_lungs
from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import PhantomConfig, make_phantom

CONFIG = PhantomConfig(pixels=112, slice_spacings_mm=(3.0,))


def chest(seed: int = 3, *, contrast: bool = True) -> Volume:
    """About 90 slices, 3 mm apart, from the neck into the abdomen."""
    return make_phantom(seed, config=CONFIG, nodule=False, contrast=contrast, emboli=False).volume


def reduced(volume: Volume) -> ReducedStudy:
    return reduce_volume(volume, pixels=112)


def lungs_of(volume: Volume) -> Lungs:
    return find_lungs(reduced(volume))


def with_header(volume: Volume, **said: str | float) -> Volume:
    header = StudyHeader(**said)  # type: ignore[arg-type]
    return replace(volume, provenance=replace(volume.provenance, header=header))


def with_hu(volume: Volume, hu: NDArray[np.generic]) -> Volume:
    """Other voxels in the same places, within what a volume holds."""
    return replace(volume, hu=np.clip(hu, -1024, 3071).astype(np.int16))


def slices(volume: Volume, first_mm: float, last_mm: float) -> Volume:
    """What lies between two heights, in mm above the lowest slice that shows a good deal of lung."""
    lungs = lungs_of(volume)
    foot = float(lungs.slice_z_mm[lungs.lung_slices[0]])
    height = volume.slice_z_mm - foot
    inside = np.flatnonzero((height >= first_mm) & (height <= last_mm))
    x, y, z = volume.origin_mm
    origin = (x, y, z + inside[0] * volume.spacing_mm[0])
    return replace(volume, hu=volume.hu[inside[0] : inside[-1] + 1], origin_mm=origin)


def abdomen(volume: Volume) -> Volume:
    """Below the lungs, as often as it takes to be 40 slices: liver, spine, gas in the stomach."""
    below = slices(volume, -200, -25).hu
    return with_hu(volume, np.concatenate([below, below[::-1]] * (1 + 20 // len(below)))[:40])


def without_lungs(volume: Volume) -> Volume:
    """Water where lung was."""
    inside = (volume.hu > -960) & (volume.hu < -500)
    return with_hu(volume, np.where(inside, 20, volume.hu))


def head(volume: Volume) -> Volume:
    """Skull, brain, and air cells of 20 ml on each side; 50 slices."""
    hu = np.full((50, 112, 112), -1000, dtype=np.int16)
    z, y, x = np.mgrid[-1:1:50j, -1:1:112j, -1:1:112j]
    radius = np.sqrt(z**2 + y**2 + x**2)
    hu[radius < 0.85] = 60  # scalp
    hu[radius < 0.8] = 1000
    hu[radius < 0.77] = 35
    for side in (-0.35, 0.35):
        hu[(z + 0.3) ** 2 + y**2 + (x - side) ** 2 < 0.13**2] = -850
    rng = np.random.default_rng(0)
    noisy = with_hu(volume, hu + rng.normal(0, 10, hu.shape))
    return replace(noisy, spacing_mm=(4.0, 2.0, 2.0))


def cropped(volume: Volume, side_mm: float) -> Volume:
    """The middle of every slice, as a reconstruction of the heart shows it."""
    pixel_mm = volume.spacing_mm[1]
    side = round(side_mm / pixel_mm)
    lungs = lungs_of(volume)
    rows = np.flatnonzero(lungs.mask.any(axis=(0, 2))).mean() * lungs.pixel_mm / pixel_mm
    top, left = round(rows - side / 2), (volume.hu.shape[2] - side) // 2
    return replace(volume, hu=volume.hu[:, top : top + side, left : left + side].copy())


def one_side(volume: Volume) -> Volume:
    """The columns of the patient's right half."""
    return replace(volume, hu=volume.hu[:, :, : volume.hu.shape[2] // 2].copy())


def coarse(volume: Volume) -> Volume:
    """Pixels of about 7 mm and every third slice."""
    hu = np.stack([cv2.resize(each, (48, 48), interpolation=cv2.INTER_AREA) for each in volume.hu[::3]])
    slice_mm, row_mm, column_mm = volume.spacing_mm
    spacing = (3 * slice_mm, row_mm * 112 / 48, column_mm * 112 / 48)
    return replace(volume, hu=hu, spacing_mm=spacing)


def picture(volume: Volume) -> Volume:
    """256 grey values from -1024 to 1000, put back onto the scale of Hounsfield units."""
    grey = np.rint((np.clip(volume.hu, -1024, 1000) + 1024.0) / 2024 * 255)
    return with_hu(volume, np.rint(grey / 255 * 2024 - 1024))


def shifted(by_hu: int) -> Callable[[Volume], Volume]:
    return lambda volume: with_hu(volume, volume.hu.astype(np.int32) + by_hu)


def upside_down(volume: Volume) -> Volume:
    """The slices the other way round, under the geometry that they had."""
    return with_hu(volume, volume.hu[::-1])
