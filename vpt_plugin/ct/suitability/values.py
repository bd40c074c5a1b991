"""Whether voxels are Hounsfield units: air and tissue where they belong, more values than a picture has."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vpt_plugin.ct.suitability.lungs import NOTHING_MEASURED_HU, Lungs
from vpt_plugin.ct.suitability.verdict import DOUBTFUL, FITS, UNFIT, UNKNOWN, Check

# Air outside the body; and between what and what the tissue that three quarters are below lies in any chest:
# fat has -100 HU, muscle 50, and contrast medium fills no quarter of a body.
_AIR_HU = (-1024, -920)
_TISSUE_ABOVE_HU = -300
_TISSUE_HU = (-40, 160)
_TISSUE_PERCENT = 75
# Three quarters of a very fat body are fat. That has -100 HU, as has the muscle of a body that is 150 HU too
# dark; the air around it tells which it is.
_FAT_HU = -130
# Beyond these nothing in the study would be taken for what it is.
_NOT_TISSUE_HU = (-200, 400)
_LEAST_PIXELS = 200
# A picture has 256 grey values; a CT has a thousand and more.
_PICTURE_LEVELS = 256


def value_checks(lungs: Lungs, levels: int | None) -> Iterator[Check]:
    """Whether air and tissue have the values that they must have, and how many different values there are.

    Args:
        lungs: of the study.
        levels: different values in a sample of the voxels as they were read; None where it is too small.
    """
    air = _air(lungs)
    yield air
    yield _tissue(lungs, air)
    yield _levels(levels)


def _air(lungs: Lungs) -> Check:
    """What is around the body."""
    around = lungs.hu[lungs.outside]
    around = around[around > NOTHING_MEASURED_HU]
    if around.size < _LEAST_PIXELS:
        return Check(
            "air", UNKNOWN, "there is no air around the body by which to check the values", None, "HU"
        )
    found_hu = float(np.median(around))
    if _AIR_HU[0] <= found_hu <= _AIR_HU[1]:
        return Check("air", FITS, f"air around the body has {found_hu:.0f} HU", round(found_hu), "HU")
    sentence = (
        f"air around the body has {found_hu:.0f} HU instead of about -1000: the values are shifted or scaled"
    )
    return Check("air", DOUBTFUL, sentence, round(found_hu), "HU")


def _tissue(lungs: Lungs, air: Check) -> Check:
    # A quarter of the pixels tells it.
    some = lungs.hu[:, ::2, ::2]
    tissue = some[some > _TISSUE_ABOVE_HU]
    if 4 * tissue.size < _LEAST_PIXELS:
        return Check("tissue", UNFIT, "there is next to no tissue in this study", None, "HU")
    found_hu = float(np.percentile(tissue, _TISSUE_PERCENT))
    if _TISSUE_HU[0] <= found_hu <= _TISSUE_HU[1]:
        return Check("tissue", FITS, f"soft tissue has {found_hu:.0f} HU", round(found_hu), "HU")
    if air.verdict == FITS and _FAT_HU <= found_hu < _TISSUE_HU[0]:
        return Check("tissue", FITS, f"soft tissue has {found_hu:.0f} HU, as fat has", round(found_hu), "HU")
    beyond = not _NOT_TISSUE_HU[0] <= found_hu <= _NOT_TISSUE_HU[1]
    sentence = (
        f"soft tissue has {found_hu:.0f} HU, where {_TISSUE_HU[0]} to {_TISSUE_HU[1]} are expected: the "
        f"values {'cannot be Hounsfield units' if beyond else 'are shifted or scaled'}"
    )
    return Check("tissue", UNFIT if beyond else DOUBTFUL, sentence, round(found_hu), "HU")


def _levels(levels: int | None) -> Check:
    if levels is None:
        return Check("grey_levels", UNKNOWN, "how many different values there were is not known")
    if levels > _PICTURE_LEVELS:
        return Check("grey_levels", FITS, f"the voxels have {levels} different values", levels)
    sentence = (
        f"the voxels have {levels} different values only, as an 8-bit picture has: "
        "fine differences are gone, and the values may not be Hounsfield units"
    )
    return Check("grey_levels", DOUBTFUL, sentence, levels)
