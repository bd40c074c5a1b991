"""Where clips start, and what a slice label makes of a clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def clip_starts(slices: int, *, length: int, stride: int) -> list[int]:
    """First slices of the clips that cover a study; the last clip is moved back to end with the study.

    A study shorter than a clip gives one clip that starts at 0 and is filled up with air.

    Args:
        slices: slices of the study.
        length: slices of a clip.
        stride: slices from one start to the next, at most ``length``.

    Raises:
        ValueError: a number below 1, or a stride that would skip slices.
    """
    if slices < 1 or length < 1 or not 1 <= stride <= length:
        raise ValueError(f"cannot cut {slices} slices into clips of {length} with stride {stride}")
    last = max(0, slices - length)
    starts = list(range(0, last, stride))
    return [*starts, last]


def clip_labels(
    positive_slices: NDArray[np.bool_], starts: Sequence[int], *, length: int, min_positive_slices: int
) -> NDArray[np.bool_]:
    """Whether each clip is positive: at least ``min_positive_slices`` of its slices are.

    Args:
        positive_slices: (slices,), True where the finding is seen.
        starts: first slices of the clips, from 0.

    Returns:
        (clips,) bool.
    """
    slices = len(positive_slices)
    before = np.concatenate([[0], np.cumsum(positive_slices)])
    first = np.minimum(np.asarray(starts, dtype=np.int64), slices)
    counts = before[np.minimum(first + length, slices)] - before[first]
    return np.asarray(counts >= min_positive_slices)


def positive_slices(
    slice_z_mm: NDArray[np.float64], ranges_mm: Sequence[tuple[float, float]]
) -> NDArray[np.bool_]:
    """Which slices have their centre inside one of the patient-z ranges, ends included.

    A hundredth of a millimetre is granted, because positions pass through text and 32-bit headers.
    """
    positive = np.zeros(len(slice_z_mm), dtype=np.bool_)
    for low, high in ranges_mm:
        positive |= (slice_z_mm >= low - 0.01) & (slice_z_mm <= high + 0.01)
    return positive
