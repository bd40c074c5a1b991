"""Who read what on their own: the first label of each reader."""

from __future__ import annotations

from pathlib import Path

from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.readings import double_read, readings


def says(state: str, annotator: str, *, created: str = "", task: str = "nodule") -> StudyLabel:
    return StudyLabel(task, {"lung_nodule": FindingLabel(state)}, annotator, created)


def test_the_first_label_of_each_reader_is_their_reading_and_a_changed_mind_is_none(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("b", says("absent", "anna"))
    labels.save("a", says("present", "anna", created="2026-11-20T20:31:05Z"))
    labels.save("a", says("absent", "otto"))
    labels.save("a", says("absent", "anna"))  # having seen what otto says
    found = readings(labels, "nodule")
    assert [
        (each.study, each.annotator, each.label.findings["lung_nodule"].state, each.version) for each in found
    ] == [("a", "anna", "present", 1), ("a", "otto", "absent", 2), ("b", "anna", "absent", 1)]
    assert found[0].created == "2026-11-20T20:31:05Z"
    assert found[1].created == labels.history("a", "nodule")[1].saved


def test_a_study_is_double_read_when_two_readers_with_names_labelled_it_for_one_task(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    for study, readers in {
        "two": ("anna", "otto"),
        "same": ("anna", "anna"),
        "nameless": ("anna", ""),
    }.items():
        for reader in readers:
            labels.save(study, says("present", reader))
    labels.save("tasks", says("present", "anna"))
    labels.save("tasks", says("present", "otto", task="other"))
    assert {
        study: [each.annotator for each in by] for study, by in double_read(labels, "nodule").items()
    } == {"two": ["anna", "otto"]}
    assert [each.annotator for each in readings(labels, "other")] == ["otto"]
    assert double_read(labels, "nobody_reads_for_it") == {}
