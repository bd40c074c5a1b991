"""RSNA-PE: what its rows and headers become, and what is refused, on miniatures in Kaggle's layout."""

from __future__ import annotations

import csv
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  the name its documentation uses
from rsna_set import (
    COLUMNS,
    INDETERMINATE,
    NEGATIVE,
    PIXEL_MM,
    POSITIVE,
    STEP_MM,
    MadeStudy,
    Row,
    write_rsna_set,
    write_table,
)

from vpt_plugin.ct.clips import positive_slices
from vpt_plugin.ct.reader import read_study
from vpt_plugin.data.importers.importer import FoundSet, FoundStudy, ReadStudy
from vpt_plugin.data.importers.rsna import RSNA_PE, RsnaImporter
from vpt_plugin.data.importers.rsna_table import StudyRows, read_rsna_table
from vpt_plugin.errors import ConfigurationError, GeometryError, LabelError, ManifestError, StudyError
from vpt_plugin.labels import FindingLabel
from vpt_plugin.tasks import load_task_file, task_file_text

PRESENT = MadeStudy("present", POSITIVE, (2, 3, 4, 6))
ABSENT = MadeStudy("absent", NEGATIVE)


def find(folder: Path) -> FoundSet[StudyRows]:
    return RsnaImporter(folder).find()


def found(folder: Path, study: MadeStudy) -> FoundStudy[StudyRows]:
    return next(each for each in find(folder).studies if each.name == study.name)


def imported(folder: Path, study: MadeStudy) -> ReadStudy:
    """The study of a set that was written before, or is written now."""
    if not folder.exists():
        write_rsna_set(folder, [study])
    return RsnaImporter(folder).read(found(folder, study))


def findings(read: ReadStudy, task: str) -> dict[str, FindingLabel]:
    return dict(next(label for label in read.labels if label.task == task).findings)


def states(read: ReadStudy, task: str) -> dict[str, str]:
    return {name: finding.state for name, finding in findings(read, task).items()}


def refused(tmp_path: Path, study: MadeStudy, change: Callable[[list[Row]], None]) -> str:
    """Why a study is refused whose rows were changed."""
    folder = write_rsna_set(tmp_path / "set", [study])
    rows = study.rows()
    change(rows)
    write_table(folder, rows)
    with pytest.raises((LabelError, StudyError)) as error:
        imported(folder, study)
    return str(error.value)


@pytest.mark.parametrize("implicit", [False, True])
def test_marked_slices_become_ranges_of_patient_z_from_the_headers(tmp_path: Path, implicit: bool) -> None:
    read = imported(tmp_path / "set", replace(PRESENT, implicit=implicit))
    finding = findings(read, "pe")["pulmonary_embolism"]
    # Slices are 1.25 mm apart, slice 0 lies at z = 0: slices 2 to 4, and slice 6.
    assert finding == FindingLabel("present", ((2.5, 5.0), (7.5, 7.5)))
    volume = read_study(read.path)
    assert volume.provenance.series_uid == read.labels[0].series_uid == PRESENT.series_name()
    marked = positive_slices(volume.slice_z_mm, finding.slices_mm or ())
    assert marked.nonzero()[0].tolist() == [2, 3, 4, 6]


@pytest.mark.parametrize("implicit", [False, True])
def test_a_hashed_sop_class_leads_simpleitk_astray_and_not_us(tmp_path: Path, implicit: bool) -> None:
    read = imported(tmp_path / "set", replace(PRESENT, implicit=implicit))
    assert read_study(read.path).spacing_mm == pytest.approx((STEP_MM, PIXEL_MM, PIXEL_MM))
    try:
        spacing = sitk.ReadImage(str(next(read.path.iterdir()))).GetSpacing()
    except RuntimeError as error:
        spacing = str(error)
    # Depending on the rest of the header it gives 1 mm, or takes the file for no image at all.
    assert "Unable to determine ImageIO" in spacing or spacing[0] == 1


