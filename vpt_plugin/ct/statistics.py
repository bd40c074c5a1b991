"""Plain figures of a study, and whether they lie within what a model was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.volume import MAX_HU, MIN_HU, Volume
from vpt_plugin.errors import ConfigurationError

LUNG_HU = (-950, -600)
# Contrast-filled vessels and bone.
BRIGHT_HU = 150
# Figures over voxels are taken from about this many pixels along a slice's side; more change nothing.
_SIDE_PIXELS = 128
# Different values are counted in about so many voxels: enough for all 4,096 that a CT has.
_LEVEL_VOXELS = 1 << 18
_LEAST_LEVEL_VOXELS = 1 << 14
# A range is widened by this share of its larger end before a study counts as outside.
_MARGIN = 0.05
# Where slices were reduced, noise has gone, and with it the voxels of air that noise took below ``MIN_HU``.
# The median lies between the peaks of air and tissue and then jumps by hundreds of HU.
_MARGIN_REDUCED = 0.2
_JUMPS_REDUCED = frozenset({"p50_hu"})
_OVER_VOXELS = frozenset({"mean_hu", "sd_hu", "p05_hu", "p50_hu", "p95_hu", "lung_share", "bright_share"})


@dataclass(frozen=True)
class StudyFacts:
    """Figures of one study. Those in HU leave out padding, which is clamped to ``MIN_HU``.

    Attributes:
        slices: number of slices.
        slice_spacing_mm: from one slice to the next.
        pixel_spacing_mm: from one voxel to the next within a slice, mean of rows and columns; where slices
            were reduced for an upload, before that.
        field_of_view_mm: larger side of a slice.
        length_mm: from the lower end of the first slice to the upper end of the last.
        mean_hu: mean.
        sd_hu: standard deviation.
        p05_hu: 5th percentile.
        p50_hu: median.
        p95_hu: 95th percentile.
        lung_share: share of voxels within ``LUNG_HU``.
        bright_share: share of voxels of at least ``BRIGHT_HU``.
    """

    slices: float
    slice_spacing_mm: float
    pixel_spacing_mm: float
    field_of_view_mm: float
    length_mm: float
    mean_hu: float
    sd_hu: float
    p05_hu: float
    p50_hu: float
    p95_hu: float
    lung_share: float
    bright_share: float

    def as_dict(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


# How a radiologist reads each figure: what it is, the format of its values, the unit.
_WORDS: MappingProxyType[str, tuple[str, str, str]] = MappingProxyType(
    {
        "slices": ("number of slices", ".0f", ""),
        "slice_spacing_mm": ("slice spacing", "", " mm"),
        "pixel_spacing_mm": ("pixel spacing", ".2f", " mm"),
        "field_of_view_mm": ("field of view", ".0f", " mm"),
        "length_mm": ("scan length", ".0f", " mm"),
        "mean_hu": ("mean attenuation", ".0f", " HU"),
        "sd_hu": ("spread of attenuation (standard deviation)", ".0f", " HU"),
        "p05_hu": ("attenuation of the darkest 5 % (air, lung)", ".0f", " HU"),
        "p50_hu": ("median attenuation", ".0f", " HU"),
        "p95_hu": ("attenuation of the brightest 5 % (bone, contrast)", ".0f", " HU"),
        "lung_share": ("share of lung in the images", ".1%", ""),
        "bright_share": ("share of bone and contrast in the images", ".1%", ""),
    }
)


def study_facts(volume: Volume) -> StudyFacts:
    """The figures of a canonical volume."""
    return facts_of(volume, np.stack([sample_slice(each) for each in volume.hu]))


def fact_in_words(name: str, value: float) -> str:
    """A figure of a study as a radiologist reads it: ``slice spacing 2.5 mm``."""
    what, form, unit = _WORDS[name]
    # Rounded first: 2.5000001 mm is 2.5 mm, but 1.25 mm stays 1.25 mm.
    return f"{what} {round(value, 4):{form}}{unit}"


def sample_slice(hu: NDArray[np.int16]) -> NDArray[np.int16]:
    """The pixels of one slice from which figures over voxels are taken; a view."""
    step = max(1, min(hu.shape) // _SIDE_PIXELS)
    return hu[::step, ::step]


def count_levels(sample: NDArray[np.int16]) -> int | None:
    """How many different values there are; None where the sample is too small to tell a picture by.

    Args:
        sample: of every slice what ``sample_slice`` takes.
    """
    step = max(1, math.ceil((sample.size / _LEVEL_VOXELS) ** (1 / 3)))
    few = sample[::step, ::step, ::step].ravel()
    if few.size < _LEAST_LEVEL_VOXELS:
        return None
    return int(np.count_nonzero(np.bincount(few.view(np.uint16))))


def facts_of(volume: Volume, sample: NDArray[np.int16]) -> StudyFacts:
    """The figures of a canonical volume, of which only the geometry is asked.

    Args:
        volume: the geometry, and where it came from.
        sample: of every slice what ``sample_slice`` takes.
    """
    levels = _Levels(sample)
    slice_mm, *in_plane_mm = volume.spacing_mm
    row_mm, column_mm = volume.provenance.reduced_from_mm or in_plane_mm
    return StudyFacts(
        slices=float(volume.slices),
        slice_spacing_mm=slice_mm,
        pixel_spacing_mm=(row_mm + column_mm) / 2,
        field_of_view_mm=max(volume.field_of_view_mm),
        length_mm=volume.slices * slice_mm,
        mean_hu=levels.mean,
        sd_hu=levels.standard_deviation,
        p05_hu=levels.percentile(5),
        p50_hu=levels.percentile(50),
        p95_hu=levels.percentile(95),
        lung_share=levels.share(*LUNG_HU),
        bright_share=levels.share(BRIGHT_HU, MAX_HU),
    )


class _Levels:
    """How often every HU but padding occurs; figures are exact, and sooner had than from the voxels.

    Of nothing but padding they are nan.
    """

    def __init__(self, sample: NDArray[np.int16]) -> None:
        bins = MAX_HU - MIN_HU + 1
        counts = np.zeros(bins, dtype=np.int64)
        # cv2 counts five times as fast as np.bincount, in float32: few enough at a time are exact.
        for few in np.array_split(sample.reshape(-1, sample.shape[-1]), 1 + (sample.size >> 22)):
            levels = (few - np.int16(MIN_HU)).view(np.uint16)
            counts += cv2.calcHist([levels], [0], None, [bins], [0, bins]).ravel().astype(np.int64)
        self._hu = np.arange(MIN_HU + 1, MAX_HU + 1, dtype=np.float64)
        self._counts = counts[1:]
        self._up_to = np.cumsum(self._counts)
        self._voxels = int(self._up_to[-1])

    @property
    def mean(self) -> float:
        if not self._voxels:
            return math.nan
        return float(self._counts @ self._hu) / self._voxels

    @property
    def standard_deviation(self) -> float:
        if not self._voxels:
            return math.nan
        return math.sqrt(float(self._counts @ (self._hu - self.mean) ** 2) / self._voxels)

    def percentile(self, percent: float) -> float:
        """As ``np.percentile``, linear between the two voxels next to it."""
        if not self._voxels:
            return math.nan
        place = percent / 100 * (self._voxels - 1)
        before = math.floor(place)
        low, high = (self._of_voxel(min(index, self._voxels - 1)) for index in (before, before + 1))
        return low + (high - low) * (place - before)

    def _of_voxel(self, index: int) -> float:
        """HU of a voxel, counted from the darkest."""
        return float(self._hu[np.searchsorted(self._up_to, index, side="right")])

    def share(self, low: int, high: int) -> float:
        """Share of voxels within [low, high] HU."""
        if not self._voxels:
            return math.nan
        inside = (self._hu >= low) & (self._hu <= high)
        return float(self._counts[inside].sum()) / self._voxels


def range_warnings(
    facts: StudyFacts, ranges: Mapping[str, tuple[float, float]], *, reduced: bool = False
) -> list[str]:
    """One sentence for every figure of a study that lies outside the range seen in training.

    Args:
        facts: the study's.
        ranges: lowest and highest value in training, by name of the figure.
        reduced: slices were reduced for an upload, which moves figures over voxels: those are judged less
            strictly.

    Raises:
        ConfigurationError: a range for a figure there is none of.
    """
    values = facts.as_dict()
    sentences = []
    for name, (low, high) in ranges.items():
        if name not in values:
            raise ConfigurationError(f"{name!r} is no study fact;", f"choose from {', '.join(values)}.")
        if reduced and name in _JUMPS_REDUCED:
            continue
        share = _MARGIN_REDUCED if reduced and name in _OVER_VOXELS else _MARGIN
        margin = share * max(abs(low), abs(high))
        if low - margin <= values[name] <= high + margin:
            continue
        _, form, unit = _WORDS[name]
        lowest, highest = (f"{round(number, 4):{form}}" for number in (low, high))
        seen = f"{lowest} to {highest}{unit}"
        told = fact_in_words(name, values[name])
        sentences.append(f"{told} is outside what this model was trained on ({seen})")
    return sentences
