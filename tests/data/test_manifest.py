from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.data.manifest import Manifest, ManifestStudy
from vpt_plugin.errors import ManifestError
from vpt_plugin.labels import FindingLabel, StudyLabel

PRESENT = StudyLabel("nodule", {"lung_nodule": FindingLabel("present", ((-40.0, -31.5),))}, annotator="a")
ABSENT = StudyLabel("nodule", {"lung_nodule": FindingLabel("absent")})
PE_ABSENT = StudyLabel("pe", {"pulmonary_embolism": FindingLabel("absent")})


def study(folder: Path, name: str, **facts: object) -> ManifestStudy:
    path = folder / "images" / f"{name}.nii.gz"
    path.parent.mkdir(exist_ok=True)
    path.touch()
    values: dict[str, object] = {"patient": f"patient of {name}", "split": "train", "labels": {}}
    return ManifestStudy(study=name, path=path, **{**values, **facts})  # type: ignore[arg-type]


def write_csv(folder: Path, text: str) -> Path:
    path = folder / "manifest.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_manifest_that_was_written_is_read_as_it_was(tmp_path: Path) -> None:
    manifest = Manifest(
        (
            study(tmp_path, "chest 1", labels={"nodule": PRESENT, "pe": PE_ABSENT}, synthetic=True),
            study(tmp_path, "chest 2", labels={"nodule": ABSENT}, split="validation"),
            study(tmp_path, "chest 3", split="test"),
        )
    )
    manifest.write(tmp_path / "manifest.csv")
    assert Manifest.read(tmp_path / "manifest.csv") == manifest


