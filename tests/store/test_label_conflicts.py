"""Two annotators of one study: exactly one wins a version, and what the other said is kept and shown."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vpt_plugin.errors import LabelConflictError, StudyNotFoundError
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store.labels import LabelFolder


def nodule(state: str, annotator: str = "anna", task: str = "nodule") -> StudyLabel:
    return StudyLabel(task=task, findings={"lung_nodule": FindingLabel(state)}, annotator=annotator)


def test_a_saved_label_comes_back_with_its_checksum_and_its_time(tmp_path: Path) -> None:
    saved = LabelFolder(tmp_path).save("a", nodule("present"))
    assert saved.sha256 == hashlib.sha256((tmp_path / "final/a/nodule.0001.json").read_bytes()).hexdigest()
    assert saved == LabelFolder(tmp_path).latest("a", "nodule")
    os.utime(saved.path, ns=(0, 1_795_206_665_123_999_999))
    again = LabelFolder(tmp_path).latest("a", "nodule")
    assert again is not None
    assert again.saved == "2026-11-20T20:31:05.123Z"


@pytest.mark.parametrize("seconds", [-5, 10**12])
def test_a_file_with_an_impossible_time_still_counts(tmp_path: Path, seconds: int) -> None:
    path = LabelFolder(tmp_path).save("a", nodule("present")).path
    os.utime(path, (seconds, seconds))
    (saved,) = LabelFolder(tmp_path).newest()
    assert "1970-01-01T00:00:00.000Z" <= saved.saved <= "9999-12-31T23:59:59.000Z"


def test_a_label_is_saved_upon_the_version_that_its_annotator_has_seen(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    assert labels.save("a", nodule("present"), if_version=0).version == 1
    assert labels.save("a", nodule("absent", "bert"), if_version=1).version == 2
    assert labels.newest_version("a", "nodule") == 2
    assert labels.conflicts() == []


@pytest.mark.parametrize("if_version", [0, 1, 3, -1])
def test_a_label_upon_another_version_is_refused_and_set_aside(tmp_path: Path, if_version: int) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present", "anna"))
    labels.save("a", nodule("absent", "bert"))
    with pytest.raises(LabelConflictError, match=r"upon version .* newest is version 2 by bert") as refused:
        labels.save("a", nodule("indeterminate", "carl"), if_version=if_version)
    error = refused.value
    assert (error.expected_version, error.newest_version) == (if_version, 2)
    assert error.newest == nodule("absent", "bert").to_json()
    assert error.yours == nodule("indeterminate", "carl").to_json()
    assert [saved.label.annotator for saved in labels.history("a", "nodule")] == ["anna", "bert"]
    (aside,) = labels.conflicts("a")
    assert aside.path.relative_to(tmp_path).as_posix() == "conflicts/a/nodule.0001.json"
    assert aside.label == nodule("indeterminate", "carl")
    assert (aside.expected_version, aside.newest_version, aside.settled) == (if_version, 2, False)


def test_a_first_label_upon_a_version_that_never_was_is_set_aside_and_makes_no_labelled_study(
    tmp_path: Path,
) -> None:
    labels = LabelFolder(tmp_path)
    with pytest.raises(LabelConflictError) as refused:
        labels.save("a", nodule("present"), if_version=1)
    assert (refused.value.newest_version, refused.value.newest) == (0, None)
    assert labels.labelled() == frozenset()
    assert [aside.study for aside in labels.conflicts()] == ["a"]


def test_the_versions_of_another_task_do_not_matter(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present"))
    assert labels.save("a", nodule("present", task="other"), if_version=0).version == 1


def test_a_damaged_newest_version_is_a_version_all_the_same(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present"))
    (tmp_path / "final/a/nodule.0002.json").write_text("{")
    with pytest.raises(LabelConflictError, match="the newest is version 2") as refused:
        labels.save("a", nodule("absent"), if_version=1)
    assert refused.value.newest is None
    assert labels.save("a", nodule("absent"), if_version=2).version == 3


def test_the_same_label_sent_twice_is_one_version_and_no_conflict(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    first = labels.save("a", nodule("present"), if_version=0)
    assert labels.save("a", nodule("present"), if_version=0) == first
    assert len(labels.history("a", "nodule")) == 1
    assert labels.conflicts() == []


def test_a_refused_label_sent_twice_is_set_aside_once(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present", "anna"))
    for annotator in ("bert", "bert", "carl"):
        with pytest.raises(LabelConflictError):
            labels.save("a", nodule("absent", annotator), if_version=0)
    assert [(each.number, each.label.annotator) for each in labels.conflicts()] == [(1, "bert"), (2, "carl")]


def test_a_conflict_is_settled_by_the_same_annotators_next_version_only(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present", "bert"))
    labels.save("a", nodule("present", "anna"))
    with pytest.raises(LabelConflictError):
        labels.save("a", nodule("absent", "bert"), if_version=1)
    labels.save("a", nodule("present", "carl"))
    labels.save("b", nodule("present", "bert"))
    assert [aside.settled for aside in labels.conflicts()] == [False]
    labels.save("a", nodule("absent", "bert"), if_version=3)
    assert [aside.settled for aside in labels.conflicts()] == [True]


def test_nobody_without_a_name_settles_the_label_of_another_without_a_name(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present", "anna"))
    with pytest.raises(LabelConflictError):
        labels.save("a", nodule("absent", ""), if_version=0)
    labels.save("a", nodule("present", ""))
    assert [aside.settled for aside in labels.conflicts()] == [False]


def test_a_label_that_was_settled_is_set_aside_again_when_it_is_refused_again(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present", "anna"))
    for version in (1, 2):
        with pytest.raises(LabelConflictError):
            labels.save("a", nodule("absent", "bert"), if_version=0)
        assert [aside.newest_version for aside in labels.conflicts() if not aside.settled] == [version]
        labels.save("a", nodule("present", "bert"), if_version=version)
    assert [aside.settled for aside in labels.conflicts()] == [True, True]


def test_a_refused_label_sent_twice_is_on_the_disk_both_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present", "anna"))
    with pytest.raises(LabelConflictError):
        labels.save("a", nodule("absent", "bert"), if_version=0)
    synced: list[Path] = []
    monkeypatch.setattr("vpt_plugin.store.label_conflicts.sync_folder", synced.append)
    with pytest.raises(LabelConflictError):
        labels.save("a", nodule("absent", "bert"), if_version=0)
    assert synced == [tmp_path / "conflicts" / "a"]


def test_a_folder_of_set_aside_labels_that_may_not_be_read_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = LabelFolder(tmp_path)
    for study in ("a", "b"):
        labels.save(study, nodule("present", "anna"))
        with pytest.raises(LabelConflictError):
            labels.save(study, nodule("absent", "bert"), if_version=0)
    closed = tmp_path / "conflicts" / "a"
    iterdir = Path.iterdir

    def guarded(folder: Path) -> object:  # root may read what nobody may
        if folder == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", guarded)
    assert [aside.study for aside in labels.conflicts()] == ["b"]
    (told,) = labels.damaged()
    assert (told.study, told.path) == ("a", closed)
    assert "Permission denied" in told.problem


def test_conflicts_survive_a_copy_to_another_computer_without_times(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present", "anna"))
    with pytest.raises(LabelConflictError):
        labels.save("a", nodule("absent", "bert"), if_version=0)
    labels.save("a", nodule("absent", "bert"), if_version=1)
    for path in tmp_path.rglob("*.json"):
        os.utime(path, (0, 0))
    assert [aside.settled for aside in LabelFolder(tmp_path).conflicts()] == [True]


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"schema": "vptct.set-aside/1"}'])
def test_a_damaged_set_aside_label_is_told(tmp_path: Path, damage: str) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present", "anna"))
    with pytest.raises(LabelConflictError):
        labels.save("a", nodule("absent", "bert"), if_version=0)
    (tmp_path / "conflicts/a/nodule.0002.json").write_text(damage)
    assert len(labels.conflicts()) == 1
    assert [damaged.path.name for damaged in labels.damaged()] == ["nodule.0002.json"]
    assert [damaged.path.name for damaged in labels.damaged("a")] == ["nodule.0002.json"]
    assert labels.damaged("b") == []


def test_a_study_where_annotators_say_different_things_is_found(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    said = {
        "agreed": [("present", "anna"), ("present", "bert")],
        "corrected": [("present", "anna"), ("absent", "bert"), ("absent", "anna")],
        "differ": [("present", "anna"), ("absent", "bert")],
        "one": [("present", "anna"), ("absent", "anna")],
    }
    for study, each in said.items():
        for state, annotator in each:
            labels.save(study, nodule(state, annotator))
    (found,) = labels.disagreements()
    assert (found.study, found.task, found.findings) == ("differ", "nodule", ("lung_nodule",))
    assert {name: saved.version for name, saved in found.labels.items()} == {"anna": 1, "bert": 2}


@pytest.mark.parametrize("study", ["../x", "a/b", "", ".."])
def test_conflicts_and_damage_are_asked_of_studies_only(tmp_path: Path, study: str) -> None:
    labels = LabelFolder(tmp_path)
    for ask in (labels.conflicts, labels.damaged):
        with pytest.raises(StudyNotFoundError, match="no id of a study"):
            ask(study)


SAVE = """
import json, sys
from pathlib import Path
from vpt_plugin.errors import LabelConflictError
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store.labels import LabelFolder