def test_a_negative_exam_is_absent_and_an_indeterminate_one_neither(tmp_path: Path) -> None:
    assert states(imported(tmp_path / "a", ABSENT), "pe") == {"pulmonary_embolism": "absent"}
    unclear = imported(tmp_path / "b", MadeStudy("unclear", INDETERMINATE))
    assert states(unclear, "pe") == {"pulmonary_embolism": "indeterminate"}


def test_the_nine_findings_are_as_stated(tmp_path: Path) -> None:
    read = imported(tmp_path / "set", PRESENT)
    present = {name for name, state in states(read, "rsna_pe").items() if state == "present"}
    assert present == {"rightsided_pe", "central_pe", "rv_lv_ratio_lt_1"}
    assert set(states(read, "rsna_pe").values()) == {"present", "absent"}
    assert len(states(read, "rsna_pe")) == 9


def test_of_an_exam_nobody_could_judge_no_embolism_is_said_to_be_absent(tmp_path: Path) -> None:
    found_states = states(imported(tmp_path / "set", MadeStudy("unclear", INDETERMINATE)), "rsna_pe")
    assert found_states.pop("indeterminate") == "present"
    assert found_states.pop("negative_exam_for_pe") == "absent"
    assert set(found_states.values()) == {"indeterminate"}


def test_what_else_is_said_of_a_study_is_in_the_comment(tmp_path: Path) -> None:
    study = MadeStudy("moved", {**NEGATIVE, "qa_motion": 1, "true_filling_defect_not_pe": 1})
    label = imported(tmp_path / "set", study).labels[0]
    assert label.comment.endswith("2020; motion, a filling defect that is no embolism")


def test_the_file_of_its_task_says_the_same_as_the_task(tmp_path: Path) -> None:
    path = tmp_path / "rsna_pe.yaml"
    path.write_text(task_file_text(RSNA_PE), encoding="utf-8")
    assert load_task_file(path) == RSNA_PE
    assert len(RSNA_PE.findings) == 9


def test_the_patient_is_the_one_of_the_header(tmp_path: Path) -> None:
    read = imported(tmp_path / "set", replace(PRESENT, patient_id="somebody"))
    assert (read.patient, read.patient_id) == ("", "somebody")


