"""Clips cover the study, and labels in mm become labels of clips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.ct.clips import clip_labels, clip_starts, positive_slices


def test_the_last_slices_are_covered():
    assert clip_starts(50, length=24, stride=24) == [0, 24, 26]


def test_clips_that_fit_are_not_doubled():
    assert clip_starts(64, length=32, stride=32) == [0, 32]
    assert clip_starts(80, length=32, stride=24) == [0, 24, 48]


def test_a_study_no_longer_than_a_clip_is_one_clip():
    assert clip_starts(32, length=32, stride=24) == [0]
    assert clip_starts(5, length=32, stride=24) == [0]


@given(slices=st.integers(1, 1500), length=st.integers(1, 80), data=st.data())
def test_every_slice_is_in_a_clip_and_no_clip_reaches_beyond_a_study_that_is_longer(slices, length, data):
    stride = data.draw(st.integers(1, length))
    starts = clip_starts(slices, length=length, stride=stride)
    covered = {index for start in starts for index in range(start, start + length)}
    assert covered >= set(range(slices))
    assert len(set(starts)) == len(starts)
    assert starts == sorted(starts)
    assert max(covered) == max(slices, length) - 1
    assert np.all(np.diff(starts) <= stride)


@pytest.mark.parametrize("numbers", [(0, 32, 24), (50, 0, 1), (50, 32, 0), (50, 24, 25)])
def test_numbers_that_would_skip_slices_are_refused(numbers):
    slices, length, stride = numbers
    with pytest.raises(
        ValueError, match=f"cannot cut {slices} slices into clips of {length} with stride {stride}"
    ):
        clip_starts(slices, length=length, stride=stride)


def test_a_clip_is_positive_from_four_positive_slices():
    positive = np.zeros(12, dtype=bool)
    positive[3:8] = True  # slices 3 to 7
    labels = clip_labels(positive, [0, 2, 4], length=8, min_positive_slices=4)
    assert labels.tolist() == [True, True, True]
    assert clip_labels(positive, [0, 2, 4], length=6, min_positive_slices=4).tolist() == [False, True, True]
    assert clip_labels(positive, [6], length=8, min_positive_slices=4).tolist() == [False]


@given(
    positive=st.lists(st.booleans(), min_size=1, max_size=60),
    starts=st.lists(st.integers(0, 70), max_size=20),
    length=st.integers(1, 40),
    least=st.integers(1, 8),
)
def test_a_clip_is_positive_when_so_many_of_the_slices_it_sees_are(positive, starts, length, least):
    labels = clip_labels(np.array(positive), starts, length=length, min_positive_slices=least)
    assert labels.dtype == np.bool_
    assert labels.tolist() == [sum(positive[start : start + length]) >= least for start in starts]


def test_slices_whose_centre_is_in_a_range_are_positive_ends_included():
    z_mm = np.array([-10.0, -7.5, -5.0, -2.5, 0.0])
    assert positive_slices(z_mm, [(-7.5, -5.0)]).tolist() == [False, True, True, False, False]
    assert positive_slices(z_mm, [(-7.4, -5.1), (0, 9)]).tolist() == [False, False, False, False, True]
    assert positive_slices(z_mm, [(-7.495, -5.1)]).tolist() == [False, True, False, False, False]  # 0.01 mm
    assert not positive_slices(z_mm, []).any()
