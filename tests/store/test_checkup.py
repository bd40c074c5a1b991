"""A checkup finds what needs a person, and changes nothing."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from vpt_plugin.errors import LabelConflictError, StudyNotFoundError
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store.checkup import check_labels
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.stock import find_stock_files
from vpt_plugin.store.study_history import study_history


def nodule(state: str, annotator: str = "anna", task: str = "nodule") -> StudyLabel:
    return StudyLabel(task, {"lung_nodule": FindingLabel(state)}, annotator)


def conflict(labels: LabelFolder, study: str, annotator: str) -> None:
    with pytest.raises(LabelConflictError):
        labels.save(study, nodule("present", annotator), if_version=0)


def test_a_folder_where_all_is_well_needs_nobody(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    assert not check_labels(labels, set()).needs_a_person
    labels.save("a", nodule("present"))
    labels.save("b", nodule("absent"))
    labels.save("b", nodule("absent", task="other"))
    found = check_labels(labels, {"a", "b", "c"})
    assert not found.needs_a_person
    assert (found.labelled, found.studies) == (2, 3)
    assert found.counts == {
        "nodule": {"present": 1, "absent": 1, "indeterminate": 0},
        "other": {"present": 0, "absent": 1, "indeterminate": 0},
    }


def test_a_damaged_file_needs_a_person(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present"))
    (tmp_path / "final/a/nodule.0002.json").write_text("{")
    found = check_labels(labels, {"a"})
    assert found.needs_a_person
    assert [each["path"] for each in found.to_json()["damaged"]] == [
        str(tmp_path / "final/a/nodule.0002.json")
    ]


def test_labels_without_their_study_are_told_with_the_place_it_may_have_moved_to(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    for study in ("old--p1.nii", "p2.nii", "x--p3.nii", "p4.nii", "here.nii"):
        labels.save(study, nodule("present"))
    there = {"here.nii", "new--p1.nii", "one--p2.nii", "two--p2.nii", "y--here.nii", "a--p4.nii.gz"}
    found = check_labels(labels, there)
    assert found.needs_a_person
    # p2.nii could be either of two studies; p3.nii is nowhere.
    assert [(each.study, each.moved_to) for each in found.orphans] == [
        ("old--p1.nii", "new--p1.nii"),
        ("p2.nii", ""),
        ("p4.nii", "a--p4.nii.gz"),
        ("x--p3.nii", ""),
    ]


def test_a_study_with_labels_of_its_own_is_not_where_another_moved_to(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("old--p1.nii", nodule("present"))
    labels.save("new--p1.nii", nodule("absent"))
    assert [each.moved_to for each in check_labels(labels, {"new--p1.nii"}).orphans] == [""]


def test_where_nobody_knows_the_studies_no_label_is_without_its_study(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("1.2.840.1", nodule("present"))
    found = check_labels(labels, None)
    assert (found.needs_a_person, found.orphans, found.studies) == (False, (), None)


def test_a_label_that_was_set_aside_needs_its_reader_until_they_label_again(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("absent", "anna"))
    conflict(labels, "a", "otto")
    found = check_labels(labels, {"a"})
    assert found.needs_a_person
    assert [each["annotator"] for each in found.to_json()["set_aside"]] == ["otto"]
    labels.save("a", nodule("absent", "otto"), if_version=1)
    found = check_labels(labels, {"a"})
    assert (found.needs_a_person, found.set_aside) == (False, ())


def test_disagreeing_readers_are_told_but_are_no_fault(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present", "anna"))
    labels.save("a", nodule("absent", "otto"))
    found = check_labels(labels, {"a"})
    assert not found.needs_a_person
    assert found.to_json()["disagreements"] == [
        {"study": "a", "task": "nodule", "findings": ["lung_nodule"], "annotators": {"anna": 1, "otto": 2}}
    ]


def test_what_others_left_is_told_and_stays(tmp_path: Path) -> None:
    root = tmp_path / "labels"
    labels = LabelFolder(root)
    labels.save("a", nodule("present"))
    (tmp_path / "datastore_v2.json").write_text("{}")
    (root / "final/p9.nii.gz").write_text("")
    young, old = root / "final/a/.nodule.0002.json.1.tmp", root / "final/a/.nodule.0002.json.2.tmp"
    for path in (young, old):
        path.write_text("")
    two_hours_ago = time.time() - 7200
    os.utime(old, (two_hours_ago, two_hours_ago))
    found = check_labels(labels, {"a"}, find_stock_files(root)).to_json()
    assert not found["needs_a_person"]
    assert found["leftovers"] == [str(old)]
    assert {Path(each["path"]).name for each in found["stock"]} == {"datastore_v2.json", "p9.nii.gz"}
    assert young.exists()
    assert old.exists()


def test_the_checkup_is_json_that_every_program_reads(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present"))
    conflict(labels, "a", "otto")
    found = check_labels(labels, {"a"}).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["schema"] == "vptct.labels-check/1"


def test_a_history_is_all_that_was_said_of_a_study(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    for annotator in ("anna", "otto"):
        labels.save("a", nodule("absent", annotator))
    labels.save("a", nodule("absent", task="other"))
    conflict(labels, "a", "ida")
    (tmp_path / "final/a/nodule.0003.json").write_text("{")
    found = study_history(labels, "a").to_json()
    assert [(each["label"]["task"], each["version"]) for each in found["versions"]] == [
        ("nodule", 1), ("nodule", 2), ("other", 1),
    ]  # fmt: skip
    assert [each["label"]["annotator"] for each in found["set_aside"]] == ["ida"]
    assert [Path(each["path"]).name for each in found["damaged"]] == ["nodule.0003.json"]
    one = study_history(labels, "a", "other")
    assert (len(one.versions), one.set_aside, one.damaged) == (1, (), ())


@pytest.mark.parametrize(
    ("study", "task", "told"),
    [
        ("p01--ct.nii", None, "it has no label. Labelled studies with a similar id: p01-ct.nii."),
        ("p01-ct.nii", "pe", "it has no pe label. It is labelled for nodule."),
        ("../p01-ct.nii", None, "this is no id of a study"),
    ],
)
def test_a_study_of_which_nothing_was_said_is_an_error_that_helps(
    tmp_path: Path, study: str, task: str | None, told: str
) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("p01-ct.nii", nodule("present"))
    with pytest.raises(StudyNotFoundError, match=told):
        study_history(labels, study, task)


def test_labels_are_never_said_to_belong_into_a_folder_that_is_there(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("old--ct.nii", nodule("present"))
    labels.save("new--ct.nii", nodule("absent")).path.write_text("damaged")
    assert [each.moved_to for each in check_labels(labels, {"new--ct.nii"}).orphans] == [""]
    labels.save("old--b.nii", nodule("present"))
    with pytest.raises(LabelConflictError):
        labels.save("new--b.nii", nodule("absent"), if_version=7)
    found = check_labels(labels, {"new--ct.nii", "new--b.nii"})
    assert {each.study: each.moved_to for each in found.orphans} == {"old--b.nii": "", "old--ct.nii": ""}
