"""What the real server refuses: with the library's own words, and with nothing left behind."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests
import SimpleITK

from vpt_plugin.ct.reader import read_study
from vpt_plugin.errors import StudyError

Maker = Callable[[Path, Path], Path]


def eight_bit(source: Path, folder: Path) -> Path:
    image = SimpleITK.GetImageFromArray(np.full((40, 64, 64), 100, dtype=np.uint8))
    SimpleITK.WriteImage(image, str(folder / "grey.nii"))
    return folder / "grey.nii"


def not_a_number(source: Path, folder: Path) -> Path:
    values = np.zeros((40, 64, 64), dtype=np.float32)
    values[3, 3, 3] = np.nan
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(folder / "nan.nii"))
    return folder / "nan.nii"


def two_slices(source: Path, folder: Path) -> Path:
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(np.zeros((2, 64, 64), np.int16)), str(folder / "two.nrrd")
    )
    return folder / "two.nrrd"


def cut_short(source: Path, folder: Path) -> Path:
    data = gzip.decompress((source / "p02.nii.gz").read_bytes())
    (folder / "cut.nii").write_bytes(data[: len(data) // 2])
    return folder / "cut.nii"


def text(source: Path, folder: Path) -> Path:
    (folder / "letter.txt").write_text("Dear colleague")
    return folder / "letter.txt"


def empty_zip(source: Path, folder: Path) -> Path:
    with zipfile.ZipFile(folder / "empty.zip", "w"):
        pass
    return folder / "empty.zip"


def broken_zip(source: Path, folder: Path) -> Path:
    (folder / "broken.zip").write_bytes(b"PK\3\4 and then nothing")
    return folder / "broken.zip"


def zip_that_leads_outside(source: Path, folder: Path) -> Path:
    with zipfile.ZipFile(folder / "slip.zip", "w") as archive:
        archive.writestr("../../outside.dcm", "x")
    return folder / "slip.zip"


def changed_dicom(folder: Path, source: Path, name: str, change: Callable[[list[Path]], None]) -> Path:
    series = shutil.copytree(source / "p01" / "ct", folder / name)
    change(sorted(series.iterdir()))
    return Path(shutil.make_archive(str(folder / name), "zip", series))


def missing_slice(source: Path, folder: Path) -> Path:
    return changed_dicom(folder, source, "gap", lambda files: files[len(files) // 2].unlink())


def magnetic_resonance(source: Path, folder: Path) -> Path:
    def change(files: list[Path]) -> None:
        for file in files:
            dataset = pydicom.dcmread(file)
            dataset.Modality = "MR"
            dataset.save_as(file)

    return changed_dicom(folder, source, "mr", change)


def changed_headers(
    folder: Path, source: Path, name: str, change: Callable[[int, pydicom.Dataset], None]
) -> Path:
    """The zipped series with every slice's header changed, given its number from below."""

    def change_all(files: list[Path]) -> None:
        slices = sorted(((pydicom.dcmread(each), each) for each in files), key=lambda pair: height(pair[0]))
        for number, (dataset, path) in enumerate(slices):
            change(number, dataset)
            dataset.save_as(path)

    return changed_dicom(folder, source, name, change_all)


def height(dataset: pydicom.Dataset) -> float:
    return float(dataset.ImagePositionPatient[2])


def duplicate_slice(source: Path, folder: Path) -> Path:
    def change(files: list[Path]) -> None:
        again = pydicom.dcmread(files[7])
        again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        again.save_as(files[0].parent / "again.dcm")

    return changed_dicom(folder, source, "twice", change)


def uneven_spacing(source: Path, folder: Path) -> Path:
    def change(number: int, dataset: pydicom.Dataset) -> None:
        if number >= 20:  # 2.5 mm apart below, one step of 3.7 mm
            x, y, z = dataset.ImagePositionPatient
            dataset.ImagePositionPatient = [x, y, z + 1.2]

    return changed_headers(folder, source, "uneven", change)


def gantry_tilt(source: Path, folder: Path) -> Path:
    def change(number: int, dataset: pydicom.Dataset) -> None:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y + number, z]  # 1 mm for every 2.5 mm: 21.8 degrees

    return changed_headers(folder, source, "tilt", change)


def no_pixel_data(source: Path, folder: Path) -> Path:
    def change(number: int, dataset: pydicom.Dataset) -> None:
        del dataset.PixelData

    return changed_headers(folder, source, "headers", change)


def truncated_dicom(source: Path, folder: Path) -> Path:
    def change(files: list[Path]) -> None:
        files[7].write_bytes(files[7].read_bytes()[:-1000])

    return changed_dicom(folder, source, "short", change)


