"""A study reduced while it is read is the study read whole and then reduced."""

from __future__ import annotations

import shutil
import tempfile
import tracemalloc
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vpt_plugin.ct.intensity import _window_table, prepare_slices, window_hu
from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.reduced import ReducedStudy, read_reduced, reduce_volume
from vpt_plugin.ct.statistics import _Levels
from vpt_plugin.errors import StudyError
from vpt_plugin.tasks import TASKS, HUWindow

# Columns: slices to the head, rows to the back, columns to the left.
AXIAL = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])


def same(one: ReducedStudy, other: ReducedStudy) -> None:
    np.testing.assert_array_equal(one.hu, other.hu)
    np.testing.assert_array_equal(one.slice_z_mm, other.slice_z_mm)
    assert (one.facts, one.study, one.provenance) == (other.facts, other.study, other.provenance)


@given(
    shape=st.tuples(*[st.integers(3, 9)] * 3),
    spacing=st.tuples(*[st.sampled_from([0.5, 0.7, 1.0, 2.5])] * 3),
    order=st.sampled_from(list(permutations((0, 1, 2)))),
    signs=st.tuples(*[st.sampled_from([1, -1])] * 3),
    pixels=st.integers(2, 12),
)
@example((5, 8, 8), (2.5, 0.7, 0.7), (0, 1, 2), (-1, -1, 1), 4)
@example((5, 8, 6), (2.5, 0.7, 0.7), (0, 2, 1), (1, 1, -1), 4)
@settings(max_examples=60, deadline=None)
def test_any_orientation_is_reduced_to_the_same(chest_hu, write_series, shape, spacing, order, signs, pixels):
    direction = AXIAL[:, order] * signs
    if np.linalg.det(direction) > 0:  # a series of DICOM is of one hand only
        direction[:, 0] *= -1
    with tempfile.TemporaryDirectory() as folder:
        write_series(Path(folder), chest_hu(shape), spacing_mm=spacing, direction=direction)
        same(
            read_reduced(Path(folder), pixels=pixels),
            reduce_volume(read_study(Path(folder)), pixels=pixels),
        )


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_its_hu_window_is_what_the_networks_took_before(tmp_path, chest_hu, write_series, task):
    write_series(tmp_path, chest_hu((4, 40, 30)))
    expected = prepare_slices(read_study(tmp_path), task.hu_window, pixels=24)
    reduced = read_reduced(tmp_path, pixels=24)
    assert (reduced.slices, reduced.pixels) == (4, 24)
    np.testing.assert_array_equal(window_hu(reduced.hu, task.hu_window), expected)


@given(
    centre=st.integers(-1000, 1000) | st.floats(-1000, 1000),
    width=st.integers(1, 4096),
    columns=st.integers(1, 9),
)
@settings(max_examples=30, deadline=None)
def test_every_hu_has_its_level_in_any_window(centre, width, columns):
    hu = np.arange(-1024, 3072, dtype=np.int16)
    window = HUWindow(centre, width)
    expected = _window_table(window)[hu.view(np.uint16)]
    np.testing.assert_array_equal(window_hu(hu[None], window)[0], expected)
    few = hu[: len(hu) // columns * columns].reshape(-1, columns)
    np.testing.assert_array_equal(window_hu(few, window).ravel(), expected[: few.size])


def test_every_second_slice_of_another_make_is_read_by_pydicom_beside_the_others(
    tmp_path, chest_hu, write_series
):
    hu = chest_hu((6, 16, 16))
    for syntax, offset in (("1.2.840.10008.1.2.1", 0), ("1.2.840.10008.1.2.2", 1)):
        write_series(tmp_path / syntax, hu, syntax=syntax, prefix=str(offset))
        for index in range(1 - offset, 6, 2):
            (tmp_path / syntax / f"{offset}{index:03d}.dcm").unlink()
    np.testing.assert_array_equal(read_study(tmp_path).hu, hu)
    same(read_reduced(tmp_path, pixels=8), reduce_volume(read_study(tmp_path), pixels=8))


@pytest.mark.parametrize("damage", ["cut short", "grey values", "two slices", "no folder"])
def test_what_is_refused_is_refused_in_the_same_words(tmp_path, chest_hu, write_series, damage):
    study = tmp_path / "study"
    hu = np.full((5, 8, 8), 40, dtype=np.int16) if damage == "grey values" else chest_hu((5, 8, 8))
    if damage != "no folder":
        files = write_series(study, hu[:2] if damage == "two slices" else hu)
    if damage == "cut short":
        files[3].write_bytes(files[3].read_bytes()[:-20])
    with pytest.raises(StudyError) as whole:
        read_study(study)
    with pytest.raises(StudyError) as streamed:
        read_reduced(study, pixels=4)
    assert type(streamed.value) is type(whole.value)
    assert str(streamed.value) == str(whole.value)


def test_a_packed_folder_and_a_single_file_are_reduced_to_the_same(tmp_path, chest_hu, write_series):
    write_series(tmp_path / "study", chest_hu((5, 8, 8)))
    volume = read_study(tmp_path / "study")
    shutil.make_archive(str(tmp_path / "study"), "zip", tmp_path / "study")
    sitk.WriteImage(sitk.GetImageFromArray(volume.hu), str(tmp_path / "study.nii"))
    for name in ("study.zip", "study.nii"):
        path = tmp_path / name
        same(read_reduced(path, pixels=4), reduce_volume(read_study(path), pixels=4))
    np.testing.assert_array_equal(
        read_reduced(tmp_path / "study.zip", pixels=4).hu, reduce_volume(volume, pixels=4).hu
    )


def test_the_whole_volume_never_exists(tmp_path, chest_hu, write_series, monkeypatch):
    monkeypatch.setattr("vpt_plugin.ct.dicom._MAX_THREADS", 2)  # each has some slices in hand
    write_series(tmp_path, chest_hu((24, 512, 512)))
    volume_bytes = 24 * 512 * 512 * 2
    read_reduced(tmp_path, pixels=64)
    tracemalloc.start()
    try:
        reduced = read_reduced(tmp_path, pixels=64)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reduced.hu.nbytes == volume_bytes / 64
    assert most < volume_bytes / 2


@given(values=st.lists(st.integers(-1024, 3071), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_figures_from_counts_are_those_of_the_voxels(values):
    levels = _Levels(np.array(values, dtype=np.int16).reshape(1, 1, -1))
    hu = np.array([value for value in values if value > -1024], dtype=np.float64)
    if not hu.size:
        assert np.isnan(
            [levels.mean, levels.standard_deviation, levels.percentile(5), levels.share(0, 1)]
        ).all()
        return
    assert levels.mean == pytest.approx(hu.mean())
    assert levels.standard_deviation == pytest.approx(hu.std(), abs=1e-9)
    assert [levels.percentile(p) for p in (5, 50, 95)] == pytest.approx(np.percentile(hu, [5, 50, 95]))
    assert levels.share(-950, -600) == np.mean((hu >= -950) & (hu <= -600))
