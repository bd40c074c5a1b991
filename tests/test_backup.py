"""docs/deploy/backup.sh: a copy made while readers label holds every label that was saved before it began."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.leases import FOLDER, LeaseBook, Order

SCRIPT = Path(__file__).resolve().parent.parent / "docs" / "deploy" / "backup.sh"

pytestmark = pytest.mark.skipif(
    shutil.which("rsync") is None or os.name == "nt", reason="needs rsync: apt-get install rsync"
)


def back_up(destination: Path, *folders: Path) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPT), str(destination), *(f"{folder}/" for folder in folders)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def label(annotator: str) -> StudyLabel:
    return StudyLabel("nodule", {"lung_nodule": FindingLabel("absent")}, annotator=annotator)


def test_what_was_saved_before_the_copy_began_is_in_it_byte_for_byte_while_others_save(
    tmp_path: Path,
) -> None:
    labels = LabelFolder(tmp_path / "labels")
    before = [labels.save(f"study{n % 10}", label(f"reader{n}")) for n in range(40)]
    done = threading.Event()

    def keep_labelling() -> None:
        while not done.is_set():
            labels.save("study0", label("the one who goes on"))

    writers = [threading.Thread(target=keep_labelling) for _ in range(3)]
    for writer in writers:
        writer.start()
    first = back_up(tmp_path / "backup", tmp_path / "labels")
    done.set()
    for writer in writers:
        writer.join()
    assert (first.returncode, first.stderr) == (0, "")
    copies = LabelFolder(tmp_path / "backup" / "labels")
    for saved in before:
        (copy,) = [each for each in copies.history(saved.study, "nodule") if each.version == saved.version]
        assert (copy.sha256, copy.saved, copy.label) == (saved.sha256, saved.saved, saved.label)
    assert copies.damaged() == []
    assert not [path for path in (tmp_path / "backup").rglob("*") if path.name.startswith(".")]


def test_what_goes_wrong_later_does_not_get_into_the_backup(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path / "labels")
    saved = labels.save("p01", label("anna"))
    (labels.root / "studies-index.json").write_text("a cache")
    (labels.root / "final" / "p01" / "nodule.0002.json").write_text("")
    back_up(tmp_path / "backup", labels.root)
    saved.path.write_text("encrypted, pay here")
    shutil.rmtree(labels.root / "conflicts", ignore_errors=True)
    labels.save("p02", label("ben"))
    assert back_up(tmp_path / "backup", labels.root).returncode == 0
    found = {path.name for path in (tmp_path / "backup" / "labels").rglob("*.json")}
    assert found == {"nodule.0001.json"}
    copies = LabelFolder(tmp_path / "backup" / "labels")
    assert [each.label.annotator for each in copies.newest()] == ["anna", "ben"]


@pytest.mark.parametrize("name", ["examinations.json", "pe_tiny/served.json", "splits/pe.json"])
def test_what_does_change_is_copied_as_it_is_now(tmp_path: Path, name: str) -> None:
    file = tmp_path / "folder" / name
    file.parent.mkdir(parents=True)
    for text in ("then", "now!"):
        file.write_text(text)
        assert back_up(tmp_path / "backup", tmp_path / "folder").returncode == 0
    assert (tmp_path / "backup" / "folder" / name).read_text() == "now!"


def test_the_history_of_the_worklist_grows_in_the_backup_and_no_damage_gets_over_it(tmp_path: Path) -> None:
    book = LeaseBook(tmp_path / "labels" / FOLDER)
    copy = tmp_path / "backup" / "labels" / FOLDER
    for study in ("p01", "p02"):
        book.offer([Order(study, "nodule", "random")], "anna")
        assert back_up(tmp_path / "backup", tmp_path / "labels").returncode == 0
        assert (copy / "history.jsonl").read_bytes() == (book.folder / "history.jsonl").read_bytes()
    assert [path.name for path in copy.iterdir()] == ["history.jsonl"]
    (book.folder / "history.jsonl").write_text("pay here\n" * 1000)
    assert back_up(tmp_path / "backup", tmp_path / "labels").returncode == 0
    assert [each.study for each in LeaseBook(copy).history().offers] == ["p01", "p02"]


def test_models_are_copied_without_what_a_training_has_not_finished(tmp_path: Path) -> None:
    version = tmp_path / "models" / "pe_tiny" / "v0001"
    unfinished = tmp_path / "models" / "pe_tiny" / ".unfinished-1234"
    for folder in (version, unfinished):
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(b"weights")
    back_up(tmp_path / "backup", tmp_path / "models")
    files = [path for path in (tmp_path / "backup").rglob("*") if path.is_file()]
    assert files == [tmp_path / "backup" / "models" / "pe_tiny" / "v0001" / "weights.safetensors"]


def test_a_folder_that_is_not_there_is_an_error_and_not_an_empty_backup(tmp_path: Path) -> None:
    assert back_up(tmp_path / "backup", tmp_path / "nothing").returncode != 0


def test_without_arguments_it_says_how_to_call_it() -> None:
    done = subprocess.run([str(SCRIPT)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("Copies what cannot be made again")
    assert "backup.sh DESTINATION FOLDER..." in done.stderr