REFUSED: list[Maker] = [
    eight_bit, not_a_number, two_slices, cut_short, text, empty_zip, broken_zip, zip_that_leads_outside,
    missing_slice, magnetic_resonance, duplicate_slice, uneven_spacing, gantry_tilt, no_pixel_data,
    truncated_dicom,
]  # fmt: skip


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_a_study_that_is_refused_is_a_422_in_the_librarys_words(
    client, workshop, tmp_path: Path, make: Maker
) -> None:
    upload = make(workshop.studies, tmp_path)
    with pytest.raises(StudyError) as caught:
        read_study(upload)
    response = client.infer(file=upload)
    assert response.status_code == 422
    assert response.json() == {
        "error": type(caught.value).__name__,
        "detail": caught.value.message,
        "hint": caught.value.hint,
    }
    assert client.left_behind() == []
    assert client.infer(image="p02.nii.gz").status_code == 200


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (duplicate_slice, "1 slice position is there twice"),
        (uneven_spacing, "the slices are unevenly spaced: 2.50 to 3.70 mm apart"),
        (gantry_tilt, "the gantry was tilted by 21.8 degrees"),
        (no_pixel_data, "CT0001.dcm has no pixel data"),
        (truncated_dicom, "CT0008.dcm is cut short: 17432 bytes of pixels where its header says 18432"),
    ],
)
def test_each_of_these_is_refused_for_its_own_reason(
    workshop, tmp_path: Path, make: Maker, message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        read_study(make(workshop.studies, tmp_path))


def test_slices_for_less_than_half_a_clip_are_refused_with_the_numbers(
    client, workshop, tmp_path: Path
) -> None:
    whole = SimpleITK.ReadImage(str(workshop.studies / "p02.nii.gz"))
    SimpleITK.WriteImage(whole[:, :, :12], str(tmp_path / "twelve.nii"))
    # slow_r50 sees 32 slices at once, and half of them is 16.
    response = client.infer("nodule_slow_r50", file=tmp_path / "twelve.nii")
    assert response.status_code == 422
    assert response.json() == {
        "error": "TooFewSlicesError",
        "detail": "twelve.nii: it has 12 slices; slow_r50 sees 32 at once and needs at least 16.",
        "hint": "Choose a thinner reconstruction, or a model with shorter clips.",
    }
    assert client.left_behind() == []
    assert client.infer(image="p02.nii.gz").status_code == 200


def test_a_session_with_a_study_that_is_refused_leaves_nothing_temporary(client, workshop, tmp_path) -> None:
    bad = missing_slice(workshop.studies, tmp_path)
    session_id = client.open_session((bad.name, bad.read_bytes())).json()["session_id"]
    response = client.infer(session_id=session_id)
    assert response.status_code == 422
    assert response.json()["detail"].startswith("gap.zip: 1 slice is missing")
    assert client.left_behind() == []
    assert client.infer(image="p02.nii.gz").status_code == 200


def test_a_study_of_the_folder_that_is_refused_is_named_by_its_id(client, workshop) -> None:
    bad = two_slices(workshop.studies, workshop.studies)
    response = client.infer(image=bad.name)
    bad.unlink()
    assert response.status_code == 422
    assert response.json()["detail"].startswith(f"{bad.name}: it has 2")


@pytest.mark.parametrize("image", ["nobody", "p02", "labels", "x" * 5000])
def test_an_id_that_names_no_study_is_not_there(client, image: str) -> None:
    response = client.infer(image=image)
    assert response.status_code == 404
    assert "there is no study of this id" in response.json()["detail"]


@pytest.mark.parametrize(
    "image",
    ["../p02.nii.gz", "/etc/passwd", ".", "..", "file:///etc/passwd", "%00", "a\0b", "C:p02.nii.gz", "..\\x"],
)
def test_an_image_is_an_id_of_the_datastore_and_never_a_path(client, image: str) -> None:
    response = client.infer(image=image)
    assert response.status_code == 400
    assert "an id is never a path" in response.json()["detail"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ('{"image": "/etc/passwd"}', "unknown key 'image'"),
        ('{"device": "cuda"}', "unknown key 'device'"),
        ('{"model": "x"}', "unknown key 'model'"),
        ("{", "params is not JSON"),
        ("[" * 5000, "params is not JSON"),
        ("[1]", "params must be a JSON object"),
    ],
)
def test_params_can_change_nothing(client, params: str, message: str) -> None:
    response = client.infer(image="p02.nii.gz", params=params)
    assert response.status_code == 400
    assert message in response.json()["detail"]


def test_requests_that_ask_for_nothing_or_for_the_wrong_thing(client, workshop) -> None:
    assert client.infer("nodule_nothing", image="p02.nii.gz").status_code == 404
    assert (
        client.infer("nodule_nothing", image="p02.nii.gz")
        .json()["hint"]
        .startswith("choose from nodule_slow_r50")
    )
    assert client.infer().status_code == 400
    assert client.infer(image="p02.nii.gz", output="image").status_code == 400
    assert client.infer(image="p02.nii.gz", output="nonsense").status_code == 422
    assert client.infer(session_id="../../etc").status_code == 400
    assert client.infer(session_id="00000000-0000-0000-0000-000000000000").status_code == 404


