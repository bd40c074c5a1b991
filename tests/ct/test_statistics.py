"""Figures of a study, and warnings that a radiologist can read."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from vpt_plugin.ct.intensity import resize_slices
from vpt_plugin.ct.statistics import _WORDS, StudyFacts, range_warnings, study_facts
from vpt_plugin.ct.volume import Provenance, Volume
from vpt_plugin.errors import ConfigurationError


@pytest.fixture
def facts() -> StudyFacts:
    """Half padding; of the other half a quarter is lung, a quarter bone, a half soft tissue."""
    hu = np.full((100, 8, 8), -1024, dtype=np.int16)
    hu[:, 4], hu[:, 5], hu[:, 6:] = -800, 700, 40
    axial = np.eye(3)[:, ::-1]
    return study_facts(Volume(hu, (2.5, 0.8, 0.7), (0, 0, 0), axial, "study"))


def test_facts_by_hand(facts):
    assert facts.slices == 100
    assert facts.slice_spacing_mm == 2.5
    assert facts.pixel_spacing_mm == pytest.approx(0.75)
    assert facts.field_of_view_mm == pytest.approx(6.4)
    assert facts.length_mm == 250
    assert facts.mean_hu == pytest.approx((-800 + 700 + 2 * 40) / 4)
    assert facts.sd_hu == pytest.approx(np.std([-800, 700, 40, 40]))
    assert (facts.p05_hu, facts.p50_hu, facts.p95_hu) == (-800, 40, 700)
    assert (facts.lung_share, facts.bright_share) == (0.25, 0.25)


def test_large_slices_are_sampled_and_give_the_same_figures(facts):
    hu = np.full((4, 512, 512), -1024, dtype=np.int16)
    hu[:, 256:320], hu[:, 320:384], hu[:, 384:] = -800, 700, 40
    large = study_facts(Volume(hu, (2.5, 0.8, 0.7), (0, 0, 0), np.eye(3)[:, ::-1], "study"))
    assert large.mean_hu == facts.mean_hu
    assert large.lung_share == 0.25


def test_facts_go_through_a_dictionary(facts):
    assert StudyFacts(**facts.as_dict()) == facts
    assert all(type(value) is float for value in facts.as_dict().values())
    assert list(_WORDS) == [field.name for field in fields(StudyFacts)]


def test_a_figure_outside_the_range_is_a_sentence_with_its_unit(facts):
    assert range_warnings(facts, {"slice_spacing_mm": (0.6, 1.25), "mean_hu": (-600, -400)}) == [
        "slice spacing 2.5 mm is outside what this model was trained on (0.6 to 1.25 mm)",
        "mean attenuation -5 HU is outside what this model was trained on (-600 to -400 HU)",
    ]
    assert range_warnings(facts, {"slices": (200, 400), "lung_share": (0.3, 0.6)}) == [
        "number of slices 100 is outside what this model was trained on (200 to 400)",
        "share of lung in the images 25.0% is outside what this model was trained on (30.0% to 60.0%)",
    ]


def test_ranges_are_widened_by_a_twentieth(facts):
    assert range_warnings(facts, {"slice_spacing_mm": (1.0, 2.4)}) == []  # up to 2.52
    assert range_warnings(facts, {"slice_spacing_mm": (2.6, 2.6)}) == []  # down to 2.47
    assert len(range_warnings(facts, {"slice_spacing_mm": (1.0, 2.3)})) == 1  # up to 2.415
    assert range_warnings(facts, {}) == []


def test_a_range_for_an_unknown_figure_is_an_error(facts):
    with pytest.raises(ConfigurationError, match="'spacing' is no study fact; choose from slices, slice_"):
        range_warnings(facts, {"spacing": (0, 1)})


def test_slices_that_were_reduced_for_an_upload_are_judged_by_the_pixels_that_they_had():
    rng = np.random.default_rng(0)
    bands = np.repeat([-1010, -800, 40, 700], [120, 40, 76, 20])  # air, lung, tissue, bone
    hu = rng.normal(0, 10, (4, 256, 256)) + bands
    whole = Volume(
        np.maximum(hu, -1024).astype(np.int16), (2.5, 0.7, 0.7), (0, 0, 0), np.eye(3)[:, ::-1], "study"
    )
    said = Provenance("nrrd", reduced_from_mm=(0.7, 0.7))
    small = resize_slices(whole.hu, 64)
    reduced = Volume(small, (2.5, 2.8, 2.8), (0, 0, 0), np.eye(3)[:, ::-1], "study", said)
    own = {name: (value, value) for name, value in study_facts(whole).as_dict().items()}
    facts = study_facts(reduced)
    assert (facts.pixel_spacing_mm, facts.field_of_view_mm) == pytest.approx((0.7, 179.2))
    assert range_warnings(facts, own, reduced=True) == []
    assert range_warnings(facts, {"pixel_spacing_mm": (0.3, 0.5)}, reduced=True) == [
        "pixel spacing 0.70 mm is outside what this model was trained on (0.30 to 0.50 mm)"
    ]
    assert len(range_warnings(facts, {"mean_hu": (-100, 100)}, reduced=True)) == 1
