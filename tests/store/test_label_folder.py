"""LabelFolder never loses and never overwrites what a reader said."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from vpt_plugin.errors import LabelError, StudyNotFoundError
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store.labels import LabelFolder


def nodule(state: str, annotator: str = "anna", task: str = "nodule") -> StudyLabel:
    return StudyLabel(task=task, findings={"lung_nodule": FindingLabel(state)}, annotator=annotator)


def test_a_label_is_one_readable_file_per_study_task_and_version(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    assert labels.save("p1", nodule("present")).version == 1
    assert labels.save("p1", nodule("absent", "bert")).version == 2
    assert labels.save("p2", nodule("absent", task="other")).version == 1
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json")) == [
        "final/p1/nodule.0001.json",
        "final/p1/nodule.0002.json",
        "final/p2/other.0001.json",
    ]
    saved = json.loads((tmp_path / "final/p1/nodule.0001.json").read_text())
    assert StudyLabel.from_json(saved) == nodule("present")


def test_the_newest_version_counts_and_the_older_ones_stay(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    assert labels.latest("p1", "nodule") is None
    labels.save("p1", nodule("present", "anna"))
    labels.save("p1", nodule("absent", "bert"))
    newest = labels.latest("p1", "nodule")
    assert newest is not None
    assert (newest.version, newest.label.annotator) == (2, "bert")
    assert [saved.label.annotator for saved in labels.history("p1", "nodule")] == ["anna", "bert"]


def test_counts_take_the_newest_label_of_every_study(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    for study, states in {"a": ["present", "absent"], "b": ["present"], "c": ["indeterminate"]}.items():
        for state in states:
            labels.save(study, nodule(state))
    assert labels.counts("nodule") == {"present": 1, "absent": 1, "indeterminate": 1}
    assert labels.counts("pe") == {"present": 0, "absent": 0, "indeterminate": 0}


def test_a_study_with_one_finding_present_counts_as_present(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    findings = {"one": FindingLabel("absent"), "two": FindingLabel("present")}
    labels.save("a", StudyLabel(task="both", findings=findings))
    assert labels.counts("both")["present"] == 1


def test_labels_written_by_another_process_are_seen(tmp_path: Path) -> None:
    labels, other = LabelFolder(tmp_path), LabelFolder(tmp_path)
    labels.save("a", nodule("present"))
    assert labels.counts("nodule")["present"] == 1
    other.save("a", nodule("absent"))
    assert labels.counts("nodule") == {"present": 0, "absent": 1, "indeterminate": 0}


def test_with_a_fresh_look_the_folders_are_not_asked_but_ones_own_label_counts_at_once(
    tmp_path: Path,
) -> None:
    labels, other = LabelFolder(tmp_path, fresh_seconds=3600), LabelFolder(tmp_path)
    labels.save("a", nodule("present"))
    assert labels.counts("nodule")["present"] == 1
    other.save("b", nodule("present"))
    assert labels.counts("nodule")["present"] == 1
    latest = labels.latest("b", "nodule")
    assert latest is not None
    labels.save("c", nodule("present"))
    assert labels.counts("nodule")["present"] == 3


@pytest.mark.parametrize(
    "damage",
    ["", "{", '{"schema": "other"}', json.dumps(nodule("absent", task="pe").to_json()), "[" * 100_000],
    ids=["empty", "cut", "other schema", "other-task", "too deep"],
)
def test_a_damaged_file_is_reported_and_the_labels_around_it_still_count(tmp_path: Path, damage: str) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present"))
    labels.save("b", nodule("present"))
    (tmp_path / "final/a/nodule.0002.json").write_text(damage)
    assert labels.counts("nodule")["present"] == 2
    assert [damaged.path.name for damaged in labels.damaged()] == ["nodule.0002.json"]
    assert labels.save("a", nodule("absent")).version == 3
    assert labels.counts("nodule") == {"present": 1, "absent": 1, "indeterminate": 0}
    assert (tmp_path / "final/a/nodule.0002.json").read_text() == damage


def test_an_empty_file_is_told_apart_from_a_damaged_one(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present"))
    (tmp_path / "final/a/nodule.0002.json").write_text("")
    (tmp_path / "final/a/nodule.0003.json").write_text("{")
    told = [(each.task, each.version, each.unfinished) for each in labels.damaged("a")]
    assert told == [("nodule", 2, True), ("nodule", 3, False)]
    assert "broken off before it was acknowledged" in labels.damaged("a")[0].problem
    assert [saved.version for saved in labels.history("a", "nodule")] == [1]


@pytest.mark.skipif(os.name == "nt", reason="no named pipes")
def test_what_is_no_file_and_what_is_far_too_large_is_damaged_and_not_read(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present"))
    os.mkfifo(tmp_path / "final/a/nodule.0002.json")  # whoever opens it waits for ever
    (tmp_path / "final/a/nodule.0003.json").mkdir()
    with (tmp_path / "final/a/nodule.0004.json").open("wb") as film:
        film.truncate(1 << 40)
    (tmp_path / "final/a/nodule.0005.json").symlink_to("nowhere")
    assert [damaged.version for damaged in labels.damaged()] == [2, 3, 4, 5]
    assert labels.newest_version("a", "nodule") == 5
    assert labels.save("a", nodule("absent")).version == 6


def test_a_study_whose_folder_may_not_be_read_is_told_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = LabelFolder(tmp_path)
    for study in ("a", "b"):
        labels.save(study, nodule("present"))
    iterdir = Path.iterdir

    def not_a(folder: Path) -> Iterator[Path]:
        if folder.name == "a":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", not_a)
    assert [saved.study for saved in labels.newest()] == ["b"]
    (damaged,) = labels.damaged()
    assert (damaged.study, damaged.path) == ("a", tmp_path / "final/a")
    with pytest.raises(PermissionError):
        labels.save("a", nodule("absent"))


def test_the_labelled_studies_are_known_without_reading_a_label(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    assert labels.labelled() == frozenset()
    labels.save("a", nodule("present"))
    labels.save("b", nodule("present"))
    (tmp_path / "final/b/nodule.0001.json").write_text("{")
    (tmp_path / "final/c.json").write_text("{}")
    (tmp_path / "final/.hidden").mkdir()
    assert labels.labelled() == {"a", "b"}


def test_the_tasks_of_a_study_are_those_with_a_readable_label(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present", task="two"))
    labels.save("a", nodule("present", task="one"))
    labels.save("b", nodule("present", task="three"))
    (tmp_path / "final/a/four.0001.json").write_text("{")
    assert labels.tasks("a") == ["one", "two"]


def test_labels_that_are_removed_by_hand_are_gone_at_the_next_look(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    for study in ("a", "b"):
        labels.save(study, nodule("present"))
    assert labels.counts("nodule")["present"] == 2
    shutil.rmtree(tmp_path / "final/a")
    assert [saved.study for saved in labels.newest()] == ["b"]


def test_a_look_that_fails_is_done_again_and_forgets_no_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = LabelFolder(tmp_path, fresh_seconds=3600)
    labels.save("a", nodule("present"))
    assert labels.counts("nodule")["present"] == 1
    labels.save("b", nodule("present"))

    def away(study: str, folder: Path) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as share:
        share.setattr("vpt_plugin.store.label_looks.read_versions", away)
        with pytest.raises(OSError, match="Stale"):
            labels.newest()
    assert labels.counts("nodule")["present"] == 2


def test_three_hundred_labelled_studies_are_counted_while_labels_are_saved(tmp_path: Path) -> None:
    template = LabelFolder(tmp_path).save("s0000", nodule("absent")).path.read_bytes()
    for number in range(1, 300):
        folder = tmp_path / f"final/s{number:04d}"
        folder.mkdir()
        (folder / "nodule.0001.json").write_bytes(template)
    labels = LabelFolder(tmp_path, fresh_seconds=0.01)
    done = threading.Event()

    def annotate() -> None:
        for number in range(40):
            labels.save(f"s{number:04d}", nodule("present"))
            # What is saved here counts at once, whatever look goes on at the same time.
            assert labels.counts("nodule")["present"] > number
        done.set()

    thread = threading.Thread(target=annotate)
    thread.start()
    while thread.is_alive():
        assert sum(labels.counts("nodule").values()) == 300
    assert done.is_set()
    assert labels.counts("nodule") == {"present": 40, "absent": 260, "indeterminate": 0}


def test_other_files_among_the_labels_are_left_alone(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present"))
    (tmp_path / "final/a/notes.txt").write_text("x")
    (tmp_path / "final/b.json").write_text("{}")
    assert labels.damaged() == []
    assert [saved.study for saved in labels.newest()] == ["a"]


def test_forty_labels_of_four_annotators_at_once_are_forty_versions(tmp_path: Path) -> None:
    versions: list[int] = []

    def annotate(name: str) -> None:
        labels = LabelFolder(tmp_path)
        versions.extend(labels.save("a", nodule("present", name)).version for _ in range(10))

    threads = [threading.Thread(target=annotate, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(versions) == list(range(1, 41))
    annotators = [saved.label.annotator for saved in LabelFolder(tmp_path).history("a", "nodule")]
    assert sorted(annotators) == sorted("abcd" * 10)


def test_a_disk_without_hard_links_keeps_every_version_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: object, target: Path) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr("vpt_plugin.durable.os.link", no_links)
    labels = LabelFolder(tmp_path)
    assert [labels.save("a", nodule(state)).version for state in ("present", "absent")] == [1, 2]
    assert [len(saved.label.findings) for saved in labels.history("a", "nodule")] == [1, 1]


def test_a_write_that_fails_leaves_nothing_behind_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("a", nodule("present"))

    def disk_full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vpt_plugin.durable.os.fsync", disk_full)
    with pytest.raises(OSError, match="No space left"):
        labels.save("a", nodule("absent"))
    assert [path.name for path in (tmp_path / "final" / "a").iterdir()] == ["nodule.0001.json"]


@pytest.mark.parametrize("study", ["../x", "a/b", "", "..", "a\0"])
def test_a_label_cannot_leave_its_folder_by_the_study(tmp_path: Path, study: str) -> None:
    with pytest.raises(StudyNotFoundError, match="no id of a study"):
        LabelFolder(tmp_path / "labels").save(study, nodule("present"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("task", ["../x", "a/b", "", "A", "a.0001"])
def test_a_label_cannot_leave_its_folder_by_the_task(tmp_path: Path, task: str) -> None:
    with pytest.raises(LabelError, match="no name of a task"):
        LabelFolder(tmp_path / "labels").save("a", nodule("present", task=task))
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_json_does_not_know_is_refused(tmp_path: Path) -> None:
    label = StudyLabel(
        task="nodule",
        findings={"lung_nodule": FindingLabel("absent")},
        model_suggestion={"lung_nodule": float("nan")},
    )
    with pytest.raises(LabelError, match="a number that JSON does not know"):
        LabelFolder(tmp_path).save("a", label)


def test_a_damaged_label_counts_again_once_it_is_mended_in_its_place(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("p1", nodule("absent"))
    newest = labels.save("p1", nodule("present")).path
    good = newest.read_bytes()
    newest.write_bytes(good[:10])
    long_ago = 1_600_000_000
    os.utime(newest.parent, (long_ago, long_ago))
    first = labels.latest("p1", "nodule")
    assert first is not None
    assert first.version == 1
    newest.write_bytes(good)  # as `cp` writes it: the folder keeps its time stamp
    second = labels.latest("p1", "nodule")
    assert second is not None
    assert second.version == 2


def test_what_was_saved_counts_though_the_folder_keeps_its_time_stamp(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    long_ago = (1_600_000_000, 1_600_000_000)
    for version in (1, 2):  # as on a disk that keeps no such stamps
        labels.save("p1", nodule("absent", str(version)))
        os.utime(tmp_path / "final" / "p1", long_ago)
        newest = labels.latest("p1", "nodule")
        assert newest is not None
        assert newest.version == version


def test_a_save_of_another_server_in_the_same_tick_of_the_disks_clock_is_seen(tmp_path: Path) -> None:
    seconds = [100.0]
    labels, other = LabelFolder(tmp_path, clock=lambda: seconds[0]), LabelFolder(tmp_path)
    long_ago = (1_600_000_000, 1_600_000_000)  # by the clock of the computer that holds the folder
    for version in (1, 2):
        other.save("p1", nodule("absent", str(version)))
        os.utime(tmp_path / "final" / "p1", long_ago)
        newest = labels.latest("p1", "nodule")
        assert newest is not None
        assert newest.version == version
        seconds[0] += 2.0


def test_a_folder_that_has_been_calm_for_long_enough_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [100.0]
    labels = LabelFolder(tmp_path, clock=lambda: seconds[0])
    labels.save("p1", nodule("absent"))
    for _ in range(2):
        assert labels.latest("p1", "nodule") is not None
        seconds[0] += 4.0
    monkeypatch.delattr("vpt_plugin.store.label_looks.read_versions")
    assert labels.latest("p1", "nodule") is not None


def test_a_number_with_too_many_zeros_is_no_version(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    path = labels.save("a", nodule("present")).path
    path.with_name("nodule.00001.json").write_bytes(path.read_bytes())
    assert [saved.path for saved in labels.history("a", "nodule")] == [path]
    assert labels.save("a", nodule("absent")).version == 2


@pytest.mark.parametrize("if_version", [None, 999_999_999])
def test_a_version_that_could_not_be_read_back_is_refused(tmp_path: Path, if_version: int | None) -> None:
    labels = LabelFolder(tmp_path)
    path = labels.save("a", nodule("present")).path
    path.rename(path.with_name("nodule.999999999.json"))
    with pytest.raises(LabelError, match=r"version 999999999 is the last .*nodule\.999999999\.json away"):
        labels.save("a", nodule("absent"), if_version=if_version)
    assert [saved.version for saved in labels.history("a", "nodule")] == [999_999_999]


def test_a_label_too_large_to_be_read_back_is_refused(tmp_path: Path) -> None:
    label = replace(nodule("present"), comment="x" * (1 << 24))
    with pytest.raises(LabelError, match="larger than 16 MiB"):
        LabelFolder(tmp_path).save("a", label)
    assert list(tmp_path.iterdir()) == []


def test_what_the_newest_label_of_a_study_says_is_in_doubt_where_its_file_is_damaged(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    for study in ("mended", "newest", "only"):
        path = labels.save(study, nodule("present")).path
        if study != "newest":
            path.write_text("{")
    labels.save("mended", nodule("absent"))
    labels.save("newest", nodule("absent")).path.write_text("")
    labels.save("other-task", replace(nodule("present"), task="pe")).path.write_text("{")
    assert labels.in_doubt("nodule") == {"newest", "only"}
    assert labels.in_doubt("pe") == {"other-task"}
