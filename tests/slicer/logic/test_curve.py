"""The probability along z, from clips that overlap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from VPTCTLib.contract.result import ClipResult, FindingResult
from VPTCTLib.logic.curve import Curve, SliceAxis, curve_of, positive_ranges
from VPTCTLib.logic.profile import profile_of

from vpt_plugin.ct.aggregation import key_slice, slice_evidence
from vpt_plugin.ct.clips import clip_starts


def clip(first: int, last: int, probability: float, *, step_mm: float = 2.5) -> ClipResult:
    """A clip of a study whose lowest slice is at -100 mm."""
    return ClipResult(first, last, (-100 + first * step_mm, -100 + last * step_mm), probability)


def curve(*values: float) -> Curve:
    """One slice a millimetre, from z = 0."""
    return Curve(SliceAxis(0.0, 1.0, len(values)), values)


def test_where_clips_overlap_the_curve_is_their_mean() -> None:
    made = curve_of([clip(0, 3, 0.2), clip(2, 5, 0.6)])
    assert made.values == pytest.approx((0.2, 0.2, 0.4, 0.4, 0.6, 0.6))
    assert made.axis == SliceAxis(-100.0, 2.5, 6)
    assert made.stairs() == (
        (-101.25, -96.25, pytest.approx(0.2)),
        (-96.25, -91.25, pytest.approx(0.4)),
        (-91.25, -86.25, pytest.approx(0.6)),
    )
    assert made.at(-94.0) == pytest.approx(0.4)


def test_of_a_network_of_single_slices_the_curve_is_what_each_slice_got() -> None:
    said = (0.1, 0.9, 0.8, 0.2, 0.7)
    clips = [clip(number, number, probability) for number, probability in enumerate(said)]
    made = curve_of(clips)
    assert made.values == pytest.approx(said)
    assert made.axis == SliceAxis(-100.0, 2.5, 5)
    # From the centre of the lowest slice to that of the highest; one slice alone begins where it ends.
    assert positive_ranges(clips, 0.5) == ((-97.5, -95.0), (-90.0, -90.0))
    assert made.peaks() == (-97.5, -90.0)


def test_clips_may_come_in_any_order_and_a_study_may_have_one_slice() -> None:
    clips = [clip(2, 5, 0.6), clip(0, 3, 0.2)]
    assert curve_of(clips) == curve_of(clips[::-1])
    alone = curve_of([clip(0, 0, 0.7)])
    assert (alone.values, alone.axis.low_mm, alone.axis.high_mm) == ((0.7,), -100.5, -99.5)


@given(
    slices=st.integers(1, 90),
    length=st.integers(1, 40),
    stride=st.integers(1, 40),
    probabilities=st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), min_size=90, max_size=90),
)
def test_it_is_the_curve_that_the_server_takes_the_key_slice_from(
    slices: int, length: int, stride: int, probabilities: list[float]
) -> None:
    starts = clip_starts(slices, length=length, stride=min(stride, length))
    clips = [
        clip(start, min(start + length, slices) - 1, probability)
        for start, probability in zip(starts, probabilities, strict=False)
    ]
    evidence = slice_evidence(
        np.array([each.probability for each in clips]), starts, length=length, slices=slices
    )
    made = curve_of(clips)
    assert made.values == pytest.approx(evidence.tolist(), abs=1e-9)
    key_mm = made.axis.z_of(key_slice(evidence))
    assert min(abs(key_mm - peak) for peak in made.peaks()) < 1e-6


def test_hills_are_told_from_ripples_and_the_flat_top_by_its_middle() -> None:
    # A hill of 0.5, a ripple of 0.01, a flat top of 0.9 over three slices, a last rise of 0.3.
    made = curve(0.1, 0.5, 0.1, 0.11, 0.1, 0.9, 0.9, 0.9, 0.2, 0.5)
    assert made.peaks() == (1.0, 6.0, 9.0)


def test_a_curve_without_hills_has_the_one_peak_that_is_its_middle() -> None:
    assert curve(0.3, 0.3, 0.3, 0.3, 0.3).peaks() == (2.0,)


def test_two_hills_on_one_shoulder_are_each_a_peak_only_if_the_valley_is_deep() -> None:
    assert curve(0.1, 0.8, 0.795, 0.81, 0.1).peaks() == (3.0,)
    assert curve(0.1, 0.8, 0.5, 0.81, 0.1).peaks() == (1.0, 3.0)


def test_clips_at_or_above_the_threshold_make_ranges_joined_where_they_touch() -> None:
    clips = [clip(0, 3, 0.9), clip(4, 7, 0.4), clip(8, 11, 0.2), clip(12, 15, 0.5), clip(14, 17, 0.4)]
    assert positive_ranges(clips, 0.4) == ((-100.0, -82.5), (-70.0, -57.5))
    assert positive_ranges(clips, 0.95) == ()


@given(
    z=st.floats(-1e4, 1e4), first=st.floats(-1e3, 1e3), step=st.floats(0.1, 10), slices=st.integers(1, 900)
)
def test_the_nearest_slice_is_never_further_than_half_a_step_within_the_study(
    z: float, first: float, step: float, slices: int
) -> None:
    axis = SliceAxis(first, step, slices)
    assert 0 <= axis.slice_of(z) < slices
    if axis.low_mm <= z <= axis.high_mm:
        assert abs(axis.snap(z) - z) <= step / 2 + 1e-6
    for index in {0, slices // 2, slices - 1}:
        assert axis.slice_of(axis.z_of(index)) == index


def test_a_profile_without_an_answer_has_the_marks_and_nothing_else() -> None:
    axis = SliceAxis(-100.0, 2.5, 6)
    profile = profile_of(axis, None, [(-95.0, -90.0)])
    assert (profile.ranges, profile.curve, profile.found, profile.peaks) == (((-95.0, -90.0),), None, (), ())


def test_a_profile_without_a_threshold_finds_no_range_but_has_a_curve() -> None:
    clips = (clip(0, 3, 0.9), clip(2, 5, 0.1))
    answer = FindingResult("lung_nodule", 0.9, None, None, -97.5, clips)
    profile = profile_of(SliceAxis(-100.0, 2.5, 6), answer, [])
    assert (profile.found, profile.key_slice_mm, profile.peaks) == ((), -97.5, (-97.5,))
