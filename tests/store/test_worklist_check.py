"""A checkup of labels tells of the worklist, on which no label depends."""

from __future__ import annotations

from pathlib import Path

from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store.checkup import check_labels
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.leases import FOLDER, LeaseBook, Order
from vpt_plugin.store.worklist_check import ClosedStudy, WorklistCheck, check_worklist


def test_a_folder_without_a_worklist_has_none(tmp_path: Path) -> None:
    assert check_worklist(tmp_path / "labels") == WorklistCheck()
    assert not (tmp_path / "labels").exists()


def test_it_tells_what_is_in_hands_and_what_nobody_is_offered(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("p01", StudyLabel("pe", {"pulmonary_embolism": FindingLabel("absent")}))
    book = LeaseBook(tmp_path / FOLDER)
    book.offer([Order("p01", "pe", "random"), Order("p02", "pe", "random")], "anna")
    book.skip("p02", "anna", "unsure")
    book.skip("p02", "otto", "poor_quality", task="pe")
    book.skip("p03", "anna", "unreadable", task="nodule")
    book.skip("p04", "anna", "unsure", task="pe")
    found = check_labels(labels, {"p01", "p02", "p03", "p04"})
    assert not found.needs_a_person
    assert found.worklist.held == 1
    assert found.worklist.closed == (
        ClosedStudy("p03", "nodule", (("anna", "unreadable"),)),
        ClosedStudy("p02", "pe", (("anna", "unsure"), ("otto", "poor_quality"))),
    )
    assert found.to_json()["worklist"] == {
        "held": 1,
        "closed": [
            {"study": "p03", "task": "nodule", "reasons": ["unreadable"]},
            {"study": "p02", "task": "pe", "reasons": ["unsure", "poor_quality"]},
        ],
        "damaged": [],
    }


def test_damage_is_told_changes_nothing_and_hides_nothing(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    book = LeaseBook(folder)
    book.offer([Order("p01", "pe", "random")], "anna")
    (folder / "leases.json").write_text("{")
    (folder / "damaged-leases-1.json").write_text("[")
    with (folder / "history.jsonl").open("a") as file:
        file.write("half a li\n")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    found = check_worklist(tmp_path)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert found.held == 1
    assert [path.name for path, _ in found.damaged] == [
        "damaged-leases-1.json",
        "history.jsonl",
        "leases.json",
    ]
    assert found.damaged[1][1] == "1 line is left out; the others count"


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / FOLDER / "leases.json").mkdir(parents=True)
    ((path, problem),) = check_worklist(tmp_path).damaged
    assert (path.name, problem) == ("leases.json", "cannot be read: Is a directory")
    (tmp_path / FOLDER / "history.jsonl").mkdir()
    assert check_worklist(tmp_path).damaged[0][0].name == "history.jsonl"