CONTRADICTIONS: dict[str, tuple[MadeStudy, Row, str]] = {
    "rows": (PRESENT, {"central_pe": 0, "chronic_pe": 1}, "do not agree on chronic_pe, central_pe"),
    "marked": (ABSENT, {"pe_present_on_image": 1}, "it is negative_exam_for_pe, and 1 slice is marked"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_one_row_that_contradicts_the_others_refuses_the_study(tmp_path: Path, name: str) -> None:
    study, change, why = CONTRADICTIONS[name]
    message = refused(tmp_path, study, lambda rows: rows[3].update(change))
    assert message.startswith("train.csv contradicts itself: ")
    assert why in message


@pytest.mark.parametrize(
    ("says", "marked", "why"),
    [
        ({**NEGATIVE, **INDETERMINATE}, (), "both negative_exam_for_pe and indeterminate"),
        ({**NEGATIVE, "leftsided_pe": 1}, (), "it is negative_exam_for_pe, and leftsided_pe"),
        (INDETERMINATE, (1, 2), "it is indeterminate, and 2 slices are marked"),
        (POSITIVE, (), "neither negative_exam_for_pe nor indeterminate, and no slice is marked"),
    ],
)
def test_statements_that_exclude_each_other_refuse_the_study(
    tmp_path: Path, says: Row, marked: tuple[int, ...], why: str
) -> None:
    with pytest.raises(LabelError, match=why):
        imported(tmp_path / "set", MadeStudy("odd", says, marked))


def test_a_slice_both_with_and_without_an_embolism_refuses_the_study(tmp_path: Path) -> None:
    def twice(rows: list[Row]) -> None:
        rows.append({**rows[0], "pe_present_on_image": 1 - int(rows[0]["pe_present_on_image"])})

    assert "1 slice both with and without an embolism" in refused(tmp_path, PRESENT, twice)


def test_a_row_that_is_there_twice_is_told_and_counts_once(tmp_path: Path) -> None:
    folder = write_rsna_set(tmp_path / "set", [PRESENT])
    write_table(folder, [*PRESENT.rows(), PRESENT.rows()[0]])
    read = imported(folder, PRESENT)
    assert findings(read, "pe")["pulmonary_embolism"].slices_mm == ((2.5, 5.0), (7.5, 7.5))
    assert "1 slices have more than one row" in read.notes[0]


def test_rows_without_a_file_refuse_the_study_also_at_its_end(tmp_path: Path) -> None:
    folder = write_rsna_set(tmp_path / "set", [PRESENT])
    gone = folder / "train" / PRESENT.name / PRESENT.series_name() / f"{PRESENT.slice_name(7)}.dcm"
    gone.unlink()
    # Of the geometry alone it would be a whole study of seven slices.
    with pytest.raises(StudyError, match=rf"1 of its 8 slices are not there: {PRESENT.slice_name(7)}"):
        imported(folder, PRESENT)


def test_files_without_a_row_refuse_the_study(tmp_path: Path) -> None:
    message = refused(tmp_path, PRESENT, lambda rows: rows.__delitem__(slice(2)))
    assert "train.csv has no row of 2 of its 8 slices" in message


def test_a_damaged_file_refuses_the_study(tmp_path: Path) -> None:
    folder = write_rsna_set(tmp_path / "set", [PRESENT])
    file = folder / "train" / PRESENT.name / PRESENT.series_name() / f"{PRESENT.slice_name(7)}.dcm"
    file.write_bytes(file.read_bytes()[:400])
    with pytest.raises(StudyError, match=r"\.dcm, of the series to be read|is damaged or cut short"):
        imported(folder, PRESENT)


def test_a_gap_between_slices_is_refused_as_the_reader_refuses_it(tmp_path: Path) -> None:
    folder = write_rsna_set(tmp_path / "set", [ABSENT])
    for number in (3, 4):
        (folder / "train" / ABSENT.name / ABSENT.series_name() / f"{ABSENT.slice_name(number)}.dcm").unlink()
    write_table(folder, [row for row in ABSENT.rows() if row["SOPInstanceUID"] not in
                         (ABSENT.slice_name(3), ABSENT.slice_name(4))])  # fmt: skip
    with pytest.raises(GeometryError, match="2 slices are missing"):
        imported(folder, ABSENT)


def test_of_several_series_one_that_shows_the_embolism_is_taken(tmp_path: Path) -> None:
    study = MadeStudy("two", POSITIVE, (2, 3), series=("thick", "thin"))
    folder = write_rsna_set(tmp_path / "set", [study])
    rows = [
        row | ({"pe_present_on_image": 0} if row["SeriesInstanceUID"] == study.series_name("thick") else {})
        for row in study.rows()
    ]
    write_table(folder, rows)
    read = imported(folder, study)
    assert read.path.name == study.series_name("thin")
    assert read.notes == (
        f"Of 2 series {study.series_name('thin')} is taken; left out: {study.series_name('thick')}.",
    )
    assert findings(read, "pe")["pulmonary_embolism"].slices_mm == ((2.5, 3.75),)


def test_of_several_series_whose_files_lie_a_folder_deeper_one_is_taken_as_well(tmp_path: Path) -> None:
    study = MadeStudy("two", NEGATIVE, series=("a", "b"))
    folder = write_rsna_set(tmp_path / "set", [study])
    for series in study.series:
        own = folder / "train" / study.name / study.series_name(series)
        files = list(own.iterdir())
        (own / "unpacked").mkdir()
        for file in files:
            file.rename(own / "unpacked" / file.name)
    read = imported(folder, study)
    assert read.path.name in map(study.series_name, study.series)
    assert states(read, "pe") == {"pulmonary_embolism": "absent"}


def test_studies_without_a_folder_or_without_a_row_are_refused_before_reading(tmp_path: Path) -> None:
    folder = write_rsna_set(tmp_path / "set", [PRESENT, ABSENT])
    write_table(folder, [*PRESENT.rows(), *MadeStudy("elsewhere").rows()])
    everything = find(folder)
    assert [study.name for study in everything.studies] == [PRESENT.name]
    assert everything.refused == {
        MadeStudy("elsewhere").name: "train.csv has 8 rows of it, and train no such folder.",
        ABSENT.name: "train.csv has no row of it.",
    }


def test_the_test_set_without_labels_is_left_out_and_told(tmp_path: Path) -> None:
    folder = write_rsna_set(tmp_path / "set", [PRESENT])
    MadeStudy("unlabelled").write(folder / "test")
    everything = find(folder)
    assert [study.name for study in everything.studies] == [PRESENT.name]
    assert everything.notes == (f"1 study in {folder / 'test'} has no labels: left out.",)


@pytest.mark.parametrize("missing", ["train.csv", "train"])
def test_a_folder_that_is_not_the_data_set_is_named(tmp_path: Path, missing: str) -> None:
    folder = write_rsna_set(tmp_path / "set", [])
    (folder / missing).rename(folder / "elsewhere")
    with pytest.raises(ConfigurationError, match=rf"{missing} is not there; give the folder that holds"):
        find(folder)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    path = tmp_path / "train.csv"
    path.write_text(",".join(name for name in COLUMNS if name != column) + "\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=rf"line 1: column {column} is missing"):
        read_rsna_table(path)


@pytest.mark.parametrize(
    ("column", "cell", "why"),
    [
        ("pe_present_on_image", "yes", "line 3, column pe_present_on_image: 'yes' is neither 0 nor 1"),
        ("chronic_pe", "", "line 3, column chronic_pe: '' is neither 0 nor 1"),
        ("StudyInstanceUID", "../../etc", r"line 3, column StudyInstanceUID: '\.\./\.\./etc' cannot be"),
        ("SeriesInstanceUID", "", "line 3, column SeriesInstanceUID: '' cannot be the name"),
    ],
)
def test_a_cell_that_cannot_be_is_named_with_its_line(
    tmp_path: Path, column: str, cell: str, why: str
) -> None:
    rows = PRESENT.rows()
    rows[1][column] = cell
    write_table(tmp_path, rows)
    with pytest.raises(ManifestError, match=why):
        read_rsna_table(tmp_path / "train.csv")


def test_a_line_that_is_cut_off_is_named(tmp_path: Path) -> None:
    path = write_table(tmp_path, PRESENT.rows())
    path.write_text(path.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    with pytest.raises(ManifestError, match=r"line 9: the line has \d+ cells, the first one 17"):
        read_rsna_table(path)


def test_the_order_of_rows_and_columns_does_not_matter(tmp_path: Path) -> None:
    path = write_table(tmp_path, [*PRESENT.rows(), *ABSENT.rows()])
    before = read_rsna_table(path)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS[::-1])
        writer.writeheader()
        pairs = zip(PRESENT.rows(), ABSENT.rows(), strict=True)
        writer.writerows(row for pair in pairs for row in pair)
    after = read_rsna_table(path)
    assert after == before


def test_a_million_rows_would_take_less_than_200_mb(tmp_path: Path) -> None:
    path = write_table(tmp_path, [row for n in range(100) for row in MadeStudy(f"{n}", slices=200).rows()])
    tracemalloc.start()
    rows = read_rsna_table(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(each.count for each in rows.values()) == 20_000
    assert peak / 20_000 < 200
