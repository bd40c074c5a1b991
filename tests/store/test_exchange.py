"""Labels out of a folder and into one: nothing is lost, nothing is replaced, nothing comes in twice."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vpt_plugin.errors import LabelError
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store.exchange import (
    carry_out,
    entries_of,
    plan_import,
    read_exported,
    write_document,
)
from vpt_plugin.store.label_table import ENCODING, LabelEntry, write_table
from vpt_plugin.store.labels import LabelFolder


def nodule(state: str, annotator: str = "anna", created: str = "", comment: str = "") -> StudyLabel:
    findings = {"lung_nodule": FindingLabel(state)}
    return StudyLabel("nodule", findings, annotator, created, comment=comment)


def states(labels: LabelFolder, study: str) -> list[str]:
    return [each.label.findings["lung_nodule"].state for each in labels.history(study, "nodule")]


def bring(source: LabelFolder, target: LabelFolder, kind: str, folder: Path, **what: Any) -> list[int]:
    """Export, import; the versions that were saved."""
    entries = entries_of(source, **what)
    file = folder / f"exported.{kind}"
    text = write_document(entries) if kind == "json" else write_table(entries)
    file.write_bytes(text.encode(ENCODING if kind == "csv" else "utf-8"))
    return [each.version for each in carry_out(plan_import(read_exported(file), target, None), target)]


@pytest.fixture
def site(tmp_path: Path) -> LabelFolder:
    """Study a: present, absent, present again, word for word the same; study b: one label."""
    labels = LabelFolder(tmp_path / "site")
    for state in ("present", "absent", "present"):
        labels.save("a", nodule(state))
    labels.save("b", nodule("absent", "otto", comment="=1+1"))
    return labels


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_the_whole_history_arrives_in_its_order_and_a_second_time_nothing_does(
    site: LabelFolder, tmp_path: Path, kind: str
) -> None:
    other = LabelFolder(tmp_path / "other")
    assert bring(site, other, kind, tmp_path, all_versions=True) == [1, 2, 3, 1]
    assert states(other, "a") == ["present", "absent", "present"]
    files = [path.relative_to(site.root) for path in sorted(site.root.rglob("*.json"))]
    assert len(files) == 4
    assert all((site.root / file).read_bytes() == (other.root / file).read_bytes() for file in files)
    assert bring(site, other, kind, tmp_path, all_versions=True) == []


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_the_newest_versions_are_what_is_exported_unless_all_are_asked_for(
    site: LabelFolder, tmp_path: Path, kind: str
) -> None:
    other = LabelFolder(tmp_path / "other")
    assert bring(site, other, kind, tmp_path) == [1, 1]
    assert states(other, "a") == ["present"]


def test_one_task_is_exported_alone(site: LabelFolder) -> None:
    site.save("a", StudyLabel("pe", {"pulmonary_embolism": FindingLabel("absent")}))
    assert [(each.study, each.label.task) for each in entries_of(site, task="pe")] == [("a", "pe")]


def test_a_document_tells_of_each_version_when_it_was_saved_and_its_checksum(site: LabelFolder) -> None:
    document = json.loads(write_document(entries_of(site, all_versions=True)))
    assert document["schema"] == "vptct.labels/1"
    assert [(each["study"], each["version"]) for each in document["labels"]] == [
        ("a", 1), ("a", 2), ("a", 3), ("b", 1),
    ]  # fmt: skip
    third = site.history("a", "nodule")[2]
    assert document["labels"][2] == {
        "study": "a",
        "version": 3,
        "saved": third.saved,
        "sha256": third.sha256,
        "label": third.label.to_json(),
    }


# Each letter is one label; two equal letters are the same label word for word.
LETTERS = st.text("abc", max_size=6)


def letter(text: str) -> StudyLabel:
    return nodule("absent", comment=text)


# Each example writes files that are brought to the disk; how long that takes is up to the disk.
@settings(deadline=None, max_examples=50)
@given(LETTERS, LETTERS, st.sampled_from(["json", "csv"]))
def test_after_an_import_every_label_of_both_is_there_and_what_was_there_stays_where_it_was(
    here: str, there: str, kind: str
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        ours, theirs = LabelFolder(folder / "ours"), LabelFolder(folder / "theirs")
        for each in here:
            ours.save("s", letter(each))
        for each in there:
            theirs.save("s", letter(each))
        bring(theirs, ours, kind, folder, all_versions=True)
        after = "".join(each.label.comment for each in ours.history("s", "nodule"))
        assert after.startswith(here)
        added = after.removeprefix(here)
        assert all(after.count(each) == max(here.count(each), there.count(each)) for each in "abc")
        # What was added has the order that it had there.
        assert re.search(".*".join(added), there)
        assert bring(theirs, ours, kind, folder, all_versions=True) == []


def test_entries_without_a_version_come_last_in_the_order_of_the_file(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    entries = [
        LabelEntry("a", nodule("present")),
        LabelEntry("a", nodule("absent"), version=10),
        LabelEntry("a", nodule("indeterminate"), version=9),
        LabelEntry("a", nodule("absent", "otto")),
    ]
    carry_out(plan_import(entries, labels, None), labels)
    assert states(labels, "a") == ["indeterminate", "absent", "present", "absent"]


def test_labels_of_studies_that_are_not_there_are_left_out_unless_any_study_is_welcome(
    site: LabelFolder, tmp_path: Path
) -> None:
    other = LabelFolder(tmp_path / "other")
    plan = plan_import(entries_of(site), other, {"b"})
    assert [each.study for each in plan.new] == ["b"]
    assert [each.study for each in plan.strangers] == ["a"]
    assert [each.study for each in plan_import(entries_of(site), other, None).new] == ["a", "b"]
    assert not other.root.exists()


@pytest.mark.parametrize(
    ("newest", "follower", "told"),
    [
        (nodule("present", "anna"), nodule("absent", "otto"), True),
        (nodule("present", created="2026-11-02T08:00:00Z"), nodule("absent"), True),
        (
            nodule("present", created="2026-11-02T08:00:00Z"),
            nodule("absent", created="2026-11-03T08:00:00Z"),
            False,
        ),
        (nodule("present"), nodule("present"), False),
    ],
    ids=["another reader's", "a later one", "an earlier one of the same reader", "the same label"],
)
def test_a_label_that_would_no_longer_count_is_told_where_that_may_surprise(
    tmp_path: Path, newest: StudyLabel, follower: StudyLabel, *, told: bool
) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", newest)
    plan = plan_import([LabelEntry("a", follower)], labels, None)
    assert [(each.newest.label, each.entry.label) for each in plan.followed] == (
        [(newest, follower)] if told else []
    )


def test_a_copied_folder_of_labels_is_the_same_labels(site: LabelFolder, tmp_path: Path) -> None:
    backup = LabelFolder(shutil.copytree(site.root, tmp_path / "backup"))
    site.save("a", nodule("absent", "otto"))
    plan = plan_import(entries_of(backup, all_versions=True), site, None)
    assert (len(plan.known), plan.new, plan.followed) == (4, (), ())
    plan = plan_import(entries_of(site, all_versions=True), backup, None)
    assert [each.label.annotator for each in plan.new] == ["otto"]


def document(*entries: Any) -> str:
    return json.dumps({"schema": "vptct.labels/1", "labels": list(entries)})


GOOD = {"study": "a", "label": nodule("absent").to_json()}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{\n\n,", "line 3: this is not JSON"),
        ("[1]", "field schema"),
        ('{"schema": "vptct.labels/2", "labels": []}', "field schema"),
        ('{"schema": "vptct.labels/1", "labels": [], "x": 1}', "field 'x' is unknown"),
        ('{"schema": "vptct.labels/1"}', "field labels"),
        ("[" * 100_000, "line 1: this is not JSON"),
        (document(GOOD, 3), "labels[1]: an object is wanted"),
        (document(GOOD, {**GOOD, "x": 1}), "labels[1], field 'x' is unknown"),
        (document({"label": GOOD["label"]}), "labels[0], field study"),
        (document({**GOOD, "study": "../a"}), "labels[0], field study: '../a' is no id of a study"),
        (document({**GOOD, "version": "2"}), "labels[0], field version"),
        (document({**GOOD, "version": True}), "labels[0], field version"),
        (document({**GOOD, "saved": None}), "labels[0], field saved"),
        (document({"study": "a"}), "labels[0], field label"),
        (
            document(GOOD, {"study": "b", "label": {**nodule("absent").to_json(), "created": "now"}}),
            "labels[1], study 'b': created 'now' is no time",
        ),
        (
            document({"study": "b", "label": {**nodule("absent").to_json(), "task": "../pe"}}),
            "labels[0]: '../pe' is no name of a task",
        ),
        (
            document(
                {"study": "b", "label": {**nodule("absent").to_json(), "model_suggestion": {"p": 1e999}}}
            ),
            "labels[0]",
        ),
        ("study,task,finding,state\na,nodule,f,absent\n../a,nodule,f,absent\n", "line 3, field study"),
        ("study,task,finding,state\na,Nodule,f,absent\n", "line 2: 'Nodule' is no name of a task"),
    ],
)
def test_one_entry_that_cannot_be_used_refuses_the_file_and_is_named(
    tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "labels.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(LabelError, match=re.escape(told)) as caught:
        read_exported(file)
    assert caught.value.message.startswith(f"{file}, ")
    assert caught.value.hint.endswith("Nothing was imported.")


def test_a_file_in_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes("study,task,finding,state,comment\na,nodule,f,absent,Rückfrage\n".encode("latin-1"))
    with pytest.raises(LabelError, match="line 2: this is not UTF-8"):
        read_exported(file)
