"""What docs/data.md says of importing holds."""

from __future__ import annotations

import re
from pathlib import Path

from docs_page import code_blocks, read_page, table_rows
from lidc_mini import MiniLidc
from rsna_set import usual_studies, write_rsna_set
from typer.testing import CliRunner

from vpt_plugin.cli import app
from vpt_plugin.data.importers.table_words import side_of, state_of
from vpt_plugin.data.manifest import Manifest

PAGE = "data.md"


def test_the_table_of_the_page_is_imported_by_the_command_beside_it(tmp_path: Path) -> None:
    table = next(block for block in code_blocks(read_page(PAGE), "csv") if ";" in block)
    (tmp_path / "table.csv").write_text(table)
    lidc = MiniLidc(tmp_path / "download")
    (tmp_path / "ct").mkdir()
    for number in (1, 2, 3, 4):
        lidc.ct("LIDC-IDRI-0001", number).folder.rename(tmp_path / "ct" / f"{number:04d}")
    assert 'vpt import csv table.csv --to site --task pe --slices-column "PE from to"' in read_page(PAGE)
    done = CliRunner().invoke(
        app,
        ["import", "csv", str(tmp_path / "table.csv"), "--to", str(tmp_path / "site"), "--task", "pe",
         "--slices-column", "PE from to", "--workers", "1"],
    )  # fmt: skip
    assert (done.exit_code, done.stderr) == (0, "")
    rows = {row.study: row for row in Manifest.read(tmp_path / "site" / "manifest.csv").studies}
    assert {name: (row.patient, row.split) for name, row in rows.items()} | {
        "case-0004": ("P-19", "any")
    } == {
        "case-0001": ("P-17", "train"),
        "case-0002": ("P-17", "train"),
        "case-0003": ("P-18", "test"),
        "case-0004": ("P-19", "any"),
    }
    assert rows["case-0001"].labels["pe"].findings["pulmonary_embolism"].slices_mm == ((-142.5, -118.0),)
    assert not rows["case-0004"].labels


def test_the_words_of_the_page_mean_what_it_says() -> None:
    said = {row[0]: row[1] for row in table_rows(read_page(PAGE), "Column")}
    for state in ("present", "absent", "indeterminate"):
        (cells,) = (cells for what, cells in said.items() if what.startswith(f"a finding: {state}"))
        assert {state_of(word.strip()) for word in cells.split(",")} == {state}
    for side in ("train", "validation", "test"):
        assert {side_of(word.strip()) for word in said[f"the side: {side}"].split(",")} == {side}


def test_the_files_that_the_page_lists_are_those_that_an_import_writes(tmp_path: Path) -> None:
    folder = write_rsna_set(tmp_path / "rsna", usual_studies(20))
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["import", "rsna", str(folder), "--to", str(out), "--workers", "1"])
    assert (done.exit_code, done.stderr) == (0, "")
    names = [name for row in table_rows(read_page(PAGE), "File") for name in re.findall("`(.*?)`", row[0])]
    listed = [re.compile(re.sub("<.*?>", "[^/]+", re.escape(name))) for name in names]
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    for file in files:
        assert file.startswith(".import/") or any(name.fullmatch(file) for name in listed), file
    for name in listed:
        assert any(name.fullmatch(file) for file in files), name
