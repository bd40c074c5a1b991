"""A site's own table as manifests: columns, words, encodings, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from lidc_mini import MiniLidc

from vpt_plugin.data.importers.import_run import ImportOutcome, run_import
from vpt_plugin.data.importers.table_columns import ColumnChoice
from vpt_plugin.data.importers.table_file import read_table
from vpt_plugin.data.importers.table_set import TableImporter
from vpt_plugin.data.importers.table_words import ranges_mm_of, side_of, state_of
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.errors import ConfigurationError, ManifestError
from vpt_plugin.tasks import TASKS, HUWindow, ReadingTask

pytestmark = pytest.mark.usefixtures("disk_without_waiting")

EFFUSION = ReadingTask("chest", "Chest", ("effusion", "rib_fracture"), HUWindow(40, 400))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Holds the DICOM folders ct/1 to ct/4 of the patients A, A, B, C, and the file ct/five.nii.gz."""
    lidc = MiniLidc(tmp_path / "download")
    (tmp_path / "ct").mkdir()
    for number, patient in enumerate("AABC", start=1):
        lidc.ct("LIDC-IDRI-0001", number, patient_id=patient).folder.rename(tmp_path / "ct" / str(number))
    (tmp_path / "ct" / "five.nii.gz").write_bytes(b"not read by the importer")
    return tmp_path


def write(site: Path, text: str, encoding: str = "utf-8", name: str = "table.csv") -> Path:
    (site / name).write_bytes(text.encode(encoding))
    return site / name


def run(
    table: Path, task: ReadingTask = TASKS["nodule"], choice: ColumnChoice | None = None
) -> ImportOutcome:
    importer = TableImporter(table, task, choice or ColumnChoice(), None)
    return run_import(importer, table.parent / "out", dry_run=choice is None)


def states(outcome: ImportOutcome, task: str = "nodule") -> dict[str, dict[str, str]]:
    return {
        study.study: {name: label.state for name, label in study.labels[task].findings.items()}
        if study.labels
        else {}
        for study in outcome.studies
    }


def test_a_table_with_usual_columns_needs_no_options_and_it_is_told_what_was_taken(site: Path) -> None:
    table = write(
        site,
        "Study ID,Folder,Patient,Split,Lung nodule,remarks\n"
        'one,ct/1,P1,train,yes,"a, b"\n'
        "two,ct/2,P1,,no,\n"
        "three,ct/3,P3,val,,\n"
        "four,ct/4,P4,test,indeterminate,\n"
        "five,ct/five.nii.gz,P5,,1,\n",
    )
    importer = TableImporter(table, TASKS["nodule"], ColumnChoice())
    outcome = run_import(importer, site / "out")
    assert not outcome.refused
    assert outcome.set_notes == (
        "Columns by their names: path: Folder; study: Study ID; patient: Patient; split: Split; "
        "lung_nodule: Lung nodule.",
        "Columns left alone: remarks.",
        "Rows without a label: 1.",
    )
    assert states(outcome) == {
        "one": {"lung_nodule": "present"},
        "two": {"lung_nodule": "absent"},
        "three": {},
        "four": {"lung_nodule": "indeterminate"},
        "five": {"lung_nodule": "present"},
    }
    written = {study.study: study for study in Manifest.read(site / "out" / "manifest.csv").studies}
    # The side that is given is also that of the patient's other study; the file's patient gets one.
    assert [written[name].split for name in ("one", "two", "three", "four")] == [
        "train",
        "train",
        "validation",
        "test",
    ]
    assert written["five"].split in ("train", "validation", "test")
    assert written["one"].patient == written["two"].patient == "P1"


def test_without_a_patient_column_the_files_say_whose_they_are(site: Path) -> None:
    table = write(site, "path,nodule\n" + "".join(f"ct/{number},0\n" for number in (1, 2, 3, 4)))
    outcome = run(table)
    assert {study.study: study.patient for study in outcome.studies} == {
        "1": "A",
        "2": "A",
        "3": "B",
        "4": "C",
    }
    assert len({study.split for study in outcome.studies if study.patient == "A"}) == 1


