"""Whether contrast medium fills the large vessels between the lungs.

A proxy for an enhanced pulmonary trunk, which nothing here can tell from the aorta beside it: how bright the
brightest few square centimetres in the middle of the chest are, in front of the spine. Where that is follows
from the outline of the body, as lungs that are partly filled say little of it. Blood alone has about 40 HU;
an angiography whose pulmonary arteries stay below 200 HU counts as suboptimal (for example Bayraktaroglu et
al., Iranian Journal of Radiology 2020, 17(2), e97230). As the darkest of those few square centimetres is
what is told, the bound is lower.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.study_header import StudyHeader
from vpt_plugin.ct.suitability.lungs import Lungs
from vpt_plugin.ct.suitability.verdict import DOUBTFUL, FITS, UNKNOWN, Check

_FILLED_HU = 150
# The pulmonary trunk and the heart lie in the lower two thirds of the lungs, in front of the spine.
_FROM, _TO = 0.3, 0.75
# Of the depth of the body from the front, and of its width to either side of the middle.
_FRONT, _BACK = 0.2, 0.55
_ASIDE = 0.2
_AREA_MM2 = 400
# No blood is so dark: what was looked at are no vessels.
_NO_BLOOD_HU = 0
_PERCENT = 75


def check_contrast(lungs: Lungs, header: StudyHeader | None, *, whole: bool) -> Check:
    """Whether vessels between the lungs are as bright as contrast medium makes them.

    Args:
        lungs: of the study.
        header: of its series; None where there is none.
        whole: whether the lungs are all there; else the vessels are not where they are looked for.
    """
    found_hu = vessels_hu(lungs) if whole else None
    if found_hu is None:
        sentence = "whether contrast medium fills the pulmonary arteries cannot be found out in this study"
        return Check("contrast", UNKNOWN, sentence, None, "HU")
    if found_hu < _NO_BLOOD_HU:
        sentence = (
            f"what lies between the lungs reaches {found_hu:.0f} HU, which no blood has: whether contrast "
            "medium fills the pulmonary arteries cannot be found out"
        )
        return Check("contrast", UNKNOWN, sentence, round(found_hu), "HU")
    reach = f"the large vessels between the lungs reach {found_hu:.0f} HU"
    if found_hu >= _FILLED_HU:
        return Check("contrast", FITS, f"{reach}: contrast medium fills them", round(found_hu), "HU")
    told = f", though the header names {header.contrast_agent!r}" if header and header.contrast_agent else ""
    sentence = (
        f"{reach}, as without contrast medium in the pulmonary arteries{told}: what this task looks for "
        "cannot be seen without it"
    )
    return Check("contrast", DOUBTFUL, sentence, round(found_hu), "HU")


def vessels_hu(lungs: Lungs) -> float | None:
    """What the brightest 4 cm² between the lungs reach in the brighter slices; None where there are none."""
    slices = lungs.lung_slices
    if not len(slices):
        return None
    low, high = slices[0], slices[-1]
    levels = (low + round((high - low) * share) for share in (_FROM, _TO))
    reached = [_reached(lungs, index) for index in range(*levels)]
    found = [each for each in reached if each is not None]
    return float(np.percentile(found, _PERCENT)) if found else None


def _reached(lungs: Lungs, index: int) -> float | None:
    rows = np.flatnonzero(lungs.body[index].any(axis=1))
    columns = np.flatnonzero(lungs.body[index].any(axis=0))
    if not len(rows):
        return None
    across = _part(columns, 0.5 - _ASIDE, 0.5 + _ASIDE)
    values = np.sort(lungs.hu[index][_part(rows, _FRONT, _BACK), across], axis=None)[::-1]
    place = round(lungs.scale**2 * _AREA_MM2 / lungs.pixel_mm**2)
    return float(values[place]) if len(values) > place else None


def _part(lines: NDArray[np.int64], first: float, last: float) -> slice:
    """From one share to another of what lies between the first and the last line."""
    low, size = lines[0], lines[-1] + 1 - lines[0]
    return slice(low + round(first * size), low + round(last * size))
