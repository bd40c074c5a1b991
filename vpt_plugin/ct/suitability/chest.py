"""Whether there is a chest in a study, and whether all of it is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.suitability.lungs import Lungs
from vpt_plugin.ct.suitability.verdict import DOUBTFUL, FITS, UNFIT, UNKNOWN, Check

# The checks that say whether both lungs are there from end to end.
WHOLE = ("lungs", "both_lungs", "lungs_below", "lungs_above")
# The air cells of a head are less than the first, what an abdomen shows of the lungs above the diaphragm is
# less than the second; the lungs of an adult hold 2 to 7 litres. For narrower bodies both shrink with the
# square of the width: with its cube, the air cells of a head would do for the lungs of an infant as wide.
_NO_LUNGS_ML = 150
_LUNGS_ML = 1000
_LUNGS_MM = 100
# An end of the study where lung still fills so much of what it fills at its widest cuts the lungs off.
_CUT_SHARE = 0.25
# A slice in which lung meets the edge of the image along this much is cut; so large a share of the slices
# is no chance, such as an arm that lies beside the chest.
_EDGE_MM = 40
_EDGE_SLICES = 0.15
_TWO_LUNGS_SLICES = 0.25
# The chest is narrow at the top: nearly half as wide as at the bottom of the lungs, never wider. An effusion
# narrows the bottom, and the body around it stays as deep as it is; at the neck it is flat.
_END_SHARE = 0.125
_UPRIGHT = 0.85
_FLAT = 0.9


def chest_checks(lungs: Lungs, *, a_chest_by_header: bool) -> Iterator[Check]:
    """Whether lungs are there, and if so: both, whole, and the right way up.

    Args:
        lungs: of the study.
        a_chest_by_header: the header names a chest, and there is tissue; then the lungs may hold no air.
    """
    there = check_lungs(lungs, a_chest_by_header=a_chest_by_header)
    yield there
    if _next_to_none(lungs):
        return
    yield _two_lungs(lungs)
    below, above = _ends(lungs)
    yield below
    yield above
    yield _sides(lungs)
    if below.verdict == above.verdict == there.verdict == FITS:
        yield _upright(lungs)


def check_lungs(lungs: Lungs, *, a_chest_by_header: bool) -> Check:
    """Whether there are lungs of some size; the arguments of ``chest_checks``."""
    found_ml, length_mm = lungs.millilitres, lungs.length_mm
    size = f"{found_ml / 1000:.1f} litres over {length_mm:.0f} mm"
    if _next_to_none(lungs) and a_chest_by_header:
        sentence = (
            f"the header names a chest, and there is next to no air in the lungs ({found_ml:.0f} ml): "
            "they are diseased, or the study shows another part of the body"
        )
        return Check("lungs", DOUBTFUL, sentence, round(found_ml), "mL")
    if _next_to_none(lungs):
        sentence = "no lungs were found in this study: it does not show a chest"
        return Check("lungs", UNFIT, sentence, round(found_ml), "mL")
    if found_ml < _LUNGS_ML * lungs.scale**2 or length_mm < _LUNGS_MM * lungs.scale:
        sentence = f"only a little lung was found ({size}): the study may show another part of the body"
        return Check("lungs", DOUBTFUL, sentence, round(found_ml), "mL")
    return Check("lungs", FITS, f"lungs were found: {size}", round(found_ml), "mL")


def _next_to_none(lungs: Lungs) -> bool:
    return lungs.millilitres < _NO_LUNGS_ML * lungs.scale**2 or not len(lungs.lung_slices)


def _two_lungs(lungs: Lungs) -> Check:
    share = float(np.mean(lungs.pieces[lungs.lung_slices] == 2))
    if share >= _TWO_LUNGS_SLICES:
        return Check("both_lungs", FITS, "both lungs were found", round(share, 2))
    sentence = "only one lung was found: the other is not in the study, or holds no air"
    return Check("both_lungs", DOUBTFUL, sentence, round(share, 2))


def _ends(lungs: Lungs) -> tuple[Check, Check]:
    area_mm2 = lungs.area_mm2
    widest_mm2 = float(area_mm2.max())
    checks = []
    for name, which, index in (("lungs_below", "lowest", 0), ("lungs_above", "highest", -1)):
        share = float(area_mm2[index]) / widest_mm2
        if share < _CUT_SHARE:
            check = Check(name, FITS, f"the lungs end before the {which} slice", round(share, 2))
        else:
            sentence = (
                f"the lungs are cut off at the {which} slice, which shows {area_mm2[index] / 100:.0f} cm² of "
                "them: what lies beyond is not looked at"
            )
            check = Check(name, DOUBTFUL, sentence, round(share, 2))
        checks.append(check)
    return checks[0], checks[1]


def _sides(lungs: Lungs) -> Check:
    share = float(np.mean(lungs.edge_mm[lungs.lung_slices] > _EDGE_MM * lungs.scale))
    if share < _EDGE_SLICES:
        return Check("lungs_sides", FITS, "the lungs lie within the images", round(share, 2))
    sentence = (
        f"the lungs are cut off at the edge of the images in {share:.0%} of their slices, as in a "
        "reconstruction of the heart: what lies beyond is not looked at"
    )
    return Check("lungs_sides", DOUBTFUL, sentence, round(share, 2))


def _upright(lungs: Lungs) -> Check:
    slices = lungs.lung_slices
    count = max(1, round(len(slices) * _END_SHARE))
    low, high = slices[:count], slices[-count:]
    ratio = round(_extent(lungs.mask, high, axis=1) / _extent(lungs.mask, low, axis=1), 2)
    if ratio < _UPRIGHT:
        return Check("upright", FITS, "the lungs taper towards the head", ratio)
    flat_below = _extent(lungs.body, low, axis=2) < _FLAT * _extent(lungs.body, high, axis=2)
    if ratio < 1 / _UPRIGHT or not flat_below:
        return Check("upright", UNKNOWN, "which end of the lungs is towards the head does not show", ratio)
    sentence = "lungs and body taper towards the feet: the study may be upside down"
    return Check("upright", DOUBTFUL, sentence, ratio)


def _extent(mask: NDArray[np.bool_], slices: NDArray[np.int64], *, axis: int) -> float:
    """Mean width (axis 1) or depth (axis 2) of what is in some slices, in pixels, at least 1."""
    lines = mask[slices].any(axis=axis)
    first, last = lines.argmax(axis=1), lines.shape[1] - 1 - lines[:, ::-1].argmax(axis=1)
    return float(np.mean(np.where(lines.any(axis=1), last - first + 1, 1)))
