"""``vpt import lidc`` on a miniature of TCIA's download and on LIDC-IDRI-0001."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pytest
from lidc_mini import MiniLidc, write_reading
from typer.testing import CliRunner, Result

from vpt_plugin.cli import app


def vpt(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["import", "lidc", *map(str, arguments), "--workers", "1"])


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def download(tmp_path: Path) -> MiniLidc:
    """Four CTs of three patients with readings elsewhere, one CT without a reading, and a radiograph."""
    lidc = MiniLidc(tmp_path / "manifest-1600709154662")
    for serial, patient in enumerate((1, 1, 2, 3)):
        series = lidc.ct(f"LIDC-IDRI-{patient:04d}", serial)
        readers: list[list[tuple[int, ...]]] = [[(2, 3)], [(2, 3)], [(2, 3, 4)], [(4,)]]
        write_reading(tmp_path / "LIDC-XML-only" / "tcia-lidc-xml" / "157" / f"{serial}.xml", series, readers)
    lidc.ct("LIDC-IDRI-0004", 4)
    lidc.radiograph("LIDC-IDRI-0002", 5)
    lidc.list_series()
    return lidc


def test_a_download_is_imported_with_its_readings_and_told_in_words(
    download: MiniLidc, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = vpt(download.folder, "--xml", tmp_path / "LIDC-XML-only", "--to", out)
    assert (done.exit_code, done.stderr) == (0, "")
    said = words(done.stdout)
    assert said.startswith("Imported 4 studies of 3 patients; refused 1.")
    assert "Series that are no CT, passed over: 1 (1 DX)" in said
    assert "LIDC-IDRI-0004: no XML of its series is there. Give the unpacked LIDC-XML-only.zip" in said
    assert "nodule: too few to train on: no train study has lung nodule absent." in said
    assert "vpt finetune" not in said
    with (out / "import-report.csv").open(newline="") as file:
        report = {row["study"]: row for row in csv.DictReader(file)}
    assert {name: row["state"] for name, row in report.items()} == {
        "LIDC-IDRI-0001": "imported",
        "LIDC-IDRI-0001-2": "imported",
        "LIDC-IDRI-0002": "imported",
        "LIDC-IDRI-0003": "imported",
        "LIDC-IDRI-0004": "refused",
    }
    again = vpt(download.folder, "--xml", tmp_path / "LIDC-XML-only", "--to", out)
    assert "4 of them read by an earlier run" in words(again.stdout)


def test_the_number_of_readers_is_an_option_and_a_dry_run_writes_nothing(
    download: MiniLidc, tmp_path: Path
) -> None:
    for readers, present in ((3, 4), (4, 0)):
        done = vpt(
            download.folder, "--xml", tmp_path / "LIDC-XML-only", "--to", tmp_path / "out", "--dry-run",
            "--readers", readers,
        )  # fmt: skip
        assert words(done.stdout).startswith("Would import 4 studies of 3 patients; refused 1.")
        assert ("lung_nodule present" in done.stdout) == bool(present)
    assert not (tmp_path / "out").exists()
    for readers in (0, 5):
        refused = vpt(download.folder, "--to", tmp_path / "out", "--readers", readers)
        assert refused.exit_code == 2


def test_what_is_no_lidc_is_told_with_the_way_out(download: MiniLidc, tmp_path: Path) -> None:
    result = vpt(tmp_path / "LIDC-XML-only", "--to", tmp_path / "out")
    assert result.exit_code == 2
    assert "holds no CT" in result.stderr
    assert "Give the folder LIDC-IDRI as the NBIA Data Retriever wrote it" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_of_readings_that_is_not_there_is_told_and_nothing_is_written(
    download: MiniLidc, tmp_path: Path
) -> None:
    result = vpt(download.folder, "--xml", tmp_path / "nowhere", "--to", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"--xml {tmp_path / 'nowhere'}: there is no such folder." in words(result.stderr)
    assert not (tmp_path / "out").exists()


def test_lidc_idri_0001_is_imported_as_it_was_downloaded(real_data: Path, tmp_path: Path) -> None:
    """In the older layout, with the XML beside the slices; 133 slices, of which 8 are positive."""
    with zipfile.ZipFile(real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_dicom_133.zip") as archive:
        archive.extractall(tmp_path / "LIDC-IDRI" / "LIDC-IDRI-0001")
    done = vpt(tmp_path / "LIDC-IDRI", "--to", tmp_path / "out")
    assert (done.exit_code, done.stderr) == (0, "")
    assert words(done.stdout).startswith("Imported 1 study of 1 patient; refused 0.")
    label = tmp_path / "out" / "labels" / "final" / "LIDC-IDRI-0001" / "nodule.0001.json"
    assert "[ -125.0, -107.5 ]" in words(label.read_text())
