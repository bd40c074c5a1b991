"""Chests that are diseased, small, fat, or freed of their table are chests; what is said of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import cv2
import numpy as np
import pytest
import unsuitable_studies as cases
from numpy.typing import NDArray

from vpt_plugin.ct.suitability import Check, SeenInTraining, Suitability, check_suitability
from vpt_plugin.ct.volume import Volume
from vpt_plugin.tasks import TASKS

WATER_HU = 20
Make = Callable[[Volume], Volume]


CHEST = cache(cases.chest)


def lung(volume: Volume) -> NDArray[np.bool_]:
    return np.asarray((volume.hu > -960) & (volume.hu < -500))


def filled(volume: Volume, *, back: float, below: float = 1.0) -> Volume:
    """Water in the back share of the lungs' depth, in the lowest share of their height."""
    air, (z, y, _) = lung(volume), np.indices(volume.hu.shape, sparse=True)
    levels, rows = np.flatnonzero(air.any(axis=(1, 2))), np.flatnonzero(air.any(axis=(0, 2)))
    deep = y >= rows[-1] - back * (rows[-1] - rows[0])
    low = z <= levels[0] + below * (levels[-1] - levels[0])
    return cases.with_hu(volume, np.where(air & deep & low, WATER_HU, volume.hu))


def basal_consolidation(volume: Volume) -> Volume:
    """In the lower half air is left beside the middle and in front only: the lungs are narrow there."""
    air, (z, y, x) = lung(volume), np.indices(volume.hu.shape, sparse=True)
    levels, rows = np.flatnonzero(air.any(axis=(1, 2))), np.flatnonzero(air.any(axis=(0, 2)))
    middle = volume.hu.shape[2] / 2
    away = (y > rows.mean()) | (abs(x - middle) > 0.35 * middle)
    return cases.with_hu(volume, np.where(air & away & (z < levels.mean()), WATER_HU, volume.hu))


def denser(volume: Volume, *, by_hu: int) -> Volume:
    """Lungs that are so much denser all over; less where the figure is negative."""
    return cases.with_hu(volume, np.where(lung(volume), volume.hu + by_hu, volume.hu))


def fat(volume: Volume, thick_pixels: int = 30) -> Volume:
    """With so many pixels of fat around the body, more than 90 mm, and no table."""
    around = thick_pixels + 4
    hu = np.pad(
        freed(volume, outside_hu=-1000).hu,
        ((0, 0), (around, around), (around, around)),
        constant_values=-1000,
    )
    ring = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thick_pixels + 1, 2 * thick_pixels + 1))
    for slice_hu in hu:
        body = hull(slice_hu)
        slice_hu[(cv2.dilate(body, ring) > 0) & ((body == 0) | (slice_hu < -960))] = -100
    return cases.with_hu(volume, hu)


