"""A phantom is a chest CT with known truth: the same from the same seed, on any grid."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from vpt_plugin.ct.clips import positive_slices
from vpt_plugin.ct.statistics import study_facts
from vpt_plugin.data.phantom import Phantom, PhantomConfig, make_phantom
from vpt_plugin.data.phantom.phantom import draw_patient, draw_visit
from vpt_plugin.labels import FindingLabel
from vpt_plugin.training.baseline import best_single_statistic

SMALL = PhantomConfig(pixels=96)
SEEDS = (1, 2, 3, 4, 5)


@cache
def phantom(
    seed: int, *, nodule: bool = False, contrast: bool = False, emboli: bool = False, pixels: int = 96
) -> Phantom:
    return make_phantom(
        seed, config=PhantomConfig(pixels=pixels), nodule=nodule, contrast=contrast, emboli=emboli
    )


def nodule_label(made: Phantom) -> FindingLabel:
    return made.labels["nodule"].findings["lung_nodule"]


def pe_label(made: Phantom) -> FindingLabel:
    return made.labels["pe"].findings["pulmonary_embolism"]


def hu_at(made: Phantom, point: np.ndarray, reach_mm: float = 6) -> float:
    """Mean HU of the voxels around a patient position (x, y, z)."""
    volume = made.volume
    box = []
    for axis, spacing, first, at in zip(
        volume.hu.shape, volume.spacing_mm, volume.origin_mm[::-1], point[::-1], strict=True
    ):
        centres = first + spacing * np.arange(axis)
        box.append(np.flatnonzero(np.abs(centres - at) <= max(reach_mm, spacing)))
    return float(volume.hu[np.ix_(*box)].mean())


def place(seed: int, point: tuple[float, float, float]) -> np.ndarray:
    """Where a point of the reference man lies in the patient of that seed."""
    rng = np.random.default_rng(seed)
    patient = draw_patient(rng, SMALL)
    return draw_visit(rng, patient, SMALL).pose.to_patient(np.array([point]))[0]


def test_the_same_seed_gives_the_same_voxels() -> None:
    first = make_phantom(7, config=SMALL, nodule=True, contrast=True, emboli=True)
    again = make_phantom(7, config=SMALL, nodule=True, contrast=True, emboli=True)
    other = make_phantom(8, config=SMALL, nodule=True, contrast=True, emboli=True)
    assert np.array_equal(first.volume.hu, again.volume.hu)
    assert first.labels == again.labels
    assert first.volume.provenance == again.volume.provenance
    assert first.volume.hu.shape != other.volume.hu.shape or (first.volume.hu != other.volume.hu).any()


def test_a_phantom_says_that_it_is_one_and_has_int16_hounsfield_units_in_range() -> None:
    volume = phantom(1).volume
    assert volume.provenance.kind == "phantom"
    assert volume.provenance.patient_id == "PHANTOM-1"
    assert volume.hu.dtype == np.int16
    assert volume.hu.min() >= -1024
    assert volume.hu.max() <= 3071
    assert volume.spacing_mm[0] in PhantomConfig().slice_spacings_mm


@pytest.mark.parametrize("seed", SEEDS)
def test_air_lung_fat_blood_and_bone_have_plausible_hounsfield_units(seed: int) -> None:
    made = phantom(seed)
    hu = made.volume.hu
    lung = hu[(hu > -950) & (hu < -600)]
    assert -1024 <= np.median(hu[:, :4, :4]) < -950
    assert -900 < np.median(lung) < -760
    assert lung.size > 0.08 * hu.size
    assert hu_at(made, place(seed, (2, 10, 40)), 2) < -850  # in the windpipe
    assert 15 < hu_at(made, place(seed, (16, -22, -62))) < 80  # in the heart
    assert np.percentile(hu, 99.5) > 250  # bone
    fat = (hu > -150) & (hu < -60)
    assert 0.02 < fat.mean() < 0.4


@pytest.mark.parametrize("seed", SEEDS)
def test_contrast_medium_fills_the_pulmonary_trunk(seed: int) -> None:
    trunk = place(seed, (21, -38, -16))
    assert hu_at(phantom(seed), trunk) < 80
    assert hu_at(phantom(seed, contrast=True), trunk) > 180


@pytest.mark.parametrize("seed", SEEDS)
def test_the_label_names_exactly_the_slices_that_show_a_nodule(seed: int) -> None:
    without, with_one = phantom(seed), phantom(seed, nodule=True)
    changed = np.abs(with_one.volume.hu.astype(int) - without.volume.hu).max(axis=(1, 2)) > 150
    ranges = nodule_label(with_one).slices_mm
    assert ranges
    z = with_one.volume.slice_z_mm
    labelled = positive_slices(z, ranges)
    assert changed[labelled].all()
    # Half a slice beyond its tip a nodule still dims a slice by partial volume; further off it cannot.
    assert not changed[
        [min(abs(at - end) for pair in ranges for end in pair) > with_one.volume.spacing_mm[0] for at in z]
        & ~labelled
    ].any()


def test_without_a_lesion_the_label_says_absent() -> None:
    assert nodule_label(phantom(1)) == FindingLabel(state="absent")
    assert pe_label(phantom(1)) == FindingLabel(state="absent")
    assert nodule_label(phantom(1, nodule=True)).state == "present"


def test_every_lesion_that_is_asked_for_can_be_seen() -> None:
    config = PhantomConfig(pixels=32, slice_spacings_mm=(5.0,))
    for seed in range(100, 120):
        made = make_phantom(seed, config=config, nodule=True, contrast=True, emboli=True)
        for label in (nodule_label(made), pe_label(made)):
            assert label.slices_mm
            assert max(high - low for low, high in label.slices_mm) > 3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_lesion_is_at_the_same_place_whatever_the_pixels(seed: int) -> None:
    places = []
    for pixels in (80, 192):
        without, with_one = phantom(seed, pixels=pixels), phantom(seed, nodule=True, pixels=pixels)
        assert nodule_label(with_one) == nodule_label(phantom(seed, nodule=True))
        volume = with_one.volume
        change = np.clip(volume.hu.astype(float) - without.volume.hu, 0, None)
        change[change < 100] = 0
        index = [np.average(np.indices(change.shape)[axis], weights=change) for axis in range(3)]
        places.append(np.array(volume.origin_mm)[::-1] + np.array(index) * volume.spacing_mm)
    assert np.abs(places[0] - places[1]).max() < 1.0


@pytest.mark.parametrize("seed", SEEDS)
def test_emboli_lie_only_in_arteries_filled_with_contrast_medium(seed: int) -> None:
    filled = phantom(seed, contrast=True, pixels=128).volume
    clotted = phantom(seed, contrast=True, emboli=True, pixels=128)
    darker = filled.hu.astype(int) - clotted.volume.hu > 60
    assert darker.any()
    assert np.percentile(filled.hu[darker], 5) > 100
    labelled = positive_slices(clotted.volume.slice_z_mm, pe_label(clotted).slices_mm or ())
    shown = darker.any(axis=(1, 2))
    assert shown[labelled].mean() > 0.9
    assert labelled[shown].mean() > 0.8


def test_emboli_without_contrast_medium_are_refused() -> None:
    with pytest.raises(ValueError, match="set contrast as well"):
        make_phantom(1, nodule=False, contrast=False, emboli=True)


def test_a_second_visit_is_the_same_patient_in_another_scan() -> None:
    first = make_phantom(3, config=SMALL, nodule=True, contrast=False, emboli=False)
    second = make_phantom(3, config=SMALL, nodule=True, contrast=False, emboli=False, visit=1)
    assert first.volume.provenance.patient_id == second.volume.provenance.patient_id
    assert first.volume.provenance.series_uid != second.volume.provenance.series_uid
    assert first.volume.origin_mm != second.volume.origin_mm
    lengths = [[high - low for low, high in nodule_label(made).slices_mm or ()] for made in (first, second)]
    assert np.allclose(lengths[0], lengths[1], atol=1.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pixels": 16}, "at least 32 pixels"),
        ({"slice_spacings_mm": ()}, "above 0 mm"),
        ({"nodule_diameters_mm": (20.0, 10.0)}, "smallest first"),
        ({"nodule_counts": (0, 2)}, "fewest first"),
        ({"clot_lengths_mm": (0.0, 40.0)}, "longer than 0 mm"),
        ({"clot_fills": (0.9, 1.1)}, "at most 1"),
        ({"clot_from_radius_mm": 8.0}, "0 to 8 mm"),
        ({"noise_hu": (9.0, 3.0)}, "least first"),
        ({"extent": (0.6, 0.6)}, "lower end first"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PhantomConfig(**values)  # type: ignore[arg-type]


def test_a_scan_of_half_the_chest_shows_its_upper_half() -> None:
    config = PhantomConfig(pixels=32, slice_spacings_mm=(6.0,))
    whole, upper = (
        make_phantom(3, config=replace(config, extent=extent), nodule=False, contrast=False, emboli=False)
        for extent in ((0.0, 1.0), (0.5, 1.0))
    )
    assert abs(len(upper.volume.hu) - len(whole.volume.hu) / 2) <= 1
    assert abs(upper.volume.slice_z_mm[-1] - whole.volume.slice_z_mm[-1]) <= 6.0


def test_no_single_figure_of_a_study_tells_which_one_has_a_nodule() -> None:
    config = PhantomConfig(pixels=64, slice_spacings_mm=(4.0,))
    labels = [seed % 2 for seed in range(60)]
    facts = [
        study_facts(
            make_phantom(
                5000 + seed, config=config, nodule=bool(seed % 2), contrast=seed % 4 < 2, emboli=False
            ).volume
        ).as_dict()
        for seed in range(60)
    ]
    _, best = best_single_statistic(facts, labels)
    assert best < 0.72