def test_columns_are_what_the_options_say(site: Path) -> None:
    table = write(
        site,
        "path;patient;MRN;where;Erguss;Fraktur;z Erguss\n"
        "x;x;77;ct/1;ja;nein;-142,5 bis -118 | -90..-85,25\n"
        "y;y;78;ct/2;NEIN;;\n",
    )
    choice = ColumnChoice(
        path="where",
        study="path",
        patient="MRN",
        findings=(("effusion", "Erguss"), ("rib_fracture", "Fraktur")),
        slices="effusion=z Erguss",
    )
    outcome = run(table, EFFUSION, choice)
    assert states(outcome, "chest") == {
        "x": {"effusion": "present", "rib_fracture": "absent"},
        "y": {"effusion": "absent"},
    }
    (x, y) = outcome.studies
    assert x.labels["chest"].findings["effusion"].slices_mm == ((-142.5, -118.0), (-90.0, -85.25))
    assert (x.patient, y.patient) == ("77", "78")
    assert outcome.task_files["chest"].name == "chest.yaml"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_and_encodings_of_spreadsheets_are_recognised(
    tmp_path: Path, encoding: str, delimiter: str
) -> None:
    rows = [["Größe", "Ort", "Wert"], ["müde", 'a"b', "1,5" if delimiter != "," else "1.5"], ["", "", ""]]
    text = "\r\n".join(delimiter.join(f'"{cell}"'.replace('a"b', 'a""b') for cell in row) for row in rows)
    table = read_table(write(tmp_path, text + f"\r\nkurz{delimiter}{delimiter}{delimiter}\r\n", encoding))
    assert table.columns == ("Größe", "Ort", "Wert")
    assert [tuple(row.cells.values()) for row in table.rows] == [
        ("müde", 'a"b', rows[1][2]),
        ("kurz", "", ""),
    ]
    assert [row.line for row in table.rows] == [2, 4]
    assert table.encoding == encoding.removesuffix("-sig")


def test_the_line_in_which_excel_names_its_delimiter_is_obeyed(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "sep=;\r\na,b;c\r\n1;2\r\n"))
    assert (table.columns, table.rows[0].line) == (("a,b", "c"), 3)


@pytest.mark.parametrize(
    ("state", "words"),
    {
        "present": "yes Y 1 1.0 1,0 TRUE present Positive pos ja",
        "absent": "no N 0 0.0 false absent negative NEG nein",
        "indeterminate": "indeterminate unklar",
    }.items(),
)
def test_words_for_states_are_read_in_either_case(state: str, words: str) -> None:
    assert {state_of(word) for word in words.split()} == {state}
    assert (state_of(""), state_of("maybe"), state_of("2"), state_of("-1"), state_of("10")) == (
        "",
        *[None] * 4,
    )


def test_words_for_sides_and_ranges_of_slices() -> None:
    assert [side_of(word) for word in ("Train", "training", "val", "VALIDATION", "dev", "test", "", "A")] == [
        "train", "train", "validation", "validation", "validation", "test", "", None,
    ]  # fmt: skip
    assert ranges_mm_of("-118 to -142.5") == ((-142.5, -118.0),)
    assert ranges_mm_of("\u221212,5") == ((-12.5, -12.5),)
    assert ranges_mm_of("3..4; 1:2") == ((1.0, 2.0), (3.0, 4.0))
    assert [ranges_mm_of(cell) for cell in ("12 to", "slice 12", "1-2", "1e9", ";", "1 to 999999999")] == [
        None
    ] * 6


WRONG_CELLS = {
    "an unknown word": ("path,nodule\nct/1,yes\nct/2,maybe\n", r"line 3, column nodule: 'maybe' is unknown"),
    "what is known": (
        "path,nodule\nct/1,x\n",
        r"present: yes, y, 1, true.*absent: no.*indeterminate: unclear",
    ),
    "an unknown side": (
        "path,nodule,split\nct/1,1,A\n",
        r"line 2, column split: 'A' is unknown.*train, training",
    ),
    "a study twice": (
        "case,path,nodule\na,ct/1,1\na,ct/2,0\n",
        r"line 3: the study 'a' is in line 2 already",
    ),
    "a folder twice": ("path,nodule\nct/1,1\nct/1,0\n", r"line 3: the file or folder .*ct/1' is in line 2"),
    "a study twice to a disk without upper case": (
        "case,path,nodule\nCT1,ct/1,1\nct1,ct/2,0\n",
        r"line 3: the study 'ct1' is in line 2 already, as 'CT1'",
    ),
    "a study named alike but for a dot at its end": (
        "case,path,nodule\ns3.,ct/1,1\ns3-,ct/2,0\n",
        r"line 3: the study 's3-' is in line 2 already",
    ),
    "a device of Windows": (
        "case,path,nodule\na,ct/1,1\nCom1.ct,ct/2,0\n",
        r"line 3: the name 'Com1.ct' is that of a device of Windows; .*--study-column",
    ),
    "a row per slice": (
        "path,nodule\nct/2/1-003.dcm,1\nct/1/1-003.dcm,1\nct/1/1-004.dcm,0\n",
        r"lines 3 and 4: their DICOM files lie in one folder, .*ct/1\. A study has one row",
    ),
    "a folder and a slice in it": (
        "path,nodule\nct/1,1\nct/1/1-004.dcm,0\n",
        r"lines 2 and 3: their DICOM files lie in one folder, .*ct/1\.",
    ),
    "an empty path": ("path,nodule\n ,1\n", r"line 2, column path: it is empty"),
    "too many cells": ("path,nodule\nct/1,1,0\n", r"line 2: it has 3 cells, the first line names 2"),
    "a column twice": ("path,nodule,nodule\nct/1,1,0\n", r"line 1: column 'nodule' is there twice"),
    "no rows": ("path,nodule\n\n", "there is no row in it"),
    "an open quote": ('path,nodule\n"ct/1,1\n', "is no CSV: unexpected end of data"),
    "one patient on two sides": (
        "path,nodule,patient,split\nct/1,1,P,train\nct/2,0,P,test\n",
        "its patient 'P' is in train and in test",
    ),
}


