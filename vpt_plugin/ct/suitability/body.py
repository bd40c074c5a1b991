"""The body in slices that were made coarse: how wide it is, and its outline."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.reduced import ReducedStudy

# Tissue is denser than this, lung and foam are not.
TISSUE_HU = -300
# The chests of grown-ups are at least so wide; what is measured in mm shrinks with those that are narrower.
_GROWN_UP_MM = 300.0
_SMALLEST = 0.25
# So many slices, of so many pixels a side, are enough to see how wide a body is.
_SLICES, _PIXELS = 9, 64
# The shells of a table are thinner than this, the side of a body is not.
_THIN_PIXELS = 4
_SQUARE = np.ones((3, 3), np.uint8)


def body_scale(study: ReducedStudy) -> float:
    """How wide the body is as a share of a grown-up's, at most 1: a newborn has about a third."""
    slices, pixels = max(1, study.slices // _SLICES), max(1, study.pixels // _PIXELS)
    tissue = study.hu[::slices, ::pixels, ::pixels] > TISSUE_HU
    columns = tissue.sum(axis=1) >= _THIN_PIXELS
    first = columns.argmax(axis=1)
    last = columns.shape[1] - 1 - columns[:, ::-1].argmax(axis=1)
    widths = (last - first + 1)[columns.any(axis=1)]
    if not len(widths):
        return 1.0
    width_mm = float(np.median(widths)) * pixels * study.facts.field_of_view_mm / study.pixels
    return min(1.0, max(_SMALLEST, width_mm / _GROWN_UP_MM))


def outlines(tissue: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The convex outline of the largest piece of tissue in every slice, filled; thin things are left out.

    Args:
        tissue: 1 where tissue is, (slices, rows, columns); the last row of every slice is empty.
    """
    slices, rows, columns = tissue.shape
    thick = cv2.morphologyEx(tissue.reshape(-1, columns), cv2.MORPH_OPEN, _SQUARE)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(thick, connectivity=4)
    labels = labels.reshape(tissue.shape)
    of_slice = stats[:, cv2.CC_STAT_TOP] // rows
    by_area = 1 + np.argsort(stats[1:, cv2.CC_STAT_AREA], kind="stable")
    largest = np.zeros(slices, dtype=np.int64)
    largest[of_slice[by_area]] = by_area  # of pieces of one slice the last, which is the largest, stays
    body = (labels == largest[:, None, None]) & (labels > 0)
    # The ends of its rows have the same outline as all of its pixels, and are few.
    first, last = body.argmax(axis=2), columns - 1 - body[:, :, ::-1].argmax(axis=2)
    filled = np.zeros(tissue.shape, dtype=np.uint8)
    where = np.nonzero(body.any(axis=2))
    ends = np.stack([first[where], where[1], last[where], where[1]], axis=1).astype(np.int32)
    starts = np.searchsorted(where[0], np.arange(slices + 1))
    for each, start, stop in zip(filled, starts, starts[1:], strict=False):
        if stop > start:
            cv2.fillConvexPoly(each, cv2.convexHull(ends[start:stop].reshape(-1, 2)), 1)
    return filled.view(np.bool_)
