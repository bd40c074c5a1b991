"""Studies that a model for chests must not answer in silence, as files; what is said of each."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
import unsuitable_studies as cases

from vpt_plugin.ct.reduced import ReducedStudy, read_reduced
from vpt_plugin.ct.suitability import SeenInTraining, Suitability, check_suitability
from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import write_dicom, write_nifti
from vpt_plugin.tasks import TASKS

Make = Callable[[Volume], Volume]
WHOLE = cache(cases.chest)


def as_nifti(volume: Volume, folder: Path) -> ReducedStudy:
    write_nifti(volume, folder / "study.nii")
    return read_reduced(folder / "study.nii", pixels=112)


def as_dicom(volume: Volume, folder: Path, **said: str | float) -> ReducedStudy:
    write_dicom(cases.with_header(volume, **said), folder / "study")
    return read_reduced(folder / "study", pixels=112)


def judged(study: ReducedStudy, task: str = "pe", seen: SeenInTraining | None = None) -> Suitability:
    return check_suitability(study, TASKS[task], seen or SeenInTraining())


def warned(suitability: Suitability) -> list[str]:
    return [check.name for check in suitability.graver]


@pytest.mark.parametrize("read", [as_nifti, as_dicom])
@pytest.mark.parametrize("task", ["pe", "nodule"])
def test_a_whole_chest_fits_and_every_check_says_so_or_that_nothing_is_known(
    read: Callable[[Volume, Path], ReducedStudy], task: str, tmp_path: Path
) -> None:
    found = judged(read(WHOLE(), tmp_path), task)
    assert (found.verdict, found.warnings) == ("fits", ())
    assert {check.verdict for check in found.checks} == {"fits", "unknown"}
    verdicts = {check.name: check.verdict for check in found.checks}
    assert [verdicts[name] for name in ("lungs", "both_lungs", "upright", "air", "grey_levels")] == [
        "fits"
    ] * 5


CASES: dict[str, tuple[Make, str, list[str]]] = {
    "abdomen only": (cases.abdomen, "unfit", ["lungs"]),
    "abdomen with the bases of the lungs": (
        partial(cases.slices, first_mm=-200, last_mm=40), "doubtful", ["lungs", "lungs_above"],
    ),
    "head": (cases.head, "unfit", ["lungs"]),
    "lungs filled with water": (cases.without_lungs, "unfit", ["lungs"]),
    "cardiac crop of 180 mm": (partial(cases.cropped, side_mm=180), "doubtful", ["lungs_sides"]),
    "upper half": (partial(cases.slices, first_mm=110, last_mm=400), "doubtful", ["lungs_below"]),
    "lower half": (partial(cases.slices, first_mm=-400, last_mm=110), "doubtful", ["lungs_above"]),
    "right half": (cases.one_side, "doubtful", ["both_lungs", "lungs_sides"]),
    "low resolution": (cases.coarse, "doubtful", ["slice_spacing_mm", "pixel_spacing_mm"]),
    "8-bit picture on the scale of HU": (cases.picture, "doubtful", ["grey_levels"]),
    "150 HU too bright": (cases.shifted(150), "doubtful", ["air", "tissue"]),
    "400 HU too dark": (cases.shifted(-400), "unfit", ["lungs", "air", "tissue"]),
    "slices the wrong way round": (cases.upside_down, "doubtful", ["upright"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_no_such_study_is_answered_in_silence(name: str, tmp_path: Path) -> None:
    make, verdict, checks = CASES[name]
    found = judged(as_nifti(make(WHOLE()), tmp_path))
    assert (found.verdict, warned(found)) == (verdict, checks)
    assert len(found.warnings) == len(checks)


def test_150_hu_too_dark_is_noticed_by_its_tissue(tmp_path: Path) -> None:
    found = judged(as_nifti(cases.shifted(-150)(WHOLE()), tmp_path))
    assert found.verdict == "doubtful"
    assert "tissue" in warned(found)


@pytest.mark.parametrize(
    ("make", "part", "sentence"),
    [
        (cases.abdomen, "ABDOMEN", "the header names 'ABDOMEN', and next to no lungs were found"),
        (cases.head, "HEAD", "the header names 'HEAD', and next to no lungs were found"),
        # What an abdomen shows of the lungs makes a file without a header doubtful; with one it is settled.
        (
            partial(cases.slices, first_mm=-200, last_mm=40),
            "LIVER",
            "the header names 'LIVER', and next to no",
        ),
    ],
)
def test_a_header_that_names_another_part_settles_it_where_lungs_are_missing(
    make: Make, part: str, sentence: str, tmp_path: Path
) -> None:
    found = judged(as_dicom(make(WHOLE()), tmp_path, body_part=part))
    assert found.verdict == "unfit"
    assert any(each.startswith(sentence) for each in found.warnings)


def test_a_header_that_is_wrong_about_a_whole_chest_is_told_and_refuses_nothing(tmp_path: Path) -> None:
    found = judged(as_dicom(WHOLE(), tmp_path, body_part="ABDOMEN"))
    assert found.verdict == "fits"
    assert found.notes == ("the header names 'ABDOMEN', but lungs were found",)


def test_without_contrast_medium_pe_is_doubtful_whatever_the_header_says_and_nodule_is_not(
    tmp_path: Path,
) -> None:
    study = as_dicom(cases.chest(contrast=False), tmp_path, contrast_agent="Iomeron 350")
    found = judged(study)
    assert warned(found) == ["contrast"]
    assert "though the header names 'Iomeron 350'" in found.warnings[0]
    assert found.graver[0].value == pytest.approx(40, abs=15)
    assert judged(study, "nodule").verdict == "fits"


def test_thick_slices_are_noticed_where_they_overlap(tmp_path: Path) -> None:
    found = judged(as_dicom(WHOLE(), tmp_path, slice_thickness_mm=10.0))
    assert found.warnings == ("the slices are 10 mm thick: small findings do not show in slices above 5 mm",)


def test_a_kernel_and_a_manufacturer_unknown_from_the_training_are_doubtful(tmp_path: Path) -> None:
    study = as_dicom(WHOLE(), tmp_path, kernel="B70f")
    kernels, makers = {"B30f": 30, "STANDARD": 5}, {"SIEMENS": 35}
    found = judged(study, seen=SeenInTraining(headers={"kernel": kernels, "manufacturer": makers}))
    assert warned(found) == ["manufacturer", "kernel"]
    assert found.warnings[1] == (
        "the reconstruction kernel, 'B70f', is none of those that this model was trained on (B30f, STANDARD)"
    )
    few = SeenInTraining(headers={"kernel": {"B30f": 19}})
    assert judged(study, seen=few).verdict == "fits"
    known = SeenInTraining(headers={"kernel": {"b70F": 40}})
    assert judged(study, seen=known).verdict == "fits"


def test_what_a_model_was_trained_on_counts_more_than_what_is_usual(tmp_path: Path) -> None:
    study = as_nifti(cases.coarse(WHOLE()), tmp_path)
    coarse = SeenInTraining({"slice_spacing_mm": (5.0, 10.0), "pixel_spacing_mm": (5.0, 8.0)})
    assert judged(study, seen=coarse).verdict == "fits"
    fine = SeenInTraining({"slice_spacing_mm": (1.0, 2.0), "pixel_spacing_mm": (0.6, 0.9)})
    assert judged(study, seen=fine).warnings == (
        "slice spacing 9.0 mm is outside what this model was trained on (1.0 to 2.0 mm)",
        "pixel spacing 7.33 mm is outside what this model was trained on (0.60 to 0.90 mm)",
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("contrast", [True, False])
def test_phantoms_fit(seed: int, contrast: bool) -> None:
    found = judged(cases.reduced(cases.chest(seed, contrast=contrast)), "pe" if contrast else "nodule")
    assert found.warnings == ()
