from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vpt_plugin.ct.suitability.verdict import Distance
from vpt_plugin.errors import ChecksumError, ModelCardError, WeightsError, WeightsNotFoundError
from vpt_plugin.inference.typicality import (
    FeatureGaussian,
    FeatureReference,
    LostReference,
    check_features,
    fit_reference,
    fit_reference_crosswise,
    reference_file,
    study_features,
)


def features(studies: int, *, seed: int = 0, width: int = 12) -> NDArray[np.float64]:
    """Studies that differ widely in two features, and a little in all."""
    rng = np.random.default_rng(seed)
    wide = rng.normal(0, [5.0, 3.0], (studies, 2))
    everywhere = rng.normal(0, 0.5, (studies, width))
    everywhere[:, :2] += wide
    return everywhere


def fitted(trained: int = 80, held_out: int = 60) -> FeatureReference:
    reference = fit_reference(features(trained), features(held_out, seed=1))
    assert reference is not None
    return reference


def test_the_distance_is_counted_in_standard_deviations() -> None:
    # Four features, one direction: 2 along it, 3 apart from it, at variances of 4 and 9.
    gaussian = FeatureGaussian(np.zeros(4), np.array([[1.0, 0, 0, 0]]), np.array([4.0]), 9.0)
    found = gaussian.distances(np.array([[0.0, 0, 0, 0], [2.0, 0, 0, 0], [0, 3.0, 0, 0], [2.0, 0, 3.0, 0]]))
    # One feature of four is off by one deviation: the root of a quarter.
    assert found == pytest.approx([0, 0.5, 0.5, 0.5**0.5])


def test_of_studies_like_those_of_the_training_few_lie_beyond_the_threshold() -> None:
    reference = fitted()
    new = reference.gaussian.distances(features(2000, seed=2))
    assert 0 < float((new > reference.threshold).mean()) < 0.05


def test_a_study_that_is_odd_in_what_never_changed_lies_beyond_though_it_is_no_larger() -> None:
    reference = fitted()
    odd = features(100, seed=3)
    # By 5 in a feature that differed by 0.5; by 5 in one that differed by 5, which is nothing.
    along, across = odd.copy(), odd.copy()
    along[:, 0] += 5
    across[:, 7] += 5
    assert float((reference.gaussian.distances(across) > reference.threshold).mean()) == 1.0
    assert float((reference.gaussian.distances(along) > reference.threshold).mean()) < 0.3


@pytest.mark.parametrize(("studies", "percentile"), [(10, 10 / 11), (49, 49 / 50), (99, 98 / 100)])
def test_the_threshold_is_a_percentile_that_so_many_studies_can_show(studies: int, percentile: float) -> None:
    reference = fit_reference(features(40), features(studies, seed=1))
    assert reference is not None
    assert reference.percentile == pytest.approx(percentile)
    beyond = (reference.gaussian.distances(features(studies, seed=1)) > reference.threshold).sum()
    assert beyond == {10: 0, 49: 0, 99: 1}[studies]


def test_of_too_few_studies_nothing_is_said() -> None:
    assert fit_reference(features(9), features(60)) is None
    assert fit_reference(features(60), features(9)) is None
    assert fit_reference_crosswise(features(19)) is None


def test_no_study_can_be_told_from_what_is_kept() -> None:
    """Of n studies fewer than a quarter as many directions are kept, so none is a sum of them."""
    trained = features(40, width=200)
    reference = fit_reference(trained, features(20, width=200, seed=1))
    assert reference is not None
    gaussian = reference.gaussian
    assert len(gaussian.directions) == 10
    apart = trained - gaussian.mean
    outside = apart - apart @ gaussian.directions.T @ gaussian.directions
    assert (np.linalg.norm(outside, axis=1) > 3).all()


