"""What a report has to know of a study: whose it is, and which slice lies where."""

from __future__ import annotations

import warnings
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813  the name its documentation uses
from pydicom.dataset import Dataset
from report_bench import JAPANESE, PUBLIC, SERIES, SLICES, answer, write_series

from vpt_plugin.ct.reader import read_study
from vpt_plugin.dicom_report import read_source, report_of
from vpt_plugin.dicom_report.report import file_bytes
from vpt_plugin.errors import NotReportableError
from vpt_plugin.tasks import TASKS


def report_for(folder: Path) -> Dataset:
    report = report_of(answer(), read_source(folder), TASKS["nodule"])
    return pydicom.dcmread(BytesIO(file_bytes(report)))


def places(folder: Path) -> dict[str, float]:
    """Patient z of every slice by its UID, as its header says it."""
    headers = [pydicom.dcmread(path) for path in folder.iterdir()]
    return {str(each.SOPInstanceUID): float(each.ImagePositionPatient[2]) for each in headers}


@pytest.mark.parametrize("along_column", [[0, 1, 0], [0, -1, 0]], ids=["as usual", "upside down"])
def test_every_slice_is_where_its_header_says(along_column: list[int], tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", ImageOrientationPatient=[1, 0, 0, *along_column])
    source = read_source(folder)
    assert {each.instance_uid: each.z_mm for each in source.slices} == pytest.approx(places(folder))
    assert source.nearest(8.4) in source.between(8, 8)
    assert [each.z_mm for each in sorted(source.between(6, 12), key=lambda each: each.z_mm or 0)] == [
        6, 8, 10, 12,
    ]  # fmt: skip


def test_slices_of_a_sagittal_series_have_no_place_along_the_patient(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", ImageOrientationPatient=[0, 1, 0, 0, 0, 1])
    for number, path in enumerate(sorted(folder.iterdir())):
        slice_ = pydicom.dcmread(path)
        slice_.ImagePositionPatient = [2 * number, 0, 0]
        slice_.save_as(path)
    source = read_source(folder)
    assert {each.z_mm for each in source.slices} == {None}
    assert (source.nearest(8), source.between(-1e9, 1e9)) == (None, ())
    # It is reported all the same; all slices are what it was made from.
    evidence = report_for(folder).PertinentOtherEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert len(evidence.ReferencedSOPSequence) == SLICES


def test_names_in_any_letters_stay_as_they_are(tmp_path: Path) -> None:
    latin = write_series(tmp_path / "a", SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Ägidius")
    greek = write_series(tmp_path / "b", SpecificCharacterSet="ISO_IR 126", PatientName="Διονυσιος")
    kanji = write_series(
        tmp_path / "c",
        SpecificCharacterSet=["", "ISO 2022 IR 87"],
        PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
    )
    reports = [report_for(each) for each in (latin, greek, kanji)]
    assert [str(each.PatientName) for each in reports] == [
        "Müller^Ägidius",
        "Διονυσιος",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ]
    assert {each.SpecificCharacterSet for each in reports} == {"ISO_IR 192"}


def test_a_space_and_a_joiner_of_another_script_are_letters_of_a_name(tmp_path: Path) -> None:
    names = {"PatientName": "山田\u3000太郎", "PatientID": "علی\u200cرضا", "StudyDescription": "20\u00a0mm"}
    report = report_for(write_series(tmp_path / "ct", SpecificCharacterSet="ISO_IR 192", **names))
    assert {keyword: str(report[keyword].value) for keyword in names} == names
    assert report_for(write_series(tmp_path / "b", **JAPANESE)).PatientName == JAPANESE["PatientName"]


def test_control_characters_are_no_letters_of_a_name(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        # pydicom tells of what this test writes on purpose.
        warnings.simplefilter("ignore")
        folder = write_series(tmp_path / "ct", StudyDescription="thin\x07 slices\x7f ")
    assert report_for(folder).StudyDescription == "thin slices"


def test_how_who_it_is_was_taken_out_is_copied_value_by_value_and_code_by_code(tmp_path: Path) -> None:
    public = report_for(write_series(tmp_path / "ct", **PUBLIC))
    assert {keyword: public[keyword].value for keyword in PUBLIC} == PUBLIC
    report = report_for(write_series(tmp_path / "several", DeidentificationMethod=["CTP", "Profile A"]))
    assert list(report.DeidentificationMethod) == ["CTP", "Profile A"]


@pytest.mark.parametrize(
    ("zone", "told"),
    [("+0900", ("20261122", "083000", "+0900")), ("-0330", ("20261121", "200000", "-0330"))],
)
def test_the_time_of_the_report_is_told_in_the_studys_time_zone(
    zone: str, told: tuple[str, str, str], tmp_path: Path
) -> None:
    source = read_source(write_series(tmp_path / "ct", TimezoneOffsetFromUTC=zone))
    created = datetime(2026, 11, 21, 23, 30, tzinfo=timezone.utc)
    report = report_of(answer(), source, TASKS["nodule"], created=created)
    assert (report.ContentDate, report.ContentTime, report.TimezoneOffsetFromUTC) == told
    assert (report.SeriesDate, report.SeriesTime) == told[:2]


@pytest.mark.parametrize("zone", [{}, {"TimezoneOffsetFromUTC": "Japan"}], ids=["none", "no offset"])
def test_a_study_without_a_time_zone_is_reported_in_the_computers(
    zone: dict[str, str], tmp_path: Path
) -> None:
    source = read_source(write_series(tmp_path / "ct", **zone))
    noon = datetime(2026, 11, 21, 12, 0, 0)
    report = report_of(answer(), source, TASKS["nodule"], created=noon)
    assert report.ContentTime == "120000"
    assert report.TimezoneOffsetFromUTC == noon.astimezone().strftime("%z")


def test_a_missing_patient_stays_missing_and_odd_values_stay_odd(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        # pydicom tells of what this test writes on purpose.
        warnings.simplefilter("ignore")
        odd = {"PatientID": "x" * 80, "PatientSex": "W", "PatientBirthDate": "19701301", "StudyID": "n" * 20}
        folder = write_series(tmp_path / "odd", PatientName="", **odd)
    report = report_for(folder)
    assert {keyword: report[keyword].value for keyword in odd} == odd
    assert report.PatientName == ""
    nobody = write_series(tmp_path / "nobody")
    for path in nobody.iterdir():
        slice_ = pydicom.dcmread(path)
        del slice_.PatientID, slice_.PatientName
        slice_.save_as(path)
    report = report_for(nobody)
    assert (report.PatientID, report.PatientName, report.StudyInstanceUID) == (
        "", "", pydicom.dcmread(next(nobody.iterdir())).StudyInstanceUID,
    )  # fmt: skip


def test_a_makers_private_elements_are_not_ours_to_tell(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct")
    for path in folder.iterdir():
        slice_ = pydicom.dcmread(path)
        slice_.private_block(0x0009, "SOME MAKER", create=True).add_new(0x01, "LO", "p01 was here")
        slice_.save_as(path)
    assert not [each for each in report_for(folder).iterall() if each.tag.is_private]


def test_a_file_that_is_no_dicom_has_nothing_that_a_report_could_refer_to(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(read_study(write_series(tmp_path / "ct")).hu)
    sitk.WriteImage(image, str(tmp_path / "ct.nii.gz"))
    with pytest.raises(NotReportableError, match=r"ct\.nii\.gz: its format \(nifti\) has no DICOM instances"):
        read_source(tmp_path / "ct.nii.gz")


def test_hashes_in_place_of_uids_cannot_be_referred_to(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = write_series(tmp_path / "ct", SOPClassUID="3c9b1f0a", StudyInstanceUID="6897fa9de148")
    with pytest.raises(NotReportableError, match="'6897fa9de148' stands where a DICOM UID belongs"):
        read_source(folder)


def test_the_series_that_was_answered_for_is_the_one_that_is_reported(tmp_path: Path) -> None:
    write_series(tmp_path / "both" / "a")
    write_series(tmp_path / "both" / "b", SeriesInstanceUID="1.2.826.0.1.10")
    assert read_source(tmp_path / "both", series_uid="1.2.826.0.1.10").series_uid == "1.2.826.0.1.10"
    assert read_source(tmp_path / "both", series_uid=SERIES).series_uid == SERIES


def test_a_real_ct_packed_as_a_zip_file_is_known_slice_by_slice(real_data: Path) -> None:
    (packed,) = (real_data / "lidc-idri-0001").glob("*.zip")
    source = read_source(packed)
    assert (len(source.slices), source.slices[0].z_mm, source.slices[-1].z_mm) == (133, -340.0, -10.0)
    assert source.patient["PatientID"] == "LIDC-IDRI-0001"
    assert {each.class_uid for each in source.slices} == {"1.2.840.10008.5.1.4.1.1.2"}
