"""One study, stored in any axis order, direction and format, is one and the same Volume."""

from __future__ import annotations

import tempfile
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.volume import Volume

# Columns: slices to the head, rows to the back, columns to the left.
AXIAL = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])

orders = st.sampled_from(list(permutations((0, 1, 2))))
flips = st.tuples(st.booleans(), st.booleans(), st.booleans())
millimetres = st.floats(0.5, 5).map(lambda mm: round(mm, 4))
shapes = st.tuples(st.integers(3, 6), st.integers(4, 7), st.integers(4, 7))
# Oblique by less than 20 degrees about each axis: farther, the nearest axis may be another one.
obliques = st.tuples(*[st.floats(-20, 20).map(lambda degrees: round(degrees, 2))] * 3)


def turned(degrees):
    rotation = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = [(1, 2), (0, 2), (0, 1)][axis]
        step = np.eye(3)
        step[i, i] = step[j, j] = np.cos(angle)
        step[i, j], step[j, i] = -np.sin(angle), np.sin(angle)
        rotation = step @ rotation
    return rotation @ AXIAL


def stored_otherwise(volume: Volume, order, flip):
    """The same voxels at the same places, with the axes in another order and some of them reversed."""
    hu = volume.hu.transpose(order)
    direction = volume.direction[:, order].copy()
    spacing = np.array(volume.spacing_mm)[list(order)]
    origin = np.array(volume.origin_mm)
    for axis, reverse in enumerate(flip):
        if reverse:
            origin = origin + direction[:, axis] * spacing[axis] * (hu.shape[axis] - 1)
            direction[:, axis] *= -1
            hu = np.flip(hu, axis)
    return np.ascontiguousarray(hu), tuple(spacing), tuple(origin), direction


def write_image(file, hu, spacing, origin, direction):
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing([float(mm) for mm in reversed(spacing)])
    image.SetOrigin([float(mm) for mm in origin])
    image.SetDirection(direction[:, ::-1].flatten().tolist())
    sitk.WriteImage(image, str(file), file.name.endswith("gz"))


def same(read: Volume, expected: Volume) -> None:
    np.testing.assert_array_equal(read.hu, expected.hu)
    np.testing.assert_allclose(read.spacing_mm, expected.spacing_mm, atol=1e-3)
    np.testing.assert_allclose(read.slice_z_mm, expected.slice_z_mm, atol=1e-3)
    np.testing.assert_allclose(read.origin_mm, expected.origin_mm, atol=1e-3)
    np.testing.assert_allclose(read.direction, expected.direction, atol=1e-4)


def expected_volume(chest_hu, shape, spacing, degrees=(0, 0, 0)):
    return Volume(chest_hu(shape), spacing, (-150.25, 30.5, -412.75), turned(degrees), "study")


@given(shape=shapes, spacing=st.tuples(*[millimetres] * 3), degrees=obliques, order=orders, flip=flips)
@example((4, 5, 6), (2.5, 0.7, 0.7), (0, 0, 0), (0, 1, 2), (True, False, False))
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("name", ["study.nii", "study.nii.gz", "study.nrrd", "study.mha", "study.mhd"])
def test_any_axis_order_and_direction_of_a_file_gives_the_same_volume(
    chest_hu, name, shape, spacing, degrees, order, flip
):
    expected = expected_volume(chest_hu, shape, spacing, degrees)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        write_image(file, *stored_otherwise(expected, order, flip))
        same(read_study(file), expected)


@given(shape=shapes, spacing=st.tuples(*[millimetres] * 3), degrees=obliques, order=orders, flip=flips)
@settings(max_examples=60, deadline=None)
def test_any_plane_and_order_of_a_dicom_series_gives_the_same_volume(
    chest_hu, write_series, shape, spacing, degrees, order, flip
):
    expected = expected_volume(chest_hu, shape, spacing, degrees)
    hu, stored_spacing, origin, direction = stored_otherwise(expected, order, flip)
    with tempfile.TemporaryDirectory() as folder:
        write_series(Path(folder), hu, spacing_mm=stored_spacing, origin_mm=origin, direction=direction)
        same(read_study(Path(folder)), expected)


def test_all_48_ways_to_store_an_axial_volume_are_one(tmp_path, chest_hu):
    expected = expected_volume(chest_hu, (3, 4, 5), (2.5, 0.8, 0.7))
    file = tmp_path / "study.nrrd"
    for order in permutations((0, 1, 2)):
        for flip in np.ndindex(2, 2, 2):
            write_image(file, *stored_otherwise(expected, order, flip))
            same(read_study(file), expected)


@pytest.fixture(scope="module")
def lidc(real_data, tmp_path_factory) -> Volume:
    """LIDC-IDRI-0001 as read from its zipped DICOM series."""
    return read_study(real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_dicom_133.zip", name="LIDC-IDRI-0001")


def test_a_real_study_is_read_from_its_zip(lidc):
    assert lidc.hu.shape == (133, 512, 512)
    assert lidc.spacing_mm == (2.5, 0.703125, 0.703125)
    assert lidc.slice_z_mm[[0, 56, 132]].tolist() == [-340, -200, -10]
    assert (lidc.hu.min(), lidc.hu.max()) == (-1024, 3071)
    assert lidc.provenance.patient_id == "LIDC-IDRI-0001"
    # The table is behind the patient (high rows), the spine too; the heart is to the left (high columns).
    middle = lidc.hu[66]
    assert (middle[380:] > -800).mean() > (middle[:100] > -800).mean()
    assert (middle[150:350, 256:] > 150).sum() > (middle[150:350, :256] > 150).sum()


@pytest.mark.parametrize(
    ("name", "order", "flip"),
    [
        ("study.nrrd", (0, 1, 2), (False, False, False)),
        ("study.nii", (0, 1, 2), (True, True, False)),
        ("study.mha", (1, 2, 0), (False, True, True)),
        ("study.nii.gz", (2, 1, 0), (True, False, True)),
    ],
)
def test_conversions_of_a_real_study_are_that_study(lidc, tmp_path, name, order, flip):
    file = tmp_path / name
    write_image(file, *stored_otherwise(lidc, order, flip))
    same(read_study(file), lidc)


def test_the_two_small_real_chests_are_hounsfield_units_and_are_read(real_data):
    volume = read_study(real_data / "chest-64" / "ct-64.nrrd")
    assert volume.hu.shape == (79, 64, 64)
    assert volume.spacing_mm == pytest.approx((3.987, 4.172, 4.172), abs=1e-3)
    assert np.median(volume.hu[volume.hu < -300]) < -700
    other = read_study(real_data / "chest-64" / "TestInput.nrrd")
    assert other.hu.shape == (50, 64, 64)
    assert (other.hu.min(), other.hu.max()) == (-1024, 3071)  # -1141 to 3362 as stored
