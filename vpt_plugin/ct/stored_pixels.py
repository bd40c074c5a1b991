"""How one DICOM file stores its pixels, as far as its header tells."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vpt_plugin.ct.plain_dicom import PixelPlace
from vpt_plugin.ct.plain_values import PlainElements

# What is asked of a header besides what tells that it is of a slice.
PIXEL_ELEMENTS = frozenset(
    {
        "BitsAllocated", "BitsStored", "HighBit", "PhotometricInterpretation", "PixelPaddingValue",
        "PixelRepresentation", "RescaleIntercept", "RescaleSlope", "SamplesPerPixel",
    }
)  # fmt: skip
# What decoders ask for besides.
_REQUIRED = ("SamplesPerPixel", "PhotometricInterpretation")


@dataclass(frozen=True)
class PixelFormat:
    """What the 16 bits of a pixel mean.

    Attributes:
        bits: how many of them are used.
        high_bit: the highest that is used, where the pixels are not compressed.
        signed: whether the highest used bit is a sign.
        slope: RescaleSlope, HU per stored unit.
        intercept: RescaleIntercept, HU of a stored 0.
        padding: PixelPaddingValue as 16 bits, or None.
    """

    bits: int
    high_bit: int
    signed: bool
    slope: float
    intercept: float
    padding: int | None


@dataclass(frozen=True)
class StoredPixels:
    """Where the pixels of one slice lie, and what they mean."""

    place: PixelPlace
    format: PixelFormat


def pixel_format(elements: PlainElements) -> PixelFormat | None:
    """What the pixels of a slice mean; None where that is out of the ordinary or cannot be."""
    if not all(keyword in elements for keyword in _REQUIRED) or elements.get("BitsAllocated") != 16:
        return None
    numbers = [elements.get(name) for name in ("BitsStored", "HighBit", "PixelRepresentation")]
    if not all(isinstance(number, int) for number in numbers):
        return None
    bits, high_bit, representation = numbers
    slope, intercept = elements.get("RescaleSlope"), elements.get("RescaleIntercept")
    slope, intercept = 1.0 if slope is None else slope, 0.0 if intercept is None else intercept
    if not (isinstance(slope, float) and isinstance(intercept, float)):
        return None  # several numbers, or none
    padding = elements.stored("PixelPaddingValue")
    if padding is not None and (padding[1] not in ("", "US", "SS") or len(padding[2]) != 2):
        return None
    possible = 0 < bits <= high_bit + 1 <= 16
    if not (possible and math.isfinite(slope) and math.isfinite(intercept) and slope != 0):
        return None
    return PixelFormat(
        bits=bits,
        high_bit=high_bit,
        signed=bool(representation),
        slope=float(slope),
        intercept=float(intercept),
        padding=None if padding is None else int.from_bytes(padding[2], "little"),
    )