def test_with_folds_each_part_is_measured_from_the_others() -> None:
    studies = features(50, width=40)
    reference = fit_reference_crosswise(studies)
    assert reference is not None
    assert (reference.trained, reference.studies) == (50, 50)
    # Measured from a Gaussian of which they are a part, they would lie nearer.
    assert reference.threshold > reference.gaussian.distances(studies).max()


def test_features_that_a_network_has_lost_do_no_harm() -> None:
    dead = features(40)
    dead[:, 3:] = 0.25
    reference = fit_reference(dead, dead[:20])
    assert reference is not None
    assert np.isfinite(reference.gaussian.distances(dead)).all()


def test_a_study_is_the_mean_of_its_clips_and_is_told_in_words() -> None:
    reference = fitted()
    clips = features(3, seed=4).astype(np.float32)
    assert study_features(clips) == pytest.approx(clips.mean(axis=0))
    (near,), distance = check_features(reference, clips)
    assert distance == Distance(near.value or 0, reference.threshold, 60 / 61, 60)
    assert (near.verdict, near.warns) == ("fits", False)
    (far,), _ = check_features(reference, clips + np.float32(40))
    assert far.verdict == "doubtful"
    assert far.sentence.startswith("this study looks to the network unlike those it was trained on: ")
    assert far.sentence.endswith(
        f"while all 60 validation studies lie within {reference.threshold:.2f}; "
        "of studies like those about 1 in 61 is called so in vain"
    )


def test_it_is_said_how_many_studies_lie_beyond_and_how_often_it_warns_in_vain() -> None:
    """The 98th percentile of 199 is the 196th; of fewer than 99 it is the largest: no percentile is told."""
    told = {studies: fitted(held_out=studies) for studies in (98, 99, 199)}
    assert [each.within for each in told.values()] == [
        "all 98 validation studies",
        "all but 1 of the 99 validation studies",
        "all but 3 of the 199 validation studies",
    ]
    assert [each.in_vain.split(" about ")[1].split(" is ")[0] for each in told.values()] == [
        "1 in 99", "1 in 50", "1 in 50",
    ]  # fmt: skip
    folded = fit_reference_crosswise(features(50))
    assert folded is not None
    assert FeatureReference.from_bytes(folded.to_bytes()).within == "all 50 training studies"
    assert folded.in_vain.endswith("in vain, as far as studies that the network learned from can show")


def test_where_it_is_not_known_that_is_said_and_warns_of_nothing() -> None:
    for reference, clips, why in (
        (None, features(3).astype(np.float32), "were not kept with this version"),
        (fitted(), None, "coarse to fine"),
        (LostReference("the version's file typicality-0a is missing"), features(3).astype(np.float32), "0a"),
    ):
        (check,), distance = check_features(reference, clips)
        assert distance is None
        assert (check.verdict, check.warns) == ("unknown", False)
        assert why in check.sentence


def test_what_was_written_is_read_again_and_nothing_else_is(tmp_path: Path) -> None:
    reference = fitted()
    path = tmp_path / reference_file(reference.sha256)
    path.write_bytes(reference.to_bytes())
    again = FeatureReference.read(tmp_path, reference.sha256)
    assert again is not None
    assert again.to_bytes() == reference.to_bytes()
    assert FeatureReference.read(tmp_path, "") is None
    path.write_bytes(reference.to_bytes()[:-1] + b"x")
    with pytest.raises(ChecksumError, match="vpt versions check-evidence"):
        FeatureReference.read(tmp_path, reference.sha256)
    other = hashlib.sha256(b"no safetensors").hexdigest()
    (tmp_path / reference_file(other)).write_bytes(b"no safetensors")
    with pytest.raises(WeightsError, match="cannot be read"):
        FeatureReference.read(tmp_path, other)
    with pytest.raises(ModelCardError, match="is no SHA-256"):
        FeatureReference.read(tmp_path, "../../" + other)
    path.unlink()
    with pytest.raises(WeightsNotFoundError, match="is not there"):
        FeatureReference.read(tmp_path, reference.sha256)
