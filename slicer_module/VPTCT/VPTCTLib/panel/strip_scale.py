"""StripScale: where things are on the evidence strip, in pixels. Needs no Qt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable

from ..logic.curve import SliceAxis
from ..logic.draft import Range

# How near to an edge of a range the mouse takes hold of it.
GRIP_PX = 5
_LEAST_TICK_PX = 52
# A hair of air, so that the first and last slice are not under the frame.
_SIDE_PX = 6


@dataclass(frozen=True)
class StripScale:
    """The strip: a line for the key slice, the plot, the lane for marks, two lines of words.

    Attributes:
        width_px, height_px: of all of it.
        text_px: of a line of text.
        left_px: what the numbers beside the plot take.
        axis: the slices that are shown, feet left.
    """

    width_px: int
    height_px: int
    text_px: int
    left_px: int
    axis: SliceAxis

    @property
    def right_px(self) -> int:
        """The right end of the plot."""
        return self.width_px - _SIDE_PX

    @property
    def top_px(self) -> int:
        """The upper end of the plot: probability 1."""
        return self.text_px + 8

    @property
    def bottom_px(self) -> int:
        """The lower end of the plot: probability 0."""
        return self.lane_top_px - 4

    @property
    def lane_top_px(self) -> int:
        """The upper end of the lane for marks."""
        return self.lane_bottom_px - self.text_px - 4

    @property
    def lane_bottom_px(self) -> int:
        """The lower end of the lane for marks."""
        return self.height_px - 2 * self.text_px - 7

    def x_of(self, z_mm: float) -> float:
        """Where a z is, from the left."""
        share = (z_mm - self.axis.low_mm) / (self.axis.high_mm - self.axis.low_mm)
        return self.left_px + share * (self.right_px - self.left_px)

    def z_of(self, x_px: float) -> float:
        """The z at a place; the end of the study beyond it."""
        share = (x_px - self.left_px) / (self.right_px - self.left_px)
        share = min(max(share, 0.0), 1.0)
        return self.axis.low_mm + share * (self.axis.high_mm - self.axis.low_mm)

    def y_of(self, probability: float) -> float:
        """Where a probability is, from the top."""
        return self.bottom_px - probability * (self.bottom_px - self.top_px)

    def quick(self) -> tuple[Callable[[float], float], Callable[[float], float]]:
        """``x_of`` and ``y_of``, for a thousand calls at once."""
        x0, per_mm = self.x_of(0.0), self.x_of(1.0) - self.x_of(0.0)
        y0, per_one = self.y_of(0.0), self.y_of(1.0) - self.y_of(0.0)
        return (lambda z_mm: x0 + z_mm * per_mm), (lambda probability: y0 + probability * per_one)

    def in_lane(self, y_px: float) -> bool:
        """Whether this height is that of the lane for marks, with some air."""
        return self.lane_top_px - 2 <= y_px <= self.lane_bottom_px + 2

    def span_of(self, range_mm: Range) -> tuple[float, float]:
        """Left and right end of a range of slices, whose faces belong to it."""
        half = self.axis.step_mm / 2
        return self.x_of(range_mm[0] - half), self.x_of(range_mm[1] + half)

    def edge_at(self, x_px: float, ranges: Sequence[Range]) -> tuple[int, int] | None:
        """The edge that the mouse takes hold of: which range, and 0 for its lower, 1 for its upper end."""
        near = [
            (abs(x_px - x), index, end)
            for index, each in enumerate(ranges)
            for end, x in enumerate(self.span_of(each))
            if abs(x_px - x) <= GRIP_PX
        ]
        return min(near)[1:] if near else None

    def range_at(self, x_px: float, ranges: Sequence[Range]) -> int | None:
        """The range at a place."""
        for index, each in enumerate(ranges):
            left, right = self.span_of(each)
            if left - 1 <= x_px <= right + 1:
                return index
        return None

    def ticks_mm(self) -> list[float]:
        """Round values of z for labels, that do not touch each other."""
        per_px = (self.axis.high_mm - self.axis.low_mm) / max(1, self.right_px - self.left_px)
        step = round_step(per_px * _LEAST_TICK_PX)
        first = math.ceil(self.axis.low_mm / step)
        last = math.floor(self.axis.high_mm / step)
        return [index * step for index in range(first, last + 1)]


def round_step(at_least: float) -> float:
    """The least of 1, 2, 5, 10, 20, 50 ... (and of 0.5, 0.2, 0.1 ...) that is not less than this."""
    power = 10.0 ** math.floor(math.log10(at_least))
    return next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power >= at_least * (1 - 1e-9))