def test_an_untrained_head_never_answers_and_says_how_to_train_it(client) -> None:
    label = {
        "schema": "vptct.label/1",
        "task": "pe",
        "findings": {"pulmonary_embolism": {"state": "present"}},
    }
    assert client.save_label("p01--ct", json.dumps(label).encode()).status_code == 200
    counts = client.get("/info/").json()["vptct"]["tasks"][0]["labels"]
    assert counts["present"] >= 1
    response = client.infer("pe_tiny", image="p02.nii.gz")
    assert response.status_code == 409
    assert response.json() == {
        "error": "NotTrainedError",
        "detail": "pe_tiny was never trained, so it does not answer. Labels for pulmonary embolism on this "
        f"server: {counts['present']} present, {counts['absent']} absent, "
        f"{counts['indeterminate']} indeterminate.",
        "hint": "Label studies as present and as absent, then train: POST /train/pe_tiny",
    }


@pytest.mark.parametrize(
    ("label", "status", "message"),
    [
        (b"{}", 422, "schema 'vptct.label/1'"),
        (b"no json", 422, "is not JSON"),
        (
            b'{"schema": "vptct.label/1", "task": "x", "findings": {"y": {"state": "absent"}}}',
            422,
            "not served",
        ),
        (
            b'{"schema": "vptct.label/1", "task": "pe", "findings": {"\\ud800": 1}}',
            422,
            "findings.\\ud800 must be an object",
        ),
        (
            b'{"schema": "vptct.label/1", "task": "pe", "comment": "\\ud800", '
            b'"findings": {"pulmonary_embolism": {"state": "absent"}}}',
            422,
            "half a character",
        ),
        (b" " * (2 << 20), 413, "the request is larger than the 1.06 MiB"),
        (b" " * ((1 << 20) + 1), 413, "the label is larger than 1 MiB"),
    ],
)
def test_a_bad_label_is_refused_and_leaves_nothing(client, label: bytes, status: int, message: str) -> None:
    response = client.save_label("p02.nii.gz", label)
    assert (response.status_code, message in response.json()["detail"]) == (status, True)
    assert client.left_behind() == []


def test_a_label_goes_to_a_study_that_is_there_under_the_tag_final(client, workshop) -> None:
    label = (
        b'{"schema": "vptct.label/1", "task": "pe", "findings": {"pulmonary_embolism": {"state": "absent"}}}'
    )
    assert client.save_label("../x", label).status_code == 400
    assert client.save_label("x", label).status_code == 404
    assert client.save_label("p02.nii.gz", label, tag="../../x").status_code == 400
    saved = client.save_label("p02.nii.gz", label).json()
    file = (
        workshop.studies
        / "labels"
        / "final"
        / "p02.nii.gz"
        / (saved["label"].removeprefix("p02.nii.gz.") + ".json")
    )
    assert json.loads(file.read_text())["findings"] == {"pulmonary_embolism": {"state": "absent"}}


def test_studies_are_neither_added_nor_removed_over_http(client, workshop) -> None:
    before = sorted(workshop.studies.rglob("*"))
    added = requests.put(
        f"{client.process.url}/datastore/image?image=x", files={"file": ("x.nii", b"x")}, timeout=60
    )
    removed = requests.delete(f"{client.process.url}/datastore/image?id=p02.nii.gz", timeout=60)
    assert (added.status_code, removed.status_code) == (405, 405)
    assert sorted(workshop.studies.rglob("*")) == before
    assert client.left_behind() == []


def test_no_answer_tells_where_on_the_server_things_lie(client, workshop) -> None:
    secret = re.compile(r"/[a-z]+/|Traceback|site-packages", re.IGNORECASE)
    for route in (
        "/datastore/?output=all",
        "/datastore/?output=train",
        "/datastore/image/info?image=p02.nii.gz",
    ):
        assert not secret.search(client.get(route).text), route
    assert str(workshop.studies) not in client.get("/info/").text


def test_a_page_of_another_origin_reads_nothing(client) -> None:
    headers = client.get("/info/", headers={"Origin": "http://other.example"}).headers
    assert not [name for name in headers if name.lower().startswith("access-control")]


def test_a_model_whose_card_is_damaged_is_the_servers_fault_and_not_the_clients(client, workshop) -> None:
    damaged = workshop.models / "pe_slow_r50" / "v0001"
    damaged.mkdir(parents=True)
    (damaged / "card.json").write_text("{")
    response = client.infer("pe_slow_r50", image="p02.nii.gz")
    models = {model["name"]: model for model in client.get("/info/").json()["vptct"]["models"]}
    shutil.rmtree(damaged.parent)
    assert response.status_code == 503
    assert "the model card cannot be read" in response.json()["detail"]
    assert str(workshop.models) not in response.text
    assert models["pe_slow_r50"]["problem"].endswith("cannot be read; the server's log says why.")
