"""``vpt labels`` on real folders of studies and labels."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vpt_plugin.cli import app
from vpt_plugin.errors import LabelConflictError
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.leases import FOLDER, LeaseBook, Order

WriteStudy = Callable[[Path], Path]


def vpt(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["labels", *map(str, arguments)])


def words(text: str) -> str:
    return " ".join(text.split())


def pe(state: str, annotator: str = "anna", created: str = "", comment: str = "") -> StudyLabel:
    return StudyLabel("pe", {"pulmonary_embolism": FindingLabel(state)}, annotator, created, comment=comment)


@pytest.fixture
def studies(tmp_path: Path, write_study: WriteStudy) -> Path:
    """Studies p1.nii and p2.nii; anna and then otto labelled p1.nii, anna p2.nii."""
    folder = tmp_path / "studies"
    for name in ("p1.nii", "p2.nii"):
        write_study(folder / name)
    labels = LabelFolder(folder / "labels")
    labels.save("p1.nii", pe("present", "anna", comment="=1+1"))
    labels.save("p1.nii", pe("absent", "otto", comment="second look, with otto"))
    labels.save("p2.nii", pe("absent", "anna"))
    return folder


def test_all_is_well(studies: Path) -> None:
    result = vpt("check", studies)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "of 2 studies." in result.stdout
    assert "pe 0 2 0" in words(result.stdout)
    assert (
        "p1.nii pe: anna (version 1): pulmonary_embolism present; otto (version 2): pulmonary_embolism absent"
        in words(result.stdout)
    )
    assert result.stdout.endswith("\nAll is well.\n")


def test_what_is_in_hands_skipped_and_damaged_in_the_worklist_is_told_and_needs_nobody(studies: Path) -> None:
    book = LeaseBook(studies / "labels" / FOLDER)
    book.offer([Order("p1.nii", "nodule", "random")], "anna")
    book.skip("p2.nii", "ida\nAll is well.", "unreadable", task="nodule")
    book.skip("p2.nii", "", "unsure", task="nodule")
    with (book.folder / "history.jsonl").open("a", encoding="utf-8") as file:
        file.write("no event\n")
    result = vpt("check", studies)
    assert (result.exit_code, result.stderr) == (0, "")
    told = words(result.stdout)
    assert "1 study is in a reader's hands at the moment." in told
    assert (
        "Skipped, so that nobody is offered them until `vpt skip --undo`: 1 "
        "p2.nii nodule: ida All is well. said unreadable, a reader without a name said unsure " in told
    )
    assert "history.jsonl: 1 line is left out; the others count" in told


def test_what_needs_a_person_is_told_with_the_way_out(studies: Path, write_study: WriteStudy) -> None:
    labels = LabelFolder(studies / "labels")
    with pytest.raises(LabelConflictError):
        labels.save("p2.nii", pe("indeterminate", "ida"), if_version=0)
    labels.save("old--p3.nii", pe("present"))
    write_study(studies / "new" / "p3.nii")
    damaged = studies / "labels/final/p2.nii/pe.0002.json"
    damaged.write_text("{")
    result = vpt("check", studies)
    assert (result.exit_code, result.stderr) == (1, "")
    told = words(result.stdout)
    assert f"{damaged}: the label is not JSON" in told
    assert "p2.nii pe: ida said pulmonary_embolism indeterminate; made upon no version" in told
    assert result.stdout.endswith("\n3 things need a person.\n")
    (move,) = (line.split() for line in result.stdout.splitlines() if line.strip().startswith("mv "))
    # What it says to do is what helps.
    shutil.move(move[1], move[2])
    damaged.unlink()
    labels.save("p2.nii", pe("absent", "ida"), if_version=1)
    assert vpt("check", studies).exit_code == 0


@pytest.mark.parametrize("moves_to", ["new/p3.nii", "p4/p3.nii"])
def test_labels_beside_a_segmentation_are_moved_by_what_it_says_too(
    studies: Path, write_study: WriteStudy, moves_to: str
) -> None:
    labels = LabelFolder(studies / "labels")
    write_study(studies / moves_to)
    for segmentation in ("old--p3.nii", "p4--p3.nii"):
        (studies / "labels/final" / segmentation).write_bytes(b"of a stock MONAI Label")
    labels.save("old--p3.nii", pe("present"))
    told = vpt("check", studies).stdout
    (move,) = (line.split() for line in told.splitlines() if line.strip().startswith("mv "))
    shutil.move(move[1], move[2])
    assert labels.latest(moves_to.replace("/", "--"), "pe") is not None
    assert vpt("check", studies).exit_code == 0


def test_a_label_without_a_name_that_was_set_aside_is_moved_away(studies: Path) -> None:
    labels = LabelFolder(studies / "labels")
    with pytest.raises(LabelConflictError):
        labels.save("p2.nii", pe("indeterminate", ""), if_version=0)
    told = words(vpt("check", studies).stdout)
    aside = studies / "labels/conflicts/p2.nii/pe.0001.json"
    assert f"Nobody knows whose it is: when it is settled, move {aside} away." in told
    aside.unlink()
    assert vpt("check", studies).exit_code == 0


def test_what_annotators_wrote_is_shown_and_not_obeyed_by_the_terminal(studies: Path) -> None:
    title = "\x1b]0;renamed\x07"
    labels = LabelFolder(studies / "labels")
    labels.save("p2.nii", pe("present", f"ida{title}\nAll is well.", comment=f"{title}\x9b2J\u202e\r\nseen"))
    with pytest.raises(LabelConflictError):
        labels.save("p2.nii", pe("present", title), if_version=0)
    for shown in (vpt("check", studies), vpt("history", studies, "p2.nii")):
        assert not set("\x1b\x07\x9b\u202e\r") & set(shown.output)
        assert r"ida\x1b]0;renamed\x07" in words(shown.output)
    assert r"\x1b]0;renamed\x07\x9b2J\u202e" in words(vpt("history", studies, "p2.nii").output)
    assert r"ida\x1b]0;renamed\x07 All is well. (version 2)" in vpt("check", studies).output


def test_programs_get_json_and_the_same_exit_code(studies: Path) -> None:
    (studies / "p2.nii").unlink()
    result = vpt("check", studies, "--json")
    assert result.exit_code == 1
    assert [each["study"] for each in json.loads(result.stdout)["orphans"]] == ["p2.nii"]


def test_the_labels_may_be_named_or_lie_elsewhere(studies: Path, tmp_path: Path) -> None:
    assert json.loads(vpt("check", studies / "labels", "--json").stdout)["studies"] == 2
    elsewhere = tmp_path / "archive-labels"
    (studies / "labels").rename(elsewhere)
    beside = json.loads(vpt("check", studies, "--labels", elsewhere, "--json").stdout)
    assert (beside["labelled"], beside["studies"]) == (2, 2)
    alone = json.loads(vpt("check", elsewhere, "--json").stdout)
    assert (alone["labelled"], alone["studies"], alone["orphans"]) == (2, None, [])
    assert vpt("check", studies).stdout.endswith("\nThere are no labels yet.\n")


@pytest.mark.parametrize(("command", "more"), [("check", []), ("history", ["p1.nii"]), ("export", [])])
def test_a_folder_that_is_not_there_is_a_usage_error(tmp_path: Path, command: str, more: list[str]) -> None:
    gone = tmp_path / "gone"
    result = vpt(command, gone, *more)
    assert result.exit_code == 2
    assert f"error: {gone}: there is no such folder." in result.stderr
    result = vpt(command, tmp_path, *more, "--labels", gone)
    assert result.exit_code == 2
    assert f"error: {gone}: there is no such folder." in result.stderr


def test_a_history_is_a_table_of_who_said_what(studies: Path) -> None:
    with pytest.raises(LabelConflictError):
        LabelFolder(studies / "labels").save("p1.nii", pe("indeterminate", "ida"), if_version=1)
    (studies / "labels/final/p1.nii/pe.0003.json").write_text("{")
    result = vpt("history", studies, "p1.nii")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [re.sub(r"\S+T\S+Z", "WHEN", words(line)) for line in result.stdout.splitlines() if "_em" in line]
    assert lines == [
        "1 WHEN anna pulmonary_embolism present =1+1",
        "2 WHEN otto pulmonary_embolism absent second look, with otto",
        "set aside WHEN ida pulmonary_embolism indeterminate",
    ]
    assert "pe.0003.json: the label is not JSON" in result.stdout
    versions = json.loads(vpt("history", studies, "p1.nii", "--task", "pe", "--json").stdout)["versions"]
    assert [each["version"] for each in versions] == [1, 2]


def test_a_study_without_labels_has_no_history(studies: Path) -> None:
    result = vpt("history", studies, "p3.nii")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: p3.nii: it has no label.\n")


def test_the_table_on_stdout_is_the_table_in_the_file(studies: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    assert vpt("export", studies, "-o", file).exit_code == 0
    result = vpt("export", studies, "--csv")
    assert result.exit_code == 0
    assert result.stdout_bytes == file.read_bytes()
    assert file.read_bytes().startswith(b"\xef\xbb\xbfstudy,task,version,finding,state")
    assert result.stderr == "2 labels of 2 studies.\n"


def test_a_file_that_is_there_is_never_written_over(studies: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    file.write_text("mine")
    result = vpt("export", studies, "-o", file)
    assert (result.exit_code, file.read_text()) == (2, "mine")
    assert "is there already; \n       choose another name." in result.stderr.replace(";", "; ")


def test_what_is_damaged_is_missing_from_the_export_and_that_is_said(studies: Path) -> None:
    (studies / "labels/final/p2.nii/pe.0001.json").write_text("{")
    result = vpt("export", studies)
    assert result.exit_code == 1
    assert [each["study"] for each in json.loads(result.stdout)["labels"]] == ["p1.nii"]
    assert "1 damaged file left out: see `vpt labels check" in result.stderr


@pytest.mark.parametrize("name", ["labels.json", "labels.csv"])
def test_exported_here_imported_there(studies: Path, tmp_path: Path, name: str) -> None:
    file, other = tmp_path / name, tmp_path / "other"
    vpt("export", studies, "-o", file, "--all-versions")
    shutil.copytree(studies, other, ignore=shutil.ignore_patterns("labels"))
    dry = vpt("import", other, file, "--dry-run")
    assert (dry.exit_code, dry.stdout.splitlines()[0]) == (0, "3 labels would be added.")
    assert not (other / "labels").exists()
    done = vpt("import", other, file)
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "3 labels added.")
    for path in sorted((studies / "labels").rglob("*.json")):
        assert (other / path.relative_to(studies)).read_bytes() == path.read_bytes()
    again = vpt("import", other, file)
    assert again.stdout == "0 labels added.\n3 labels are there already.\n"


def test_a_backup_is_imported_from_its_folder_and_what_was_followed_is_told(
    studies: Path, tmp_path: Path
) -> None:
    backup = shutil.copytree(studies / "labels", tmp_path / "backup")
    LabelFolder(backup).save("p2.nii", pe("present", "otto", "2026-11-20T20:31:05Z"))
    LabelFolder(backup).save("p9.nii", pe("present"))
    result = vpt("import", studies, backup)
    assert result.exit_code == 1
    told = words(result.stdout)
    assert "1 label added. Added: 1 p2.nii pe version 2 3 labels are there already." in told
    assert (
        "p2.nii pe: version 1 by anna (at no known time) is followed by otto (2026-11-20T20:31:05Z)" in told
    )
    assert "--keep-unknown takes their labels, too: 1 p9.nii" in told
    result = vpt("import", studies, backup, "--keep-unknown")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "1 label added.")


def test_a_damaged_file_of_a_backup_does_not_keep_the_others_away(studies: Path, tmp_path: Path) -> None:
    backup = shutil.copytree(studies / "labels", tmp_path / "backup")
    shutil.rmtree(studies / "labels")
    damaged = backup / "final/p2.nii/pe.0001.json"
    damaged.write_text("{")
    result = vpt("import", studies, backup)
    assert result.exit_code == 1
    assert result.stdout.startswith("2 labels added.\n")
    assert f"Damaged, so left out: 1\n  {damaged}\n" in result.stdout


def test_one_bad_row_refuses_the_whole_table(studies: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(
        "study,task,finding,state\np1.nii,pe,pulmonary_embolism,present\np2.nii,pe,pulmonary_embolism,maybe\n"
    )
    result = vpt("import", studies, file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"error: {file}, line 3: findings.pulmonary_embolism: state 'maybe' is unknown;" in result.stderr
    assert "Nothing was imported." in result.stderr
    assert len(LabelFolder(studies / "labels").history("p1.nii", "pe")) == 2


def test_without_the_studies_an_import_wants_to_be_told_that_any_study_will_do(
    studies: Path, tmp_path: Path
) -> None:
    file, alone = tmp_path / "labels.json", tmp_path / "archive-labels"
    vpt("export", studies, "-o", file)
    (alone / "final").mkdir(parents=True)
    result = vpt("import", alone, file)
    assert result.exit_code == 2
    assert "which studies these labels are of is not known" in result.stderr
    assert vpt("import", alone, file, "--keep-unknown").exit_code == 0
    assert len(LabelFolder(alone).newest()) == 2


def test_a_damaged_file_is_told_once_though_it_is_logged_too(studies: Path) -> None:
    (studies / "labels/final/p2.nii/pe.0002.json").write_text("{")
    done = subprocess.run(
        [sys.executable, "-m", "vpt_plugin.cli", "labels", "check", str(studies)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.count("pe.0002.json") == 1


@pytest.mark.parametrize("command", ["check", "export"])
def test_who_looks_makes_no_folder_that_the_server_could_not_write_to(tmp_path: Path, command: str) -> None:
    (tmp_path / "p01.nii").touch()
    vpt(command, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["p01.nii"]


def test_labels_beside_an_archives_cache_are_those_of_the_archive_and_not_of_the_cache(
    tmp_path: Path, write_study: WriteStudy
) -> None:
    home = tmp_path / "archives" / "127.0.0.1-8042-0123abcd"
    (home / "cache" / "series").mkdir(parents=True)
    write_study(home / "cache" / "series" / "slices.nii")
    LabelFolder(home / "labels").save("1.2.3", pe("present"))
    result = vpt("check", home / "labels")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "not there" not in result.stdout