@pytest.mark.parametrize("what", WRONG_CELLS)
def test_a_cell_that_cannot_be_meant_refuses_the_table_with_line_and_column(site: Path, what: str) -> None:
    text, cause = WRONG_CELLS[what]
    with pytest.raises(ManifestError, match=cause):
        run(write(site, text))


def test_slices_of_what_is_not_present_and_slices_that_are_none_are_refused(site: Path) -> None:
    choice = ColumnChoice(slices="z")
    with pytest.raises(
        ManifestError, match=r"line 2, column z: slices are given, but lung_nodule is absent there"
    ):
        run(write(site, "path,nodule,z\nct/1,no,1 to 2\n"), choice=choice)
    with pytest.raises(
        ManifestError, match=r"line 2, column z: '12-14' is unknown.*ranges of patient z in mm"
    ):
        run(write(site, "path,nodule,z\nct/1,yes,12-14\n"), choice=choice)


WRONG_COLUMNS = {
    "no such column": (
        ColumnChoice(patient="MRN"),
        r"--patient-column MRN: .* has no such column; choose from path, PE",
    ),
    "no finding of the task": (ColumnChoice(findings=(("x", "PE"),)), r"'x' is no finding of the task chest"),
    "no column of a finding": (
        ColumnChoice(),
        r"no column is named like a finding of the task chest \(effusion",
    ),
    "slices of which finding": (
        ColumnChoice(findings=(("effusion", "PE"), ("rib_fracture", "PE")), slices="path"),
        "--slices-column path: of which of the 2 findings",
    ),
    "slices of what has no column": (
        ColumnChoice(findings=(("effusion", "PE"),), slices="rib_fracture=path"),
        "rib_fracture has no column",
    ),
}


@pytest.mark.parametrize("what", WRONG_COLUMNS)
def test_columns_that_cannot_be_meant_are_told_with_those_there_are(site: Path, what: str) -> None:
    choice, cause = WRONG_COLUMNS[what]
    with pytest.raises(ConfigurationError, match=cause):
        run(write(site, "path,PE\nct/1,1\n"), EFFUSION, choice)


def test_a_guess_between_two_columns_and_a_table_without_studies_are_not_guessed(site: Path) -> None:
    with pytest.raises(ConfigurationError, match="path may be Path or path_"):
        run(write(site, "Path,path_,nodule\nct/1,ct/1,1\n"))
    with pytest.raises(ConfigurationError, match="no column says where the studies are; found: size, nodule"):
        run(write(site, "size,nodule\n3,1\n"))


@pytest.mark.parametrize("name", ["Seite", "Side", "Set", "SPLIT"])
def test_a_column_of_sides_is_found_by_its_usual_names(site: Path, name: str) -> None:
    outcome = run(write(site, f"path,patient,{name},nodule\nct/1,A,test,1\nct/3,B,val,0\nct/4,C,,0\n"))
    assert [study.split for study in outcome.studies][:2] == ["test", "validation"]
    assert f"split: {name}" in outcome.set_notes[0]


def test_a_side_of_the_body_is_no_side_of_the_split(site: Path) -> None:
    outcome = run(write(site, "path,Side,nodule\nct/1,left,1\nct/3,right,0\n"))
    assert outcome.set_notes[1] == "Columns left alone: Side."


def test_a_split_under_another_name_is_never_passed_over(site: Path) -> None:
    text = "path,nodule,Gruppe\nct/1,1,train\nct/3,0,test\nct/4,0,\n"
    with pytest.raises(
        ConfigurationError,
        match=r"column Gruppe has sides of a split \(test, train\).*--split-column 'Gruppe'",
    ):
        run(write(site, text))
    outcome = run(write(site, text), choice=ColumnChoice(split="Gruppe"))
    assert [study.split for study in outcome.studies][:2] == ["train", "test"]