root, name, upon_seen = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "upon what was seen"
labels = LabelFolder(root)
won, lost = [], 0
print("ready", flush=True)
sys.stdin.readline()
for number in range(15):
    label = StudyLabel(
        task="nodule", findings={"lung_nodule": FindingLabel("present")}, annotator=name, comment=str(number)
    )
    try:
        seen = labels.newest_version("a", "nodule") if upon_seen else None
        won.append(labels.save("a", label, if_version=seen).version)
    except LabelConflictError:
        lost += 1
print(json.dumps({"won": won, "lost": lost}))
"""


@pytest.mark.parametrize("how", ["in any case", "upon what was seen"])
def test_four_processes_at_once_each_version_has_one_winner_and_no_label_is_lost(
    tmp_path: Path, how: str
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SAVE, str(tmp_path), name, how],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name in "abcd"
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = {
        name: json.loads(process.communicate(timeout=60)[0])
        for name, process in zip("abcd", processes, strict=True)
    }
    won = [version for each in results.values() for version in each["won"]]
    lost = sum(each["lost"] for each in results.values())
    assert sorted(won) == list(range(1, len(won) + 1))
    assert len(won) + lost == 60
    assert lost == 0 if how == "in any case" else len(won) >= 15
    labels = LabelFolder(tmp_path)
    history = labels.history("a", "nodule")
    for name, each in results.items():
        assert [saved.version for saved in history if saved.label.annotator == name] == each["won"]
    asides = labels.conflicts("a")
    assert len(asides) == lost
    kept = {(each.label.annotator, each.label.comment) for each in (*history, *asides)}
    assert kept == {(name, str(number)) for name in "abcd" for number in range(15)}
