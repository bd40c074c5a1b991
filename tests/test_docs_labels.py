"""What docs/labels.md shows is what the library reads and writes."""

from __future__ import annotations

import re
from pathlib import Path

from docs_page import code_blocks, read_page

from vpt_plugin.labels import StudyLabel
from vpt_plugin.store.exchange import read_exported
from vpt_plugin.store.label_table import COLUMNS, LabelEntry, write_table

PAGE = read_page("labels.md")
BLOCKS = code_blocks(PAGE, r"\w*")


def test_the_example_of_the_contract_is_a_label_with_every_field() -> None:
    (text,) = (block for block in BLOCKS if block.startswith('{"schema": "vptct.label/1"'))
    label = StudyLabel.from_json(text)
    assert label.findings["pulmonary_embolism"].slices_mm == ((-142.5, -118.0),)
    told = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", PAGE, re.MULTILINE))))
    assert {*StudyLabel.__dataclass_fields__, "state", "slices_mm", "confidence"} <= told


def test_the_exported_table_is_shown_with_its_columns() -> None:
    (header,) = re.findall(r"^study,task,version,.*$", PAGE, re.MULTILINE)
    assert header == ",".join(COLUMNS)


def test_the_table_to_import_has_three_labels(tmp_path: Path) -> None:
    (block,) = (block for block in BLOCKS if block.startswith("$ cat labels.csv\n"))
    file = tmp_path / "labels.csv"
    file.write_text(block.partition("\n")[2].partition("\n\n")[0], encoding="utf-8")
    assert [entry.study[-9:] for entry in read_exported(file)] == ["-1.nii.gz", "-2.nii.gz", "-1.nii.gz"]


def test_the_guarded_texts_are_as_written() -> None:
    for text, cell in (("=1+1", "'=1+1"), ("0012", "'0012"), ("see above; =1+1", r'"see above\u003b =1+1"')):
        assert f"`{cell}`" in PAGE
        finding = StudyLabel.from_json(BLOCKS[0]).findings
        table = write_table([LabelEntry("p01", StudyLabel("pe", finding, comment=text))])
        assert cell.replace('"', '""') in table