def test_the_example_of_a_column_of_findings_is_one_whose_cells_are_states(site: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--finding effusion='PE'\.$"):
        run(write(site, "path,age,PE,remark\nct/1,63,yes,small\nct/3,70,,\n"), EFFUSION)
    with pytest.raises(ConfigurationError, match=r"--finding effusion=COLUMN\.$"):
        run(write(site, "path,age,remark\nct/1,63,small\nct/3,70,\n"), EFFUSION)


def test_what_the_table_calls_synthetic_is_synthetic_in_the_manifest(site: Path) -> None:
    text = "path,nodule,synthetic\nct/1,1,yes\nct/3,0,no\nct/five.nii.gz,0,\n"
    run(write(site, text))
    run_import(TableImporter(site / "table.csv", TASKS["nodule"], ColumnChoice()), site / "out")
    written = Manifest.read(site / "out" / "manifest.csv").studies
    assert {study.study: study.synthetic for study in written} == {"1": True, "3": False, "five": False}
    with pytest.raises(
        ManifestError, match=r"line 2, column synthetic: 'maybe' is unknown\. Known is yes, no"
    ):
        run(write(site, text.replace("yes", "maybe")))


def test_a_column_of_names_does_for_folders_of_these_names(site: Path) -> None:
    table = write(site, "case,nodule\n1,1\n3,0\n9,1\n")
    outcome = run_import(
        TableImporter(table, TASKS["nodule"], ColumnChoice(), site / "ct"), site / "out", dry_run=True
    )
    assert [study.study for study in outcome.studies] == ["1", "3"]
    assert outcome.refused == {"9": f"there is no {site / 'ct' / '9'} (line 4 of the table)."}


def test_workbooks_are_to_be_saved_as_csv(tmp_path: Path) -> None:
    for name, start in (("a.xlsx", b"PK\x03\x04"), ("a.csv", b"PK\x03\x04"), ("a.xls", b"\xd0\xcf\x11\xe0")):
        (tmp_path / name).write_bytes(start + bytes(100))
        with pytest.raises(ConfigurationError, match=r"this is a workbook.*save as CSV"):
            read_table(tmp_path / name)


def test_studies_that_are_none_or_not_whole_are_refused_and_the_others_go_on(site: Path) -> None:
    (site / "ct" / "2" / "1-005.dcm").unlink()
    (site / "ct" / "3" / "empty").mkdir()
    (site / "ct" / "notes.txt").write_text("nothing")
    (site / "ct" / "void.nii.gz").touch()
    paths = ("ct\\1", "ct/2", "ct/3/empty", "ct/notes.txt", "ct/void.nii.gz", "ct/4/1-005.dcm", "gone/4")
    outcome = run(write(site, "path,nodule\n" + "".join(f"{path},1\n" for path in paths)))
    assert {study.study: study.patient for study in outcome.studies} == {"1": "A", "1-005.dcm": "C"}
    for name, why in {
        "2": "1 slice is missing",
        "empty": "the folder holds no files",
        "notes.txt": "is no study. Give a DICOM folder",
        "void": "is empty. Copy it again",
        "4": "there is no",
    }.items():
        assert why in outcome.refused[name]
    assert len(outcome.refused) == 5


def test_studies_of_one_name_in_several_folders_are_named_by_their_paths(site: Path) -> None:
    (site / "more").mkdir()
    (site / "ct" / "3").rename(site / "more" / "1")
    outcome = run(write(site, "path,nodule\nct/1,1\nmore/1,0\n"))
    assert [study.study for study in outcome.studies] == ["ct--1", "more--1"]


def test_a_table_that_windows_wrote_is_told(site: Path) -> None:
    outcome = run(write(site, "path;nodule;Größe\nct/1;1;groß\n", "cp1252"))
    assert outcome.set_notes[2] == "The table is no UTF-8; it was read as Windows-1252, which Excel writes."


def test_a_label_that_changes_in_the_table_is_imported_again(site: Path) -> None:
    text = "path,patient,split,nodule\nct/1,A,train,1\nct/3,B,test,0\nct/none,D,train,0\n"
    choice = ColumnChoice(path="path")
    assert list(run(write(site, text), choice=choice).refused) == ["none"]
    again = run(write(site, text.replace("train,1", "train,0")), choice=choice)
    assert (again.unchanged, states(again)["1"]) == (1, {"lung_nodule": "absent"})
    labels = sorted(path.name for path in (site / "out" / "labels" / "final" / "1").iterdir())
    assert labels == ["nodule.0001.json", "nodule.0002.json"]
