"""``vpt import csv``: a site's table and its options, as they are typed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vpt_plugin.cli import app
from vpt_plugin.data.manifest import Manifest


def vpt(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["import", "csv", *map(str, arguments)])


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def studies(tmp_path: Path, write_study: Callable[[Path], Path]) -> Path:
    """Holds one.nii, two.nii and three.nii."""
    for name in ("one", "two", "three"):
        write_study(tmp_path / "studies" / f"{name}.nii")
    return tmp_path / "studies"


def test_a_table_of_a_spreadsheet_becomes_a_manifest_that_reads_back(studies: Path, tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_bytes(
        "Datei;Fall;Embolie;z;Anmerkung\r\none.nii;eins;ja;-12,5 bis 3;\r\ntwo.nii;zwei;nein;;Qualität\r\n"
        "three.nii;drei;;;\r\ngone.nii;vier;ja;;\r\n".encode("cp1252")
    )
    done = vpt(
        table, "--studies", studies, "--to", tmp_path / "out", "--task", "pe", "--workers", 1,
        "--finding", "pulmonary_embolism=Embolie", "--study-column", "Fall", "--slices-column", "z",
    )  # fmt: skip
    assert (done.exit_code, done.stderr) == (0, "")
    said = words(done.stdout)
    assert said.startswith("Imported 3 studies of 3 patients; refused 1.")
    assert "Columns by their names: path: Datei." in said
    assert "read as Windows-1252" in said
    assert f"vier: there is no {studies / 'gone.nii'} (line 5 of the table)." in said
    assert "Columns left alone: Anmerkung." in said
    # One with and one without do not do for two sides, so no training is proposed.
    assert "pe: too few to " in said
    assert "vpt finetune" not in said
    rows = {row.study: row for row in Manifest.read(tmp_path / "out" / "manifest.csv").studies}
    assert rows["eins"].labels["pe"].findings["pulmonary_embolism"].slices_mm == ((-12.5, 3.0),)
    assert rows["zwei"].labels["pe"].findings["pulmonary_embolism"].state == "absent"
    assert not rows["drei"].labels


def test_a_task_of_ones_own_comes_from_its_file(studies: Path, tmp_path: Path) -> None:
    task = tmp_path / "effusion.yaml"
    task.write_text("name: effusion\nfindings: [effusion]\nhu_window: {centre: 40, width: 400}\n")
    shutil.copy(studies / "one.nii", studies / "four.nii")
    (studies / "table.csv").write_text(
        "path,patient,Seite,effusion\none.nii,1,train,pos\ntwo.nii,2,train,neg\n"
        "three.nii,3,val,pos\nfour.nii,4,val,neg\n"
    )
    done = vpt(studies / "table.csv", "--to", tmp_path / "out", "--task-file", task, "--workers", 1)
    assert done.exit_code == 0
    assert f"--task-file {tmp_path / 'out' / 'effusion.yaml'}" in words(done.stdout)
    sides = {row.study: row.split for row in Manifest.read(tmp_path / "out" / "manifest.csv").studies}
    assert sides == {"one": "train", "two": "train", "three": "validation", "four": "validation"}


def test_what_is_asked_wrongly_is_told_before_anything_is_written(studies: Path, tmp_path: Path) -> None:
    table = studies / "table.csv"
    table.write_text("path,nodule\none.nii,1\ntwo.nii,perhaps\n")
    to = ("--to", tmp_path / "out")
    cases = {
        (table, *to): (2, "no task was given"),
        (table, *to, "--task", "nodule"): (1, "line 3, column nodule: 'perhaps' is unknown"),
        (table, *to, "--task", "nodule", "--finding", "nodule"): (2, "names no finding and its column"),
        (table, *to, "--task", "nodule", "--patient-column", "MRN"): (2, "choose from path, nodule"),
        (studies / "none.csv", *to, "--task", "nodule"): (1, "none.csv: cannot be read"),
    }
    for arguments, (code, cause) in cases.items():
        result = vpt(*arguments)
        assert (result.exit_code, result.stdout) == (code, "")
        assert cause in words(result.stderr)
    assert not (tmp_path / "out").exists()
