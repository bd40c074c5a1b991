"""One real chest CT over HTTP, as DICOM, NRRD and NIfTI, flipped and permuted: one answer, one key slice."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import SimpleITK

from vpt_plugin.ct.archive import unpack
from vpt_plugin.ct.reader import read_study
from vpt_plugin.data.phantom import write_nifti


@pytest.fixture(scope="module")
def patient(real_data: Path, workshop) -> Iterator[Path]:
    """The folder of the patient among the server's studies; gone after these tests."""
    folder = workshop.studies / "patient"
    (folder / "dicom").mkdir(parents=True)
    unpack(real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_dicom_133.zip", folder / "dicom")
    write_nifti(read_study(folder / "dicom"), folder / "plain.nii")
    image = SimpleITK.ReadImage(str(folder / "plain.nii"))
    write(SimpleITK.Flip(image, (True, False, True)), folder / "flipped.nii")
    write(
        SimpleITK.Flip(SimpleITK.PermuteAxes(image, (0, 2, 1)), (False, True, False)), folder / "coronal.nrrd"
    )
    write(SimpleITK.PermuteAxes(image, (2, 0, 1)), folder / "permuted.mha")
    yield folder
    shutil.rmtree(folder)


def write(image: SimpleITK.Image, path: Path) -> None:
    SimpleITK.WriteImage(image, str(path))


def finding(response: Any) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    return dict(response.json()["vptct"]["findings"][0])


@pytest.fixture(scope="module")
def of_dicom(client, patient: Path) -> dict[str, Any]:
    """The answer about the DICOM folder, asked by its id."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:  # the server believes its last look for two seconds
        for study in client.get("/datastore/?output=all").json()["objects"]:
            if study.startswith("patient--dicom"):
                return finding(client.infer(image=study))
        time.sleep(0.5)
    raise AssertionError("the server does not find the DICOM folder")


def test_the_clips_of_the_patient_differ_so_that_a_mistake_would_show(of_dicom: dict[str, Any]) -> None:
    probabilities = [clip["probability"] for clip in of_dicom["clips"]]
    assert len(probabilities) > 5
    assert max(probabilities) > 2 * min(probabilities)


@pytest.mark.parametrize(
    "way", ["plain.nii", "flipped.nii", "coronal.nrrd", "permuted.mha", "upload flipped", "upload zip"]
)
def test_every_form_of_the_patient_has_the_answer_of_the_dicom_folder(
    client, patient: Path, real_data: Path, of_dicom: dict[str, Any], way: str
) -> None:
    if way == "upload zip":
        archive = real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_dicom_133.zip"
        found = finding(client.infer(file=archive))
    elif way == "upload flipped":
        found = finding(client.infer(file=patient / "flipped.nii"))
    else:
        found = finding(client.infer(image=f"patient--{way}"))
    assert [clip["probability"] for clip in found["clips"]] == pytest.approx(
        [clip["probability"] for clip in of_dicom["clips"]], rel=1e-4, abs=1e-6
    )
    # NIfTI keeps positions in 32 bits: a thousandth of a millimetre.
    assert found["key_slice_mm"] == pytest.approx(of_dicom["key_slice_mm"], abs=1e-3)
    assert client.left_behind() == []


def test_a_heat_map_of_a_flipped_copy_opens_on_it_and_glows_at_the_same_place_of_the_patient(
    client, patient: Path, of_dicom: dict[str, Any], tmp_path: Path
) -> None:
    def explained(image: str, output: str) -> Any:
        return client.infer(image=image, params='{"explain": true}', output=output)

    (dicom,) = [
        each for each in client.get("/datastore/?output=all").json()["objects"] if "patient--dicom" in each
    ]
    expected = explained(dicom, "json").json()["vptct"]["heat_map"]["findings"][0]
    told = explained("patient--flipped.nii", "json").json()["vptct"]["heat_map"]["findings"][0]
    assert told["hottest_mm"] == pytest.approx(expected["hottest_mm"], abs=1e-3)
    (tmp_path / "heat.nii.gz").write_bytes(explained("patient--flipped.nii", "image").content)
    heat = SimpleITK.ReadImage(str(tmp_path / "heat.nii.gz"))
    study = SimpleITK.ReadImage(str(patient / "flipped.nii"))
    assert heat.GetSize() == study.GetSize()
    assert heat.GetDirection() == pytest.approx(study.GetDirection())
    assert heat.GetOrigin() == pytest.approx(study.GetOrigin(), abs=1e-3)
    voxel = heat.TransformPhysicalPointToIndex(told["hottest_mm"])
    assert 0 < heat.GetPixel(*voxel) == SimpleITK.GetArrayViewFromImage(heat).max()