def hull(slice_hu: NDArray[np.int16]) -> NDArray[np.uint8]:
    tissue = cv2.morphologyEx((slice_hu > -400).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    outline = cv2.convexHull(cv2.findNonZero(tissue))
    return np.asarray(cv2.fillConvexPoly(np.zeros_like(tissue), outline, 1), dtype=np.uint8)


def freed(volume: Volume, *, outside_hu: int) -> Volume:
    """One value around the body, as programs that take the table away leave it; the rim stays blurred."""
    hu = np.stack([cv2.GaussianBlur(each, (3, 3), 0) for each in volume.hu])
    for slice_hu in hu:
        slice_hu[cv2.dilate(hull(slice_hu), np.ones((3, 3), np.uint8)) == 0] = outside_hu
    return cases.with_hu(volume, hu)


def smaller(volume: Volume, *, times: float, field_mm: float | None = None) -> Volume:
    """A body whose every length is so much shorter, in a field that shrinks with it or has its own size."""
    slice_mm, row_mm, column_mm = (times * each for each in volume.spacing_mm)
    more = 0 if field_mm is None else max(0, round((field_mm / row_mm - volume.hu.shape[1]) / 2))
    hu = np.pad(volume.hu, ((0, 0), (more, more), (more, more)), constant_values=-1000)
    return replace(volume, hu=hu, spacing_mm=(slice_mm, row_mm, column_mm))


def judged(volume: Volume, task: str = "pe", **said: str | float) -> Suitability:
    told = cases.with_header(volume, **said) if said else volume
    return check_suitability(cases.reduced(told), TASKS[task], SeenInTraining())


def warned(found: Suitability) -> list[str]:
    return [check.name for check in found.graver]


def one(found: Suitability, name: str) -> Check:
    return next(check for check in found.checks if check.name == name)


CHESTS: dict[str, Make] = {
    "effusion on both sides": partial(filled, back=0.6, below=0.45),
    "the back 70 % consolidated": partial(filled, back=0.7),
    "basal consolidation": basal_consolidation,
    "ground glass": partial(denser, by_hu=350),
    "emphysema": partial(denser, by_hu=-130),
    "obesity": fat,
    "infant": partial(smaller, times=0.36),
    "infant in a field of 250 mm": partial(smaller, times=0.36, field_mm=250),
    "table removed, -1024 around": partial(freed, outside_hu=-1024),
    "table removed, -1000 around": partial(freed, outside_hu=-1000),
}


@pytest.mark.parametrize("name", CHESTS)
def test_a_diseased_small_fat_or_freed_chest_fits(name: str) -> None:
    found = judged(CHESTS[name](CHEST()))
    assert found.warnings == ()
    assert one(found, "contrast").verdict == "fits"


def test_of_fat_the_tissue_is_no_sign_of_shifted_values_where_the_air_around_it_is_right() -> None:
    obese = fat(CHEST())
    assert one(judged(obese), "tissue").sentence == "soft tissue has -100 HU, as fat has"
    # Where the air was not kept nobody can tell; and no body is so bright.
    assert warned(judged(cases.with_hu(obese, np.where(obese.hu == -1000, -1024, obese.hu)))) == ["tissue"]
    bright = cases.with_hu(CHEST(), np.where(CHEST().hu > 0, CHEST().hu * 4, CHEST().hu))
    assert (one(judged(bright), "air").verdict, warned(judged(bright))[0]) == ("fits", "tissue")


def white(volume: Volume) -> Volume:
    return filled(volume, back=1.0)


@pytest.mark.parametrize("make", [white, partial(denser, by_hu=430)])
def test_lungs_without_air_are_doubtful_where_the_header_names_a_chest_and_else_no_chest(make: Make) -> None:
    study = make(CHEST())
    for said in ({"body_part": "CHEST"}, {"protocol": "CTPA"}, {"body_part": "HEAD", "protocol": "Thorax"}):
        found = judged(study, **said)
        assert (found.verdict, warned(found)) == ("doubtful", ["lungs"])
        assert "there is next to no air in the lungs" in found.warnings[0]
    assert warned(judged(study)) == ["lungs"]
    assert judged(study).verdict == judged(study, body_part="HEAD").verdict == "unfit"
    # What is no tissue is no chest, whatever it is called.
    assert judged(cases.shifted(-400)(study), body_part="CHEST").verdict == "unfit"


def test_another_part_of_the_body_is_believed_only_where_neither_field_names_a_chest() -> None:
    little = filled(CHEST(), back=0.76)
    assert judged(little, body_part="ABDOMEN").verdict == "unfit"
    found = judged(little, body_part="ABDOMEN", protocol="CTPA")
    assert (found.verdict, warned(found)) == ("doubtful", ["lungs"])
    assert one(found, "body_part").sentence == "the header names 'CTPA'"
    assert judged(little, body_part="CHEST", protocol="Abd/Pelvis").verdict == "doubtful"


def test_where_the_vessels_are_looked_for_does_not_hang_on_the_air_in_the_lungs() -> None:
    without = cases.chest(contrast=False)
    for back in (0.0, 0.6, 0.7):
        filled_hu, empty_hu = (
            one(judged(filled(volume, back=back)), "contrast").value for volume in (CHEST(), without)
        )
        assert filled_hu == pytest.approx(368, abs=5)
        assert empty_hu == pytest.approx(41, abs=5)


def test_what_is_too_dark_for_blood_tells_nothing_of_contrast_medium() -> None:
    tissue = CHEST().hu > -150
    found = judged(cases.with_hu(CHEST(), np.where(tissue, -60, CHEST().hu)))
    contrast = one(found, "contrast")
    assert contrast.verdict == "unknown"
    assert contrast.value == pytest.approx(-60, abs=2)
    assert "which no blood has" in contrast.sentence


def test_lungs_cut_by_a_round_field_are_cut_whatever_fills_the_corners() -> None:
    crop = cases.cropped(CHEST(), 180)
    side = crop.hu.shape[1]
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    found = judged(cases.with_hu(crop, np.where(rows**2 + columns**2 < 1, crop.hu, -1024)))
    assert warned(found) == ["lungs_sides"]


def test_a_study_upside_down_is_noticed_by_the_body_too() -> None:
    found = judged(cases.upside_down(basal_consolidation(CHEST())))
    assert one(found, "upright").verdict != "doubtful"  # its lungs taper towards the head
    assert warned(judged(cases.upside_down(fat(CHEST())))) == ["upright"]
