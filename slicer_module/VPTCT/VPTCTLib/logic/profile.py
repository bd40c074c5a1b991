"""Profile: all that is known of one finding along the patient's z axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..contract.result import ClipResult, FindingResult
from .curve import Curve, SliceAxis, curve_of, positive_ranges
from .draft import Range


@dataclass(frozen=True)
class Profile:
    """One finding of the study on screen.

    Attributes:
        axis: the slices of the volume.
        curve: the network's probability; None where it has not answered.
        clips: what it is made of.
        threshold: from which on a study is called present; None where there is none.
        key_slice_mm: where to look first; None without an answer.
        found: ranges (patient z, low and high) of the clips at or above the threshold.
        ranges: those that the reader marked.
        peaks: patient z of the hills of the curve.
    """

    axis: SliceAxis
    curve: Curve | None = None
    clips: tuple[ClipResult, ...] = ()
    threshold: float | None = None
    key_slice_mm: float | None = None
    found: tuple[Range, ...] = ()
    ranges: tuple[Range, ...] = ()
    peaks: tuple[float, ...] = ()


def profile_of(axis: SliceAxis, answer: FindingResult | None, ranges: Sequence[Range]) -> Profile:
    """Put together what the network and the reader say.

    Args:
        axis: of the volume.
        answer: the network's; None where there is none.
        ranges: that the reader marked.
    """
    marked = tuple((low, high) for low, high in ranges)
    if answer is None or not answer.clips:
        return Profile(axis, ranges=marked)
    curve = curve_of(answer.clips)
    found = () if answer.threshold is None else positive_ranges(answer.clips, answer.threshold)
    return Profile(
        axis=axis,
        curve=curve,
        clips=answer.clips,
        threshold=answer.threshold,
        key_slice_mm=answer.key_slice_mm,
        found=found,
        ranges=marked,
        peaks=curve.peaks(),
    )
