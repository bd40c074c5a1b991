"""``vpt studies list`` on a real folder and on a real archive."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from orthanc_process import OrthancProcess
from typer.testing import CliRunner, Result

from vpt_plugin.cli import app
from vpt_plugin.ct.volume import Provenance, Volume
from vpt_plugin.data.phantom import write_dicom
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store.labels import LabelFolder


def vpt(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["studies", "list", *map(str, arguments)])


def said(task: str, annotator: str, **states: str) -> StudyLabel:
    return StudyLabel(task, {name: FindingLabel(state) for name, state in states.items()}, annotator)


def write_series(folder: Path, uid: str) -> None:
    volume = Volume(
        hu=np.zeros((4, 8, 8), np.int16),
        spacing_mm=(2.0, 3.0, 3.0),
        origin_mm=(0.0, 0.0, 0.0),
        direction=np.eye(3)[:, ::-1].copy(),
        study="made up",
        provenance=Provenance("dicom", series_uid=uid, patient_id="anna", description="thin"),
    )
    write_dicom(volume, folder)


@pytest.fixture
def studies(tmp_path: Path, write_study: Callable[[Path], Path]) -> Path:
    """A NIfTI file with labels of two tasks, a DICOM folder without one, and labels of what is not there."""
    root = tmp_path / "studies"
    write_study(root / "p01" / "ct.nii.gz")
    write_series(root / "p02" / "thin", "1.2.3")
    labels = LabelFolder(root / "labels")
    labels.save("p01--ct.nii.gz", said("pe", "anna", pulmonary_embolism="absent"))
    labels.save("p01--ct.nii.gz", said("pe", "=otto", pulmonary_embolism="present"))
    labels.save("p01--ct.nii.gz", said("chest", "", nodule="absent", effusion="indeterminate"))
    labels.save("gone", said("pe", "anna", pulmonary_embolism="absent"))
    return root


def test_a_table_for_people(studies: Path) -> None:
    result = vpt(studies)
    assert result.exit_code == 0
    rows = [" ".join(line.split()) for line in result.stdout.splitlines() if "p0" in line]
    assert rows == [
        "p01--ct.nii.gz nifti p01/ct.nii.gz chest: nodule absent, effusion indeterminate (version 1); "
        "pe: present (version 2, =otto)",
        "p02--thin dicom p02/thin",
    ]
    assert result.stderr == (
        "2 studies, 1 with labels.\nLabels whose study is not here: 1; see `vpt labels check`.\n"
    )


def test_csv_has_a_row_for_each_label_and_no_cell_that_a_spreadsheet_would_run(studies: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(vpt(studies, "--csv").stdout)))
    assert [{key: row[key] for key in row if key != "saved"} for row in rows] == [
        {"study": "p01--ct.nii.gz", "kind": "nifti", "place": "p01/ct.nii.gz", "task": "chest",
         "state": "nodule absent, effusion indeterminate", "version": "1", "annotator": ""},
        {"study": "p01--ct.nii.gz", "kind": "nifti", "place": "p01/ct.nii.gz", "task": "pe",
         "state": "present", "version": "2", "annotator": "'=otto"},
        {"study": "p02--thin", "kind": "dicom", "place": "p02/thin", "task": "", "state": "", "version": "",
         "annotator": ""},
    ]  # fmt: skip
    assert rows[0]["saved"].endswith("Z")
    assert rows[2]["saved"] == ""


def test_json_for_programs(studies: Path) -> None:
    first, second = json.loads(vpt(studies, "--json").stdout)
    label = first["labels"]["pe"]
    assert (label["findings"], label["version"]) == ({"pulmonary_embolism": "present"}, 2)
    assert second == {"study": "p02--thin", "kind": "dicom", "place": "p02/thin", "labels": {}}


def test_labels_elsewhere(studies: Path, tmp_path: Path) -> None:
    (studies / "labels").rename(tmp_path / "elsewhere")
    assert vpt(studies).stderr == "2 studies, 0 with labels.\n"
    assert vpt(studies, "--labels", tmp_path / "elsewhere").stderr.startswith("2 studies, 1 with labels.\n")


def test_a_folder_without_studies_is_said_to_have_none(tmp_path: Path) -> None:
    result = vpt(tmp_path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "0 studies, 0 with labels.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["away"], "error: away: there is no such folder."),
        ([".", "--labels", "away"], "error: away: there is no such folder."),
        (["ftp://host/studies"], "error: --studies ftp://host/studies: this is no address"),
        ([".", "--from", "20200101"], "choose among the series of an archive"),
        (["http://127.0.0.1:9/dicom-web", "--to", "2020"], "error: '2020' is no date;"),
        ([".", "--csv", "--json"], "use either --json or --csv, not both."),
    ],
)
def test_what_was_asked_wrongly_is_told(arguments: list[str], message: str) -> None:
    result = vpt(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_series_of_an_archive_with_their_labels(
    tmp_path: Path, new_orthanc: Callable[..., OrthancProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    orthanc = new_orthanc(login=("reader", "geheim"))
    write_series(tmp_path / "series", "1.2.826.77")
    orthanc.send(tmp_path / "series")
    monkeypatch.setenv("MONAI_LABEL_DATASTORE_USERNAME", "reader")
    monkeypatch.setenv("MONAI_LABEL_DATASTORE_PASSWORD", "geheim")
    monkeypatch.setenv("VPTCT_HOME", str(tmp_path / "home"))
    labels = tmp_path / "labels"
    LabelFolder(labels).save("1.2.826.77", said("pe", "anna", pulmonary_embolism="absent"))
    result = vpt(orthanc.url, "--labels", labels)
    assert "1.2.826.77" in result.stdout
    assert "pe: absent (version 1, anna)" in result.stdout
    assert vpt(orthanc.url).stderr == "1 study, 0 with labels.\n"
    narrowed = {"--modality": "mr", "--from": "20991231", "--to": "19000101", "--description": "thick*"}
    for option, value in narrowed.items():
        assert vpt(orthanc.url, option, value).stderr == "0 studies, 0 with labels.\n"
    assert vpt(orthanc.url, "--modality", "CT", "--description", "THI?").stderr.startswith("1 study")
    orthanc.stop()
    down = vpt(orthanc.url)
    assert down.exit_code == 1
    assert down.stderr.startswith("error: ")


def test_to_list_makes_no_folder_of_labels(tmp_path: Path) -> None:
    (tmp_path / "p01.nii").touch()
    assert vpt(tmp_path).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["p01.nii"]
