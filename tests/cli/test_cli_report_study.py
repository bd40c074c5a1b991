"""``vpt report``: from a study to a file and to a real archive."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from orthanc_process import OrthancProcess
from typer.testing import CliRunner, Result

from vpt_plugin.cli import app
from vpt_plugin.ct.volume import Provenance, Volume
from vpt_plugin.data.phantom import write_dicom

SERIES = "1.2.826.0.1.77"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A DICOM series of 20 slices of 32 x 32 noisy pixels."""
    hu = np.random.default_rng(0).normal(-700, 150, (20, 32, 32)).astype(np.int16)
    hu[:, 8:24, 8:24] += 600
    provenance = Provenance("dicom", series_uid=SERIES, patient_id="p01")
    direction = np.eye(3)[:, ::-1].copy()
    write_dicom(
        Volume(hu, (3.0, 10.0, 10.0), (0.0, 0.0, 0.0), direction, "made up", provenance), tmp_path / "ct"
    )
    return tmp_path / "ct"


@pytest.fixture
def vpt(models_dir: Path) -> Callable[..., Result]:
    def run(*arguments: object) -> Result:
        common = ["--task", "nodule", "--model", "tiny", "--models-dir", models_dir, "--unsuitable", "warn"]
        return CliRunner().invoke(app, [str(each) for each in ("report", *arguments, *common)])

    return run


def test_a_report_is_written_to_a_file(vpt: Callable[..., Result], study: Path, tmp_path: Path) -> None:
    result = vpt(study, "-o", tmp_path / "report.dcm")
    assert result.exit_code == 0, result.output
    report = pydicom.dcmread(tmp_path / "report.dcm")
    assert (report.Modality, report.PatientID) == ("SR", "p01")
    assert f"report.dcm: report {report.SOPInstanceUID}" in result.stdout
    assert "not a medical device" in result.stdout
    assert re.match(r"lung_nodule 0\.\d{3}, (present|absent); the study: ", result.stdout)
    # Whatever is fastest here: the same answer on every computer is the same report.
    assert b"in float32 precision" in (tmp_path / "report.dcm").read_bytes()


def test_a_file_that_is_there_is_never_replaced(vpt: Callable[..., Result], study: Path) -> None:
    slice_ = sorted(study.iterdir())[0]
    before = slice_.read_bytes()
    result = vpt(study, "-o", slice_)
    assert (result.exit_code, "is there already" in result.stderr) == (2, True)
    assert slice_.read_bytes() == before


def test_a_report_on_a_study_of_an_archive_goes_back_to_it_once(
    vpt: Callable[..., Result], study: Path, new_orthanc: Callable[..., OrthancProcess], tmp_path: Path
) -> None:
    orthanc = new_orthanc()
    orthanc.send(study)
    try:
        asked = (SERIES, "--studies", orthanc.url, "--send", orthanc.url)
        files = [tmp_path / name for name in ("first.dcm", "second.dcm")]
        results = [vpt(*asked, "-o", file) for file in files]
        # Made at another time, the second is a copy of what the archive has.
        assert pydicom.dcmread(files[0]) == pydicom.dcmread(files[1])
        assert [each.exit_code for each in results] == [0, 0], results[0].output
        assert "(stored and read back)" in results[0].stdout
        assert "(lay there before, nothing was sent)" in results[1].stdout
        modalities = [
            each["MainDicomTags"]["Modality"]
            for each in orthanc.http.get(f"{orthanc.rest_url}/series?expand").json()
        ]
        assert sorted(modalities) == ["CT", "SR"]
    finally:
        orthanc.stop(at_once=True)


def test_what_cannot_be_done_is_refused_before_anything_is_computed(
    vpt: Callable[..., Result], study: Path, write_study: Callable[[Path], Path], tmp_path: Path
) -> None:
    nowhere = vpt(study)
    assert (nowhere.exit_code, "give a file with -o" in nowhere.stderr) == (2, True)
    address = vpt(study, "--send", "pacs.lan")
    assert (address.exit_code, "--send pacs.lan" in address.stderr) == (2, True)
    rate = vpt(study, "-o", tmp_path / "report.dcm", "--error-rate", "1.19e-33")
    assert (rate.exit_code, "at least 0.001" in rate.stderr) == (2, True)
    # Before the study is looked for, and so before it is answered.
    nowhere = vpt(tmp_path / "no study", "-o", tmp_path / "no folder" / "report.dcm")
    assert (nowhere.exit_code, "report.dcm cannot be written" in nowhere.stderr) == (2, True)
    rates = vpt(tmp_path / "no study", "-o", tmp_path / "report.dcm", "--error-rate", 2)
    assert (rates.exit_code, "the error rate 2" in rates.stderr) == (2, True)
    nifti = vpt(write_study(tmp_path / "ct.nii.gz"), "-o", tmp_path / "report.dcm")
    assert (nifti.exit_code, "no DICOM instances" in " ".join(nifti.stderr.split())) == (1, True)
    assert not (tmp_path / "report.dcm").exists()
