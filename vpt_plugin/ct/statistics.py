"""Plain figures of a study, and whether they lie within what a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

import numpy as np

from vpt_plugin.ct.volume import MIN_HU, Volume
from vpt_plugin.errors import ConfigurationError

LUNG_HU = (-950, -600)
# Contrast-filled vessels and bone.
BRIGHT_HU = 150
# Figures over voxels are taken from about this many pixels along a slice's side; more change nothing.
_SIDE_PIXELS = 128
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
    step = max(1, min(volume.hu.shape[1:]) // _SIDE_PIXELS)
    sample = volume.hu[:, ::step, ::step]
    hu = sample[sample > MIN_HU].astype(np.float64)
    p05, p50, p95 = (float(value) for value in np.percentile(hu, [5, 50, 95]))
    slice_mm, *in_plane_mm = volume.spacing_mm
    row_mm, column_mm = volume.provenance.reduced_from_mm or in_plane_mm
    low, high = LUNG_HU
    return StudyFacts(
        slices=float(volume.slices),
        slice_spacing_mm=slice_mm,
        pixel_spacing_mm=(row_mm + column_mm) / 2,
        field_of_view_mm=max(volume.field_of_view_mm),
        length_mm=volume.slices * slice_mm,
        mean_hu=float(hu.mean()),
        sd_hu=float(hu.std()),
        p05_hu=p05,
        p50_hu=p50,
        p95_hu=p95,
        lung_share=float(np.mean((hu >= low) & (hu <= high))),
        bright_share=float(np.mean(hu >= BRIGHT_HU)),
    )


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
        what, form, unit = _WORDS[name]
        # Rounded first: 2.5000001 mm is 2.5 mm, but 1.25 mm stays 1.25 mm.
        value, lowest, highest = (f"{round(number, 4):{form}}" for number in (values[name], low, high))
        seen = f"{lowest} to {highest}{unit}"
        sentences.append(f"{what} {value}{unit} is outside what this model was trained on ({seen})")
    return sentences
