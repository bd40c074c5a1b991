"""DICOM folders as they come: which series is read, and which are refused with what words."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pydicom
import pytest

from vpt_plugin.ct.reader import read_study
from vpt_plugin.errors import (
    GeometryError,
    NotCTError,
    NotHounsfieldError,
    StudyNotFoundError,
    TooFewSlicesError,
    UnreadableStudyError,
)

DICOMDIR = b"\0" * 128 + b"DICM" + b"\x02\0\x02\0UI\x14\x001.2.840.10008.1.3.10"


def coronal_axes():
    """Slices follow each other to the back, rows run to the feet, columns to the left."""
    return np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def leaning_axes(degrees):
    """Slices lean by a tilt about the left-right axis, but follow each other straight along z."""
    angle = np.radians(degrees)
    return np.array([[0.0, 0.0, 1.0], [0.0, np.cos(angle), 0.0], [1.0, np.sin(angle), 0.0]])


def without(*names):
    def edit(dataset, _):
        for name in names:
            delattr(dataset, name)

    return edit


def with_values(**values):
    def edit(dataset, _):
        for name, value in values.items():
            setattr(dataset, name, value)

    return edit


def on_slice(wanted, **values):
    def edit(dataset, index):
        if index == wanted:
            for name, value in values.items():
                setattr(dataset, name, value)

    return edit


def test_a_series_is_read_in_the_order_of_its_positions_whatever_its_files_are_called(
    tmp_path, chest_hu, write_series
):
    hu = chest_hu()
    files = write_series(tmp_path, hu)
    for number, file in enumerate(reversed(files)):
        file.rename(tmp_path / f"IMG{number}")  # backwards, and without a suffix

    volume = read_study(tmp_path)

    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.spacing_mm == pytest.approx((2.5, 0.7, 0.7))
    assert volume.slice_z_mm == pytest.approx([-50, -47.5, -45, -42.5, -40, -37.5])
    assert volume.origin_mm == (-100, -120, -50)
    assert (volume.provenance.kind, volume.provenance.series_uid) == ("dicom", "1.2.3.4")
    assert volume.provenance.notes == ()


def test_padding_is_clamped_to_the_lowest_hu(tmp_path, chest_hu, write_series):
    hu = chest_hu()
    hu[:, :2] = -3024
    hu[:, 2] = 9000
    write_series(tmp_path, hu)
    volume = read_study(tmp_path)
    assert (volume.hu[:, :2] == -1024).all()
    assert (volume.hu[:, 2] == 3071).all()


def test_one_file_stands_for_its_whole_series_and_for_no_other(tmp_path, chest_hu, write_series):
    hu = chest_hu()
    files = write_series(tmp_path, hu)
    write_series(tmp_path, chest_hu((20, 8, 10), seed=1), series_uid="9.9", prefix="other")
    volume = read_study(files[3])
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.study == "003.dcm"
    assert volume.provenance.notes == (
        "Read series 1.2.3.4 (6 axial slices of 2.5 mm, 8 x 10): as asked for. "
        "Left out: 9.9 (20 axial slices of 2.5 mm, 8 x 10).",
    )


def test_a_dicomdir_stands_for_its_folder(tmp_path, chest_hu, write_series):
    hu = chest_hu()
    write_series(tmp_path / "IMAGES", hu)
    (tmp_path / "DICOMDIR").write_bytes(DICOMDIR)
    np.testing.assert_array_equal(read_study(tmp_path / "DICOMDIR").hu, hu)


def test_files_without_the_preamble_are_read(tmp_path, chest_hu, write_series):
    hu = chest_hu()
    for file in write_series(tmp_path, hu, syntax="1.2.840.10008.1.2"):
        whole = file.read_bytes()
        meta_bytes = pydicom.dcmread(file).file_meta
        start = whole.index(b"\x08\x00\x08\x00", 132 + len(meta_bytes))
        file.write_bytes(whole[start:])
    np.testing.assert_array_equal(read_study(tmp_path).hu, hu)


def test_rsna_files_with_hashed_uids_and_hardly_any_header_are_read(tmp_path, chest_hu, write_series):
    hu = chest_hu()

    def hash_uids(dataset, _):
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "9b1de0a1d4ea"
        dataset.SeriesInstanceUID = dataset.StudyInstanceUID = "0a9f4c2d1e77"
        del dataset.PatientID, dataset.ImageType, dataset.InstanceNumber

    write_series(tmp_path, hu, edit=hash_uids)
    volume = read_study(tmp_path)
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.spacing_mm == pytest.approx((2.5, 0.7, 0.7))


def test_a_mixed_nested_folder_gives_the_axial_series_with_most_slices_and_says_what_was_left_out(
    tmp_path, chest_hu, write_series
):
    hu = chest_hu((9, 8, 10))
    write_series(tmp_path / "a" / "thin", hu, series_uid="1.1")
    write_series(tmp_path / "a" / "thick", chest_hu((4, 8, 10)), series_uid="1.2")
    write_series(
        tmp_path / "b", chest_hu((20, 8, 10)), series_uid="1.3", direction=coronal_axes(), prefix="cor"
    )
    write_series(tmp_path / "b", hu[:1], series_uid="1.4", prefix="scout", edit=as_localizer)
    write_series(tmp_path, hu[:2], series_uid="1.5", edit=without("ImagePositionPatient"), prefix="screen")
    write_series(tmp_path, hu[:2], series_uid="1.6", edit=with_values(Modality="MR"), prefix="mr")
    write_series(tmp_path, hu[:2], series_uid="1.7", edit=as_report, prefix="dose")
    write_series(
        tmp_path,
        hu,
        series_uid="1.8",
        edit=with_values(ImageType=["DERIVED", "SECONDARY", "MIP"]),
        prefix="mip",
    )
    (tmp_path / "DICOMDIR").write_bytes(DICOMDIR)
    (tmp_path / "readme.txt").write_text("for the reader")
    (tmp_path / ".complete").touch()

    volume = read_study(tmp_path)

    np.testing.assert_array_equal(volume.hu, hu)
    chosen, left_out = volume.provenance.notes
    assert chosen.startswith("Read series 1.1 (9 axial slices of 2.5 mm, 8 x 10): axial first, then most")
    assert "Left out: 1.2 (4 axial" in chosen
    assert "1.3 (20 coronal" in chosen
    for each in (
        "localizers (1)",
        "secondary captures and other images without a place in the patient (2)",
        "images of other modalities [MR, SR] (4)",
        "intensity projections (9)",
        "files that are not DICOM images (3)",
    ):
        assert each in left_out


def as_localizer(dataset, _):
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def as_report(dataset, _):
    dataset.Modality = "SR"
    del dataset.PixelData, dataset.Rows, dataset.Columns


def test_of_series_with_as_many_slices_the_thinnest_is_read_then_the_smallest_uid(
    tmp_path, chest_hu, write_series
):
    for uid, thickness_mm in (("1.9", 1.25), ("1.2", 5.0), ("1.3", 1.25)):
        write_series(tmp_path / uid, chest_hu(), series_uid=uid, spacing_mm=(thickness_mm, 0.7, 0.7))
    assert read_study(tmp_path).provenance.series_uid == "1.3"


def test_the_series_can_be_named(tmp_path, chest_hu, write_series):
    few = chest_hu((4, 8, 10), seed=2)
    write_series(tmp_path / "many", chest_hu(), series_uid="1.1")
    write_series(tmp_path / "few", few, series_uid="1.2")
    np.testing.assert_array_equal(read_study(tmp_path, series_uid="1.2").hu, few)
    with pytest.raises(UnreadableStudyError, match=r"holds no CT series 7\. It holds 1\.1, 1\.2\."):
        read_study(tmp_path, series_uid="7")


def test_a_coronal_series_is_turned_into_axial_slices_where_there_is_no_axial_one(
    tmp_path, chest_hu, write_series
):
    stored = chest_hu((7, 9, 10))
    write_series(tmp_path, stored, direction=coronal_axes())
    volume = read_study(tmp_path)
    # Stored (to the back, to the feet, to the left) is wanted as (to the head, to the back, to the left).
    np.testing.assert_array_equal(volume.hu, np.flip(stored, axis=1).transpose(1, 0, 2))
    assert volume.spacing_mm == pytest.approx((0.7, 2.5, 0.7))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_in_the_folder_is_not_waited_for(tmp_path, chest_hu, write_series):
    write_series(tmp_path, chest_hu())
    os.mkfifo(tmp_path / "pipe")
    assert read_study(tmp_path).slices == 6


def test_an_image_of_another_size_in_the_series_is_left_out_and_said(tmp_path, chest_hu, write_series):
    hu = chest_hu()
    write_series(tmp_path, hu)
    write_series(tmp_path, chest_hu((1, 16, 16)), origin_mm=(0, 0, 100), prefix="odd")
    volume = read_study(tmp_path)
    np.testing.assert_array_equal(volume.hu, hu)
    assert "1.2.3.4 (1 axial slices of 2.5 mm, 16 x 16)" in volume.provenance.notes[0]


# Refusals: what is wrong with the slices' places.


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        ([4], r"chest: 1 slice is missing: 1 after z = -42\.5 mm \(slice spacing 2\.50 mm\)\. .*export"),
        (
            [2, 3, 7],
            r"chest: 3 slices are missing: 2 after z = -47\.5 mm, 1 after z = -35\.0 mm",
        ),
    ],
)
def test_missing_slices_are_refused_with_their_place(tmp_path, chest_hu, write_series, absent, message):
    files = write_series(tmp_path / "chest", chest_hu((12, 8, 10)))
    for index in absent:
        files[index].unlink()
    with pytest.raises(GeometryError, match=message):
        read_study(tmp_path / "chest")


def test_a_slice_that_is_there_twice_is_refused_with_both_files(tmp_path, chest_hu, write_series):
    files = write_series(tmp_path, chest_hu())
    shutil.copy(files[2], tmp_path / "copy.dcm")
    with pytest.raises(
        GeometryError,
        match=r"1 slice position is there twice, the first at z = -45\.0 mm \((002|copy)\.dcm and",
    ):
        read_study(tmp_path)


def test_two_phases_in_one_series_are_refused(tmp_path, chest_hu, write_series):
    write_series(tmp_path, chest_hu())
    write_series(tmp_path, chest_hu(seed=5), prefix="late")
    with pytest.raises(GeometryError, match=r"6 slice positions are there twice.*phases"):
        read_study(tmp_path)


def test_unevenly_spaced_slices_are_refused_with_the_spacings_found(tmp_path, chest_hu, write_series):
    write_series(
        tmp_path, chest_hu(), edit=on_slice(3, ImagePositionPatient=["-100", "-120", "-41.5"])
    )  # 1 mm off
    with pytest.raises(
        GeometryError, match=r"unevenly spaced: 1\.50 to 3\.50 mm apart, first at z = -45\.0 mm"
    ):
        read_study(tmp_path)


def test_a_spacing_that_is_off_by_less_than_a_tenth_is_read(tmp_path, chest_hu, write_series):
    write_series(tmp_path, chest_hu(), edit=on_slice(3, ImagePositionPatient=["-100", "-120", "-42.3"]))
    assert read_study(tmp_path).spacing_mm[0] == pytest.approx(2.5)


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_read(tmp_path, chest_hu, write_series):
    def rounded(dataset, index):
        dataset.ImagePositionPatient = ["-100", "-120", f"{0.625 * index:.1f}"]

    write_series(tmp_path, chest_hu((30, 8, 10)), edit=rounded)
    assert read_study(tmp_path).spacing_mm[0] == pytest.approx(0.625, abs=0.005)


def test_a_spacing_that_creeps_is_refused(tmp_path, chest_hu, write_series):
    def creeping(dataset, index):
        z = 1.0 * index if index < 60 else 60 + 1.09 * (index - 60)
        dataset.ImagePositionPatient = ["0", "0", f"{z:.3f}"]

    write_series(tmp_path, chest_hu((120, 8, 10)), edit=creeping)
    with pytest.raises(GeometryError, match=r"the slice spacing changes along the study: .* 2\.\d mm beside"):
        read_study(tmp_path)


def test_a_gantry_tilt_is_refused_with_its_angle(tmp_path, chest_hu, write_series):
    write_series(tmp_path, chest_hu(), direction=leaning_axes(15))
    with pytest.raises(GeometryError, match=r"the gantry was tilted by 15\.0 degrees.*dcm2niix"):
        read_study(tmp_path)


def test_slices_shifted_sideways_are_refused(tmp_path, chest_hu, write_series):
    write_series(tmp_path, chest_hu(), edit=on_slice(3, ImagePositionPatient=["-97", "-120", "-42.5"]))
    with pytest.raises(GeometryError, match=r"shifted sideways against each other by up to 3\.0 mm"):
        read_study(tmp_path)


@pytest.mark.parametrize("name", ["Rows", "Columns"])
def test_slices_of_no_rows_or_columns_are_refused(tmp_path, chest_hu, write_series, name):
    write_series(tmp_path / "one", chest_hu(), edit=on_slice(2, **{name: 0}))
    with pytest.raises(UnreadableStudyError, match=r"002\.dcm is damaged or cut short"):
        read_study(tmp_path / "one")
    write_series(tmp_path / "all", chest_hu(), edit=with_values(**{name: 0}))
    with pytest.raises(UnreadableStudyError, match=r"only damaged DICOM files \(6\)"):
        read_study(tmp_path / "all")


def test_a_damaged_orientation_is_refused(tmp_path, chest_hu, write_series):
    write_series(tmp_path, chest_hu(), edit=with_values(ImageOrientationPatient=list("100100")))
    with pytest.raises(GeometryError, match=r"ImageOrientationPatient\) is no right angle"):
        read_study(tmp_path)


def test_two_slices_are_no_volume(tmp_path, chest_hu, write_series):
    write_series(tmp_path, chest_hu((2, 8, 10)))
    with pytest.raises(TooFewSlicesError, match="only 2 of the at least 3 slices"):
        read_study(tmp_path)


def test_a_single_file_without_its_series_is_no_volume(tmp_path, chest_hu, write_series):
    (file,) = write_series(tmp_path, chest_hu((1, 8, 10)))
    with pytest.raises(TooFewSlicesError, match=r"only 1 of .* folder that holds the whole series"):
        read_study(file)


# Refusals: what is no CT in Hounsfield units.


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (with_values(Modality="MR"), NotCTError, r"only images of other modalities \[MR\] \(6\)\. Give a CT"),
        (as_localizer, NotCTError, r"only localizers \(6\)\. Give the folder of the CT series itself"),
        (as_report, NotCTError, r"\[SR\] \(6\)"),
        (without("Rows", "PixelData"), UnreadableStudyError, r"CT objects without pixel data \(6\)"),
        (with_values(BitsAllocated=8), NotHounsfieldError, r"not in Hounsfield units \(8-bit, .*\) \(6\)"),
        (with_values(SamplesPerPixel=3), NotHounsfieldError, r"not in Hounsfield units \(8-bit, colour"),
        (with_values(RescaleType="MGML"), NotHounsfieldError, "material maps"),
        (with_values(NumberOfFrames=40), UnreadableStudyError, r"enhanced \(multi-frame\).*dcm2niix"),
        (without("ImagePositionPatient"), GeometryError, r"without a place .* with its geometry"),
        (with_values(PixelSpacing=["0", "0"]), GeometryError, "without a place in the patient"),
        (with_values(ImageType=["DERIVED", "SECONDARY", "MIP"]), NotCTError, "intensity projections"),
    ],
)  # fmt: skip
def test_what_is_no_ct_is_refused_with_what_it_is(tmp_path, chest_hu, write_series, edit, error, message):
    write_series(tmp_path / "study", chest_hu(), edit=edit)
    with pytest.raises(error, match="study: holds no CT slices, .*" + message):
        read_study(tmp_path / "study")


def test_stored_values_without_their_intercept_are_not_taken_for_hounsfield_units(
    tmp_path, chest_hu, write_series
):
    write_series(tmp_path, chest_hu(), signed=False, edit=without("RescaleIntercept", "RescaleSlope"))
    with pytest.raises(NotHounsfieldError, match=r"from 0 to 3071 with next to no lung or air.*rescale"):
        read_study(tmp_path)


def test_cts_of_two_patients_in_one_folder_are_refused(tmp_path, chest_hu, write_series):
    write_series(tmp_path / "one", chest_hu(), series_uid="1.1")
    write_series(tmp_path / "two", chest_hu(), series_uid="1.2", edit=with_values(PatientID="someone else"))
    with pytest.raises(UnreadableStudyError, match="holds CTs of 2 patients") as refusal:
        read_study(tmp_path)
    assert "someone" not in str(refusal.value)
    assert read_study(tmp_path, series_uid="1.2").provenance.patient_id == "someone else"


def test_an_empty_folder_a_folder_of_junk_and_a_wrong_path_are_told_apart(tmp_path):
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    with pytest.raises(UnreadableStudyError, match="empty: the folder holds no files"):
        read_study(tmp_path / "empty")
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "a.dcm").write_bytes(b"no DICOM at all" * 100)
    with pytest.raises(UnreadableStudyError, match=r"only files that are not DICOM images \(1\)"):
        read_study(tmp_path / "junk")
    with pytest.raises(UnreadableStudyError, match=r"a\.dcm: holds no CT slices, only files that are not"):
        read_study(tmp_path / "junk" / "a.dcm")
    with pytest.raises(StudyNotFoundError, match=r"nowhere: there is no .*nowhere"):
        read_study(tmp_path / "nowhere")


def test_messages_use_the_name_that_the_caller_gives(tmp_path):
    with pytest.raises(UnreadableStudyError, match="Patient 7: the folder holds no files"):
        read_study(tmp_path, name="Patient 7")
