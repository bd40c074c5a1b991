"""From slices that somebody marked to ranges of patient z, as the label contract has them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import groupby


def marked_ranges_mm(z_mm: Mapping[str, float], marked: Collection[str]) -> tuple[tuple[float, float], ...]:
    """Runs of neighbouring marked slices, from the middle of the first to the middle of the last.

    Args:
        z_mm: patient z of the middle of every slice of the series, by whatever name slices have.
        marked: the names of those that show the finding; names of other series mean nothing.

    Returns:
        (low, high) per run, ascending.
    """
    ordered = sorted(z_mm, key=lambda name: z_mm[name])
    runs = (list(run) for is_marked, run in groupby(ordered, key=marked.__contains__) if is_marked)
    # Three decimals are a micrometre; more is what arithmetic leaves over.
    return tuple((round(z_mm[run[0]], 3), round(z_mm[run[-1]], 3)) for run in runs)
