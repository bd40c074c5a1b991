"""How training clips are varied: drawn first, with a generator that is passed in, then applied.

Clips are uint8 (slices, rows, columns), still with the margin that is cropped away. One draw holds for all
slices of a clip: a vessel that is turned or darkened on one slice alone would be no vessel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from vpt_plugin.ct.intensity import centre_crop
from vpt_plugin.data.autoaugment import change_values, draw_autoaugment, move, rotate
from vpt_plugin.data.clip_dataset import ClipShape

Clip = NDArray[np.uint8]
AUGMENTATIONS = ("paper", "light", "none")
_LARGEST_ANGLE_DEGREES = 20.0


@dataclass(frozen=True)
class Jitter:
    """How much the brightness of a training clip varies, as shares of the HU window; 0 is not at all."""

    gain: float = 0.1
    shift: float = 0.05


class Augmentation(Protocol):
    """Varies one clip."""

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        """Draw, then apply: (slices, pixels, pixels) to (slices, crop_px, crop_px), contiguous."""
        ...


@dataclass(frozen=True)
class CentreCrop:
    """No variation: the middle of every slice, as in validation."""

    crop_px: int

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        """As ``Augmentation``; draws nothing."""
        return np.ascontiguousarray(centre_crop(clip, self.crop_px))


@dataclass(frozen=True)
class LightAugmentation:
    """A random crop and another brightness: what a network can bear that learns from nothing."""

    crop_px: int
    jitter: Jitter

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        """As ``Augmentation``."""
        clip = crop(clip, draw_corner(rng, clip.shape[1], self.crop_px), self.crop_px)
        return change_brightness(clip, draw_brightness(rng, self.jitter))


@dataclass(frozen=True)
class PaperAugmentation:
    """AutoAugment's ImageNet policy, a rotation within 20 degrees to either side, a random crop.

    As Ke et al. (PMLR 227, 2023), but what moves pixels comes before what changes their values: it commutes
    with that, except that the corners which turn in are then still to be filled with air, whatever an
    inversion or a solarisation makes of it.

    Attributes:
        crop_px: side of the square.
        air: its value, in [0, 255].
    """

    crop_px: int
    air: int

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        """As ``Augmentation``."""
        operations = draw_autoaugment(rng)
        degrees = draw_angle(rng)
        corner = draw_corner(rng, clip.shape[1], self.crop_px)
        slices = torch.from_numpy(clip)[None]
        for operation in operations:
            if operation.geometric:
                slices = move(slices, operation, self.air)
        slices = rotate(slices, degrees, self.air)
        slices = torch.from_numpy(crop(slices[0].numpy(), corner, self.crop_px))[None]
        for operation in operations:
            if not operation.geometric:
                slices = change_values(slices, operation)
        return np.ascontiguousarray(slices[0].numpy())


def make_augmentation(name: str, shape: ClipShape, jitter: Jitter) -> Augmentation:
    """The augmentation of that name.

    Args:
        name: one of ``AUGMENTATIONS``.
        shape: of the clips.
        jitter: of the brightness, where the augmentation changes it.
    """
    augmentations: dict[str, Augmentation] = {
        "paper": PaperAugmentation(shape.crop_px, shape.air),
        "light": LightAugmentation(shape.crop_px, jitter),
        "none": CentreCrop(shape.crop_px),
    }
    return augmentations[name]


def draw_angle(rng: np.random.Generator) -> float:
    """By how many degrees the slices are turned."""
    return float(rng.uniform(-_LARGEST_ANGLE_DEGREES, _LARGEST_ANGLE_DEGREES))


def draw_corner(rng: np.random.Generator, pixels: int, crop_px: int) -> tuple[int, int]:
    """Where a square of ``crop_px`` begins within one of ``pixels``: (row, column)."""
    row, column = rng.integers(0, pixels - crop_px + 1, size=2)
    return int(row), int(column)


def crop(clip: Clip, corner: tuple[int, int], crop_px: int) -> Clip:
    """The square of ``crop_px`` that begins at ``corner``, of every slice; contiguous."""
    row, column = corner
    return np.ascontiguousarray(clip[:, row : row + crop_px, column : column + crop_px])


def draw_brightness(rng: np.random.Generator, jitter: Jitter) -> tuple[float, float]:
    """A gain around 1 and a shift around 0, in shares of the HU window."""
    return float(rng.uniform(1 - jitter.gain, 1 + jitter.gain)), float(
        rng.uniform(-jitter.shift, jitter.shift)
    )


def change_brightness(clip: Clip, brightness: tuple[float, float]) -> Clip:
    """The clip with contrast multiplied around the middle of the HU window, then shifted."""
    gain, shift = brightness
    # A table look-up: 256 values are computed instead of a million.
    levels = ((np.arange(256) / 255 - 0.5) * gain + 0.5 + shift) * 255
    return np.asarray(np.rint(levels.clip(0, 255)).astype(np.uint8)[clip])
