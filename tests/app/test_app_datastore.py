"""MONAI Label's datastore over our folders."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from lib.datastore import StudyDatastore, id_of_label
from lib.errors import BadRequestError, NothingThereError, NotOfferedError
from monailabel.interfaces.datastore import Datastore

from vpt_plugin.errors import LabelConflictError, LabelError, StudyNotFoundError
from vpt_plugin.labels import FindingLabel, StudyLabel, now
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.studies import StudyFolder
from vpt_plugin.tasks import TASKS


@pytest.fixture
def datastore(tmp_path: Path) -> StudyDatastore:
    for name in ("a.nii.gz", "b.nrrd", "c.mha"):
        (tmp_path / name).write_bytes(b"x")
    return StudyDatastore(StudyFolder(tmp_path), LabelFolder(tmp_path / "labels"), list(TASKS.values()))


def contract(task: str, finding: str, state: str, **fields: str) -> bytes:
    label = StudyLabel(task=task, findings={finding: FindingLabel(state)}, **fields)  # type: ignore[arg-type]
    return json.dumps(label.to_json()).encode()


def save(datastore: StudyDatastore, study: str, sent: bytes, *, tag: str = "final") -> str:
    """The id of the label that is saved."""
    return id_of_label(datastore.save(study, datastore.check.label(sent), tag=tag))


NODULE = contract("nodule", "lung_nodule", "present", annotator="anna", created="2026-11-20T20:31:05Z")
PE = contract("pe", "pulmonary_embolism", "absent", created="2026-11-20T20:40:00Z")


def test_nothing_of_monai_labels_interface_is_missing() -> None:
    assert issubclass(StudyDatastore, Datastore)
    assert StudyDatastore.__abstractmethods__ == frozenset()


def test_studies_are_listed_with_their_labels(datastore: StudyDatastore) -> None:
    assert datastore.list_images() == ["a.nii.gz", "b.nrrd", "c.mha"]
    assert save(datastore, "b.nrrd", NODULE) == "b.nrrd.nodule.0001"
    assert save(datastore, "b.nrrd", PE) == "b.nrrd.pe.0001"
    assert datastore.get_labeled_images() == ["b.nrrd"]
    assert datastore.get_unlabeled_images() == ["a.nii.gz", "c.mha"]
    assert datastore.get_labels_by_image_id("b.nrrd") == {"final": "b.nrrd.pe.0001"}
    assert datastore.get_label_by_image_id("a.nii.gz", "final") == ""
    assert datastore.status() == {"total": 3, "completed": 1, "label_tags": {"final": 1}}
    assert datastore.datalist() == [
        {"image": "b.nrrd", "label": "b.nrrd.nodule.0001"},
        {"image": "b.nrrd", "label": "b.nrrd.pe.0001"},
    ]
    assert datastore.json()["objects"]["b.nrrd"] == {
        "labels": {"final": ["b.nrrd.nodule.0001", "b.nrrd.pe.0001"]}
    }


def test_a_label_is_saved_under_the_id_that_counts_by_whatever_id_the_study_was_opened(
    datastore: StudyDatastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datastore.studies, "require", lambda study: {"p01--ct1": "p01"}[study])
    assert save(datastore, "p01--ct1", PE) == "p01.pe.0001"


def test_the_newest_label_is_the_one_saved_last_whatever_time_the_client_says(
    datastore: StudyDatastore,
) -> None:
    for seconds, contract_json in ((1000, PE), (2000, NODULE)):
        saved = save(datastore, "a.nii.gz", contract_json)
        os.utime(datastore.get_label_uri(saved, "final"), (seconds, seconds))
    # The nodule label says it was made nine minutes before the other one.
    assert datastore.get_labels_by_image_id("a.nii.gz") == {"final": "a.nii.gz.nodule.0001"}


def test_a_label_without_a_time_gets_the_servers(datastore: StudyDatastore) -> None:
    before = now()
    saved = save(datastore, "a.nii.gz", contract("nodule", "lung_nodule", "absent"))
    assert before <= datastore.get_label_info(saved, "final")["created"] <= now()


@pytest.mark.parametrize(
    ("field", "text"),
    [("comment", "\x1b]0;x\x07"), ("comment", "a\x9b2J"), ("annotator", "an\nna"), ("series_uid", "1.2\0")],
)
def test_a_label_that_a_terminal_would_obey_is_refused(
    datastore: StudyDatastore, field: str, text: str
) -> None:
    label = json.loads(contract("nodule", "lung_nodule", "absent"))
    with pytest.raises(LabelError, match=f"{field} holds the control character"):
        datastore.check.label(json.dumps(label | {field: text}).encode())


def test_a_comment_may_have_several_lines(datastore: StudyDatastore) -> None:
    label = json.loads(contract("nodule", "lung_nodule", "absent")) | {"comment": "one\r\n\ttwo\nthree"}
    assert datastore.check.label(json.dumps(label).encode()).comment == "one\r\n\ttwo\nthree"


def test_a_refused_label_without_a_time_that_is_sent_again_is_set_aside_once(
    datastore: StudyDatastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = datastore.check.label(contract("nodule", "lung_nodule", "absent"))
    save(datastore, "a.nii.gz", NODULE)
    for seconds in ("05", "06"):
        monkeypatch.setattr("lib.datastore.now", lambda seconds=seconds: f"2099-01-01T00:00:{seconds}Z")
        with pytest.raises(LabelConflictError):
            datastore.save("a.nii.gz", label, if_version=0)
    assert [each.label.created for each in datastore.labels.conflicts()] == ["2099-01-01T00:00:05Z"]


def test_labelled_means_labelled_for_the_findings_that_are_asked_for(datastore: StudyDatastore) -> None:
    save(datastore, "a.nii.gz", NODULE)
    assert datastore.get_labeled_images(labels=["lung_nodule"]) == ["a.nii.gz"]
    assert datastore.get_labeled_images(labels=["pulmonary_embolism"]) == []
    assert datastore.get_unlabeled_images(labels=["pulmonary_embolism"]) == ["a.nii.gz", "b.nrrd", "c.mha"]


def test_every_version_of_a_label_can_be_read_again(datastore: StudyDatastore) -> None:
    first = save(datastore, "a.nii.gz", NODULE)
    second = save(datastore, "a.nii.gz", contract("nodule", "lung_nodule", "absent", annotator="bert"))
    assert datastore.get_label(first, "final")["annotator"] == "anna"
    assert datastore.get_label(second, "final")["annotator"] == "bert"
    assert datastore.get_label_info(first, "final") == {
        "study": "a.nii.gz",
        "task": "nodule",
        "version": 1,
        "annotator": "anna",
        "created": "2026-11-20T20:31:05Z",
    }
    assert (
        Path(datastore.get_label_uri(first, "final")).read_bytes()
        == Path(datastore.labels.root / "final" / "a.nii.gz" / "nodule.0001.json").read_bytes()
    )


def test_a_label_in_a_file_is_saved_like_one_in_memory(datastore: StudyDatastore, tmp_path: Path) -> None:
    (tmp_path / "upload.json").write_bytes(NODULE)
    assert (
        datastore.save_label("a.nii.gz", str(tmp_path / "upload.json"), "final", {}) == "a.nii.gz.nodule.0001"
    )


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (b"", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[]", "schema 'vptct.label/1'"),
        (b"[" * 100_000, "is not JSON"),
        (
            contract("other", "lung_nodule", "present"),
            "task 'other' is not served here; choose from pe, nodule",
        ),
        (
            contract("pe", "lung_nodule", "present"),
            "finding 'lung_nodule' is not of the task pe; choose from",
        ),
        (NODULE.replace(b"present", b"maybe"), "'maybe' is unknown; choose from present, absent, indetermin"),
    ],
)
def test_a_label_that_does_not_follow_the_contract_is_refused(
    datastore: StudyDatastore, label: bytes, message: str
) -> None:
    with pytest.raises(LabelError, match=message):
        save(datastore, "a.nii.gz", label)
    assert datastore.get_labeled_images() == []


def test_a_label_needs_a_study_and_the_tag_final(datastore: StudyDatastore) -> None:
    with pytest.raises(StudyNotFoundError):
        save(datastore, "../a", NODULE)
    with pytest.raises(BadRequestError, match="labels have the tag final"):
        save(datastore, "a.nii.gz", NODULE, tag="../../x")


@pytest.mark.parametrize(
    "label_id",
    [
        "",
        "a.nii.gz",
        "a.nii.gz.nodule",
        "a.nii.gz.nodule.0002",
        "../a.nii.gz.nodule.0001",
        "a.nii.gz.nodule.1",
    ],
)
def test_a_label_id_that_was_not_given_out_leads_nowhere(datastore: StudyDatastore, label_id: str) -> None:
    save(datastore, "a.nii.gz", NODULE)
    with pytest.raises(NothingThereError):
        datastore.get_label(label_id, "final")


def test_notes_about_a_study_are_kept_and_hold_no_path(datastore: StudyDatastore) -> None:
    datastore.update_image_info("a.nii.gz", {"strategy": {"random": {"ts": 1}}})
    facts = {"name": "a.nii.gz", "kind": "nifti", "place": "a.nii.gz"}
    assert datastore.get_image_info("a.nii.gz") == {**facts, "strategy": {"random": {"ts": 1}}}
    with pytest.raises(StudyNotFoundError):
        datastore.update_image_info("z", {})


def test_nothing_is_added_removed_or_changed_from_afar(datastore: StudyDatastore) -> None:
    label = save(datastore, "a.nii.gz", NODULE)
    for refused in (
        lambda: datastore.add_image("d.nii", "d.nii", {}),
        lambda: datastore.remove_image("a.nii.gz"),
        lambda: datastore.remove_label(label, "final"),
        lambda: datastore.update_label_info(label, "final", {}),
        lambda: datastore.get_dataset_archive(None),
    ):
        with pytest.raises(NotOfferedError):
            refused()
    assert datastore.list_images() == ["a.nii.gz", "b.nrrd", "c.mha"]
    assert datastore.get_labeled_images() == ["a.nii.gz"]


def test_a_study_that_is_copied_in_is_there_after_a_refresh(
    datastore: StudyDatastore, tmp_path: Path
) -> None:
    assert len(datastore.list_images()) == 3
    (tmp_path / "d.nii").write_bytes(b"x")
    datastore.refresh()
    assert datastore.list_images() == ["a.nii.gz", "b.nrrd", "c.mha", "d.nii"]