def test_paths_are_relative_to_the_csv_and_labels_lie_where_the_label_contract_puts_them(
    tmp_path: Path,
) -> None:
    Manifest((study(tmp_path, "a", labels={"nodule": PRESENT}, patient="P1"),)).write(tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text().splitlines() == [
        "study,path,patient,split,nodule_label,synthetic",
        "a,images/a.nii.gz,P1,train,labels/final/a/nodule.0001.json,no",
    ]
    written = json.loads((tmp_path / "labels/final/a/nodule.0001.json").read_text())
    assert StudyLabel.from_json(written) == PRESENT


def test_a_manifest_can_be_moved_with_its_folder(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    Manifest((study(here, "a", labels={"nodule": PRESENT}),)).write(here / "m.csv")
    here.rename(tmp_path / "there")
    (read,) = Manifest.read(tmp_path / "there" / "m.csv").studies
    assert read.path == tmp_path / "there" / "images" / "a.nii.gz"
    assert read.labels == {"nodule": PRESENT}


def test_writing_again_never_overwrites_a_label(tmp_path: Path) -> None:
    first = study(tmp_path, "a", labels={"nodule": PRESENT})
    corrected = replace(first, labels={"nodule": ABSENT})
    for each in (first, first, corrected):
        Manifest((each,)).write(tmp_path / "m.csv")
    folder = tmp_path / "labels" / "final" / "a"
    assert sorted(path.name for path in folder.iterdir()) == ["nodule.0001.json", "nodule.0002.json"]
    assert Manifest.read(tmp_path / "m.csv").studies[0].labels == {"nodule": ABSENT}


def test_a_study_outside_the_manifests_folder_keeps_its_full_path(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    manifest = Manifest((study(elsewhere, "a"),))
    manifest.write(tmp_path / "set" / "m.csv")
    assert Manifest.read(tmp_path / "set" / "m.csv") == manifest


def test_an_empty_patient_is_one_of_its_own_and_an_empty_split_is_decided_later(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path = write_csv(tmp_path, "study,path,patient,split\nfirst,a,,\nsecond,a,P7,\n")
    first, second = Manifest.read(path).studies
    assert (first.patient, first.split) == ("first", "")
    assert (second.patient, second.split) == ("P7", "")


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_an_empty_split_follows_the_same_patients_other_studies(tmp_path: Path, split: str) -> None:
    (tmp_path / "a").mkdir()
    path = write_csv(tmp_path, f"study,path,patient,split\nfirst,a,P,\nsecond,a,P,{split}\n")
    assert [study.split for study in Manifest.read(path).studies] == [split, split]


def test_an_empty_split_follows_the_same_file_and_hands_the_side_on(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    # "second" is the file of "first" under another patient's name, "third" another study of that patient.
    rows = "third,b,Q,\nsecond,a,Q,\nfirst,a,P,test\nother,b,Q,\n"
    studies = Manifest.read(write_csv(tmp_path, f"study,path,patient,split\n{rows}")).studies
    assert [study.split for study in studies] == ["test"] * 4


def test_a_byte_order_mark_of_a_spreadsheet_and_columns_in_another_order_do_not_matter(
    tmp_path: Path,
) -> None:
    (tmp_path / "a").mkdir()
    path = write_csv(tmp_path, "\ufeffsplit,patient,study,path\ntest,P,first,a\n")
    assert Manifest.read(path).studies == (ManifestStudy("first", tmp_path / "a", "P", "test", {}),)


HEAD = "study,path,patient,split,nodule_label\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: column study is missing"),
        ("study;path;patient;split\n", "line 1: column study is missing; found: study;path;patient;split"),
        ("study,path,split\n", "line 1: column patient is missing"),
        ("study,path,patient,split,age\n", "line 1: column age is unknown"),
        ("study,path,patient,split,split\n", "line 1: column split is there twice"),
        (HEAD, "there is no study in it"),
        (HEAD + "s,a,P,train,\nt,b,P,train,\n", "line 3, column path: 'b' does not exist"),
        (HEAD + "s,,P,train,\n", "line 2, column path: '' does not exist"),
        (HEAD + "s,a,P,training,\n", "line 2, column split: 'training' is unknown; choose from train, vali"),
        (HEAD + "s,a,P,train,no.json\n", "line 2, column nodule_label: 'no.json' does not exist"),
        (HEAD + "s,a,P,train,bad.json\n", "line 2, column nodule_label: bad.json: the label is not JSON"),
        (HEAD + "s,a,P,train,pe.json\n", "line 2, column nodule_label: pe.json is a label for the task 'pe'"),
        (HEAD + "s,a,P,train\n", "line 2: the line has more or fewer cells"),
        (HEAD + "s,a,P,train,,\n", "line 2: the line has more or fewer cells"),
        (HEAD + "../s,a,P,train,\n", "line 2, column study: '../s' cannot be the name of a study"),
        (HEAD + "s,a,P,train,\n\ns,a,P,train,\n", "line 4, column study: 's' is there already"),
        (HEAD + "s,a,P,train,\nt,a,P,test,\n", "line 3, column split: patient 'P' is in test and in train."),
        ("study,path,patient,split,synthetic\ns,a,P,test,maybe\n", "column synthetic: 'maybe' is neither"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused_with_line_and_column(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "pe.json").write_text(json.dumps(PE_ABSENT.to_json()))
    path = write_csv(tmp_path, text)
    with pytest.raises(ManifestError) as caught:
        Manifest.read(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_manifest_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        Manifest.read(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestError, match="cannot be read"):
        Manifest.read(tmp_path / "binary.csv")


def test_a_name_that_cannot_be_a_folder_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be the name of a study"):
        Manifest((replace(study(tmp_path, "a"), study="../a"),)).write(tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()


@given(rows=st.lists(st.tuples(st.sampled_from("PQRS"), st.sampled_from(["train", "validation", "test"]))))
def test_no_patient_is_on_two_sides_of_a_manifest(rows: list[tuple[str, str]]) -> None:
    studies = tuple(
        ManifestStudy(str(number), Path(str(number)), patient, split, {})
        for number, (patient, split) in enumerate(rows)
    )
    if len(set(rows)) == len({patient for patient, _ in rows}):
        assert Manifest(studies).studies == studies
    else:
        with pytest.raises(ManifestError, match="on one side only"):
            Manifest(studies)


def test_one_scan_under_two_names_is_on_one_side_only(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").touch()
    (tmp_path / "images").mkdir()
    rows = "s1,a.nii.gz,,train\ns2,images/../a.nii.gz,,{}\n"
    text = "study,path,patient,split\n" + rows
    with pytest.raises(ManifestError, match=r"line 3, .*a\.nii\.gz' is in validation and in train.*line 2"):
        Manifest.read(write_csv(tmp_path, text.format("validation")))
    assert len(Manifest.read(write_csv(tmp_path, text.format("train"))).studies) == 2
