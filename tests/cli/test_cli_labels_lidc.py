"""``vpt labels import-lidc`` on small DICOM studies and on LIDC-IDRI-0001."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from typer.testing import CliRunner, Result

from vpt_plugin.cli import app
from vpt_plugin.store.labels import LabelFolder

WriteStudy = Callable[[Path], Path]


def vpt(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["labels", "import-lidc", *map(str, arguments)])


def words(text: str) -> str:
    return " ".join(text.split())


def write_series(folder: Path, series: str) -> None:
    """Six slices, 2 mm apart, with the SOPInstanceUIDs <series>.0 to <series>.5."""
    folder.mkdir(parents=True)
    for number in range(6):
        header = pydicom.Dataset()
        header.file_meta = pydicom.dataset.FileMetaDataset()
        header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        header.SOPClassUID = pydicom.uid.CTImageStorage
        header.SOPInstanceUID = f"{series}.{number}"
        header.Modality, header.SeriesInstanceUID, header.StudyInstanceUID = "CT", series, f"1.{series}"
        header.Rows = header.Columns = 4
        header.BitsAllocated = 16
        header.ImagePositionPatient, header.PixelSpacing = [0, 0, 2 * number], [1, 1]
        header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        header.is_little_endian, header.is_implicit_VR = True, False
        pydicom.dcmwrite(folder / f"{number}.dcm", header, write_like_original=False)


def write_xml(path: Path, series: str, slices: tuple[int, ...] = (2, 3), z_step_mm: float = 2.0) -> Path:
    rois = "".join(
        f"<roi><imageZposition>{z_step_mm * number}</imageZposition><imageSOP_UID>{series}.{number}"
        f"</imageSOP_UID><inclusion>TRUE</inclusion>{'<edgeMap/>' * 9}</roi>"
        for number in slices
    )
    session = f"<readingSession><unblindedReadNodule>{rois}</unblindedReadNodule></readingSession>"
    header = f"<ResponseHeader><SeriesInstanceUid>{series}</SeriesInstanceUid></ResponseHeader>"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'<LidcReadMessage xmlns="http://www.nih.gov">{header}{session * 4}</LidcReadMessage>')
    return path


@pytest.fixture
def studies(tmp_path: Path, write_study: WriteStudy) -> Path:
    """DICOM studies p1 and p2 of the series 1.1 and 1.2, and the file p3.nii."""
    write_series(tmp_path / "studies" / "p1", "1.1")
    write_series(tmp_path / "studies" / "p2", "1.2")
    write_study(tmp_path / "studies" / "p3.nii")
    return tmp_path / "studies"


def test_each_reading_finds_its_study_by_the_series(studies: Path, tmp_path: Path) -> None:
    write_xml(tmp_path / "xml" / "157.xml", "1.2", slices=(1, 2, 3))
    write_xml(tmp_path / "xml" / "deeper.XML", "1.1", slices=())
    (tmp_path / "xml" / "radiograph.xml").write_text("<IdriReadMessage/>")
    dry = vpt(studies, tmp_path / "xml", "--dry-run")
    assert (dry.exit_code, dry.stdout.splitlines()[0]) == (0, "2 labels would be added.")
    assert not (studies / "labels").exists()
    done = vpt(studies, tmp_path / "xml")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "p1 nodule version 1 p2 nodule version 1" in words(done.stdout)
    assert "Readings of chest radiographs, passed over: 1" in done.stdout
    labels = {saved.study: saved.label for saved in LabelFolder(studies / "labels").newest()}
    assert labels["p2"].findings["lung_nodule"].slices_mm == ((2.0, 6.0),)
    assert (labels["p2"].series_uid, labels["p2"].annotator) == ("1.2", "LIDC-IDRI")
    assert labels["p1"].findings["lung_nodule"].state == "absent"
    again = vpt(studies, tmp_path / "xml")
    assert again.stdout.startswith("0 labels added.\n2 labels are there already.\n")


def test_the_number_of_readers_is_an_option(studies: Path, tmp_path: Path) -> None:
    xml = write_xml(tmp_path / "1.xml", "1.1")
    result = vpt(studies, xml, "--readers", 5)
    assert result.exit_code == 1
    assert "holds 4 of the at least 5 readings wanted" in words(result.stdout)
    assert vpt(studies, xml, "--readers", 0).exit_code == 2
    assert vpt(studies, xml, "--readers", 4).exit_code == 0


def test_a_reading_whose_series_is_not_there_is_left_out_and_told(studies: Path, tmp_path: Path) -> None:
    here, elsewhere = write_xml(tmp_path / "1.xml", "1.1"), write_xml(tmp_path / "2.xml", "7.7")
    result = vpt(studies, here, elsewhere)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, "1 label added.")
    assert f"not there, or not whole: 1 {elsewhere}" in words(result.stdout)


def test_the_reading_of_another_series_alone_is_an_error(studies: Path, tmp_path: Path) -> None:
    result = vpt(studies, write_xml(tmp_path / "2.xml", "7.7"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "of the series 7.7, which none of the 3 studies in" in words(result.stderr)
    assert "a converted study has no UIDs" in words(result.stderr)


def test_a_series_without_a_marked_slice_is_left_out(studies: Path, tmp_path: Path) -> None:
    (studies / "p1" / "3.dcm").unlink()
    result = vpt(studies, write_xml(tmp_path / "1.xml", "1.1"))
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, "0 labels added.")
    assert "p1: " in result.stdout
    assert "1 of 2 marked slices are not in the series, the first 1.1.3" in words(result.stdout)


def test_one_damaged_reading_refuses_all(studies: Path, tmp_path: Path) -> None:
    write_xml(tmp_path / "xml" / "1.xml", "1.1")
    (tmp_path / "xml" / "2.xml").write_text("<LidcReadMessage>")
    result = vpt(studies, tmp_path / "xml")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {tmp_path / 'xml' / '2.xml'}: this is no XML")
    assert not (studies / "labels").exists()


def test_two_readings_of_one_series_must_say_the_same(studies: Path, tmp_path: Path) -> None:
    one = write_xml(tmp_path / "1.xml", "1.1")
    assert vpt(studies, one, write_xml(tmp_path / "copy.xml", "1.1")).stdout.startswith("1 label added.")
    result = vpt(studies, one, write_xml(tmp_path / "2.xml", "1.1", slices=(4,)))
    assert result.exit_code == 1
    assert "say different things of one series" in words(result.stderr)


def test_a_study_of_two_series_with_readings_is_told_to_be_taken_apart(studies: Path, tmp_path: Path) -> None:
    for file in (studies / "p2").iterdir():
        shutil.move(file, studies / "p1" / f"2-{file.name}")
    result = vpt(studies, write_xml(tmp_path / "1.xml", "1.1"), write_xml(tmp_path / "2.xml", "1.2"))
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, "0 labels added.")
    assert "p1: it holds 2 series with readings (1.1, 1.2)" in words(result.stdout)


def test_positions_that_differ_from_the_dicom_files_are_told(studies: Path, tmp_path: Path) -> None:
    result = vpt(studies, write_xml(tmp_path / "1.xml", "1.1", z_step_mm=-2.0))
    assert result.exit_code == 0
    assert "p1: 1.xml says that its slices lie up to 12.0 mm elsewhere" in words(result.stdout)
    (saved,) = LabelFolder(studies / "labels").newest()
    assert saved.label.findings["lung_nodule"].slices_mm == ((4.0, 6.0),)


def test_a_folder_of_labels_alone_and_a_folder_without_xml_are_told(studies: Path, tmp_path: Path) -> None:
    alone = tmp_path / "archive-labels"
    (alone / "final").mkdir(parents=True)
    result = vpt(alone, write_xml(tmp_path / "1.xml", "1.1"))
    assert result.exit_code == 2
    assert "which studies these labels are of is not known" in result.stderr
    assert f"{studies / 'p1'}: holds no XML" in vpt(studies, studies / "p1").stderr


def test_lidc_idri_0001_is_labelled_from_what_tcia_has(real_data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_dicom_133.zip") as archive:
        archive.extractall(tmp_path / "studies" / "LIDC-IDRI-0001")
    result = vpt(tmp_path / "studies", real_data / "lidc-idri-0001", "--labels", tmp_path / "labels")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "1 label added.")
    (saved,) = LabelFolder(tmp_path / "labels").newest()
    assert saved.label.findings["lung_nodule"].slices_mm == ((-125.0, -107.5),)
