"""Curve: the probability along the patient's z axis, from clips that overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..contract.result import ClipResult

# Where a volume or a study has one slice, nothing tells how thick it is.
_ONE_SLICE_MM = 1.0
# A hill that rises less than this above the valleys beside it is not worth a look of its own.
LEAST_RISE = 0.02
# The server's: what is nearer is the same probability.
_SAME = 1e-9


@dataclass(frozen=True)
class SliceAxis:
    """The slices of a study along patient z (LPS+), from the feet to the head.

    Attributes:
        first_z_mm: of the centre of the lowest slice.
        step_mm: from one centre to the next, more than 0.
        slices: how many.
    """

    first_z_mm: float
    step_mm: float
    slices: int

    @property
    def low_mm(self) -> float:
        """The lower face of the lowest slice."""
        return self.first_z_mm - self.step_mm / 2

    @property
    def high_mm(self) -> float:
        """The upper face of the highest slice."""
        return self.z_of(self.slices - 1) + self.step_mm / 2

    def z_of(self, index: float) -> float:
        """The centre of a slice."""
        return self.first_z_mm + index * self.step_mm

    def slice_of(self, z_mm: float) -> int:
        """The slice whose centre is nearest; the first or last one beyond them."""
        index = math.floor((z_mm - self.first_z_mm) / self.step_mm + 0.5)
        return min(max(index, 0), self.slices - 1)

    def snap(self, z_mm: float) -> float:
        """The nearest centre of a slice."""
        return self.z_of(self.slice_of(z_mm))


@dataclass(frozen=True)
class Curve:
    """For every slice the mean probability of the clips that see it.

    Attributes:
        axis: the slices.
        values: one per slice.
    """

    axis: SliceAxis
    values: tuple[float, ...]

    def at(self, z_mm: float) -> float:
        """The probability at the slice nearest to this z."""
        return self.values[self.axis.slice_of(z_mm)]

    def stairs(self) -> tuple[tuple[float, float, float], ...]:
        """Lower end, upper end (mm) and probability of each run of slices that share one."""
        return tuple(
            (self.axis.z_of(first - 0.5), self.axis.z_of(last + 0.5), self.values[first])
            for first, last in self._runs()
        )

    def peaks(self) -> tuple[float, ...]:
        """Patient z of the middles of its hills, from the feet to the head; the highest is always one."""
        runs = self._runs()
        heights = [self.values[first] for first, _ in runs]
        # The first of the highest, whose middle is the server's key slice.
        highest = next(i for i, height in enumerate(heights) if height >= max(heights) - _SAME)
        return tuple(
            self.axis.z_of(first + (last - first + 1) // 2)
            for index, (first, last) in enumerate(runs)
            if index == highest or _rise(heights, index) >= LEAST_RISE
        )

    def _runs(self) -> list[tuple[int, int]]:
        """First and last slice of each run of equal probability."""
        starts = [0]
        for index, value in enumerate(self.values):
            if abs(value - self.values[starts[-1]]) > _SAME:
                starts.append(index)
        return [(first, nxt - 1) for first, nxt in zip(starts, [*starts[1:], len(self.values)])]


def curve_of(clips: Sequence[ClipResult]) -> Curve:
    """The curve of a finding.

    Args:
        clips: of the whole study, at least one; every slice is in one of them.
    """
    slices = max(clip.last_slice for clip in clips) + 1
    # Differences first, sums then: what 600 clips of 32 slices cost is the number of slices.
    total, seen = [0.0] * (slices + 1), [0] * (slices + 1)
    for clip in clips:
        total[clip.first_slice] += clip.probability
        total[clip.last_slice + 1] -= clip.probability
        seen[clip.first_slice] += 1
        seen[clip.last_slice + 1] -= 1
    values, height, count = [], 0.0, 0
    for index in range(slices):
        height += total[index]
        count += seen[index]
        values.append(min(max(height / count, 0.0), 1.0) if count else 0.0)
    return Curve(axis_of(clips), tuple(values))


def axis_of(clips: Sequence[ClipResult]) -> SliceAxis:
    """The slices that the clips of a study tell of."""
    low = min(clips, key=lambda clip: clip.first_slice)
    high = max(clips, key=lambda clip: clip.last_slice)
    steps = high.last_slice - low.first_slice
    step = (high.z_mm[1] - low.z_mm[0]) / steps if steps else _ONE_SLICE_MM
    return SliceAxis(low.z_mm[0] - low.first_slice * step, step, high.last_slice + 1)


def positive_ranges(clips: Sequence[ClipResult], threshold: float) -> tuple[tuple[float, float], ...]:
    """Where clips reach the threshold: patient z (low, high) of their slices, joined where they touch."""
    axis = axis_of(clips)
    spans = sorted((clip.first_slice, clip.last_slice) for clip in clips if clip.probability >= threshold)
    joined: list[tuple[int, int]] = []
    for first, last in spans:
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return tuple((axis.z_of(first), axis.z_of(last)) for first, last in joined)


def _rise(heights: Sequence[float], index: int) -> float:
    """How far one must go down from here, at least, before one can go higher; 0 where this is no hill."""
    here = heights[index]
    if any(height > here for height in heights[max(0, index - 1) : index + 2]):
        return 0.0
    drops = [_drop(here, side) for side in (heights[:index][::-1], heights[index + 1 :])]
    return min(drops)


def _drop(here: float, way: Sequence[float]) -> float:
    """How far it goes down on the way to something higher; all the way down where nothing is."""
    lowest = here
    for height in way:
        if height > here + _SAME:
            return here - lowest
        lowest = min(lowest, height)
    return here - lowest if way else here
