"""Whether contrast medium fills the large vessels between the lungs.

A proxy for an enhanced pulmonary trunk, which nothing here can tell from the aorta beside it: how bright the
brightest few square centimetres between the lungs are, in front of the spine. Blood alone has about 40 HU;
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
_FRONT, _BACK = 0.1, 0.55
_AREA_MM2 = 400
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
    between = _between(lungs.mask[index])
    values = np.sort(lungs.hu[index][between])[::-1]
    place = round(_AREA_MM2 / lungs.pixel_mm**2)
    return float(values[place]) if len(values) > place else None


def _between(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What has lung on its right and on its left, in front of the spine."""
    rows = np.flatnonzero(mask.any(axis=1))
    between = np.zeros_like(mask)
    if len(rows):
        front, deep = rows[0], rows[-1] - rows[0]
        right = np.maximum.accumulate(mask, axis=1)
        left = np.maximum.accumulate(mask[:, ::-1], axis=1)[:, ::-1]
        between[front + round(_FRONT * deep) : front + round(_BACK * deep)] = True
        between &= right & left & ~mask
    return between
