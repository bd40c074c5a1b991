"""``vpt worklist --held`` and ``vpt give-back``: what is kept for whom, and how others get it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vpt_plugin.cli import app
from vpt_plugin.store.leases import FOLDER, LeaseBook, Order

IDS = [f"p{number}--ct.nii.gz" for number in range(1, 4)]


@pytest.fixture
def studies(tmp_path: Path, write_study: Callable[[Path], Path]) -> Path:
    """Three studies without labels; ben has the first and the second, anna has the third."""
    root = tmp_path / "studies"
    for number in range(1, 4):
        write_study(root / f"p{number}" / "ct.nii.gz")
    book = LeaseBook(root / "labels" / FOLDER)
    book.offer([Order(study, "nodule", "auto") for study in IDS[:2]], "ben")
    book.offer([Order(IDS[2], "pe", "random")], "anna")
    return root


def vpt(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def held(studies: Path) -> dict[str, str]:
    return {study: lease.reader for study, lease in LeaseBook(studies / "labels" / FOLDER).held().items()}


def rows(result: Result) -> list[tuple[str, str, str]]:
    assert result.exit_code == 0, result.output
    found = csv.DictReader(io.StringIO(result.stdout_bytes.decode("utf-8-sig")))
    return [(row["study"], row["task"], row["reader"]) for row in found]


def test_a_reader_sees_what_is_kept_for_them_and_with_all_what_is_kept_for_anybody(studies: Path) -> None:
    mine = vpt("worklist", studies, "--held", "--reader", "ben")
    assert rows(mine) == [(IDS[0], "nodule", "ben"), (IDS[1], "nodule", "ben")]
    assert mine.stderr == "2 studies kept for you.\n"
    everybody = vpt("worklist", studies, "--held", "--all")
    assert rows(everybody) == [(IDS[2], "pe", "anna"), *rows(mine)]
    assert everybody.stderr == "3 studies in readers' hands.\n"
    assert rows(vpt("worklist", studies, "--held", "--all", "--task", "pe")) == [(IDS[2], "pe", "anna")]
    told = json.loads(vpt("worklist", studies, "--held", "--reader", "anna", "--json").stdout)
    lease = LeaseBook(studies / "labels" / FOLDER).held()[IDS[2]]
    assert [(each["study"], each["until"]) for each in told] == [(IDS[2], lease.until)]


def test_nobody_reads_what_a_reader_without_a_name_gives_back_by(studies: Path) -> None:
    book = LeaseBook(studies / "labels" / FOLDER)
    book.give_back(IDS[0], "ben")
    (lease,) = book.offer([Order(IDS[0], "nodule", "auto")], "")
    result = vpt("worklist", studies, "--held", "--all")
    assert (IDS[0], "nodule", "") in rows(result)
    assert lease.holder not in result.output
    assert vpt("give-back", studies, "--all", "--reader", lease.holder).exit_code == 0
    assert IDS[0] not in held(studies)


def test_what_is_given_back_is_free_and_the_rest_stays(studies: Path) -> None:
    result = vpt("give-back", studies, IDS[0], "--reader", "ben")
    assert (result.exit_code, result.stdout) == (0, f"{IDS[0]} is given back.\n")
    assert held(studies) == {IDS[1]: "ben", IDS[2]: "anna"}
    again = vpt("give-back", studies, IDS[0], "--reader", "ben")
    assert (again.exit_code, again.stdout) == (0, f"{IDS[0]} was in nobody's hands.\n")
    assert vpt("give-back", studies, "--all", "--reader", "ben").exit_code == 0
    assert held(studies) == {IDS[2]: "anna"}
    assert vpt("give-back", studies, "--all", "--reader", "ben").stdout == "No study is kept for you.\n"


def test_what_another_reader_has_is_not_given_back(studies: Path) -> None:
    result = vpt("give-back", studies, IDS[2], "--reader", "ben")
    assert (result.exit_code, "somebody else has it" in result.stderr) == (1, True)
    assert held(studies)[IDS[2]] == "anna"


def test_a_study_that_is_gone_can_be_given_back(studies: Path) -> None:
    (studies / "p1" / "ct.nii.gz").unlink()
    assert vpt("give-back", studies, IDS[0], "--reader", "ben").stdout == f"{IDS[0]} is given back.\n"


@pytest.mark.parametrize("arguments", [["give-back"], ["give-back", IDS[0], "--all"], ["worklist", "--all"]])
def test_what_does_not_say_what_is_meant_is_refused(studies: Path, arguments: list[str]) -> None:
    command, *rest = arguments
    result = vpt(command, studies, *rest, "--reader", "ben", *(["-t", "pe"] if command == "worklist" else []))
    assert result.exit_code == 2
    assert "--all" in result.stderr
    assert len(held(studies)) == 3


def test_the_way_out_of_a_study_that_is_not_there_is_a_command_and_no_address_of_a_server(
    studies: Path,
) -> None:
    for command in (
        ["skip", studies, "p9", "--task", "pe", "--reason", "unsure"],
        ["give-back", studies, "p9"],
    ):
        result = vpt(*command, "--reader", "ben")
        assert result.exit_code == 1
        assert "'p9': there is no study of this id" in result.stderr
        assert "`vpt studies list` lists all" in result.stderr
        assert "/datastore" not in result.stderr


def test_who_already_has_studies_is_told_so_with_the_next_one(studies: Path, tmp_path: Path) -> None:
    LeaseBook(studies / "labels" / FOLDER).give_back(IDS[2], "anna")
    given = ["next", studies, "--task", "nodule", "--models-dir", tmp_path / "none", "--reader"]
    result = vpt(*given, "ben")
    assert result.stdout.splitlines()[0] == IDS[2]
    assert "You have 3 studies in your hands" in result.stderr
    vpt("give-back", studies, IDS[2], "--reader", "ben")
    assert "in your hands:" not in vpt(*given, "anna").stderr


def test_a_folder_of_labels_that_is_still_to_be_made_is_taken_and_a_mistyped_path_is_not(
    studies: Path, tmp_path: Path
) -> None:
    models = ["--models-dir", tmp_path / "none", "--task", "nodule"]
    result = vpt("next", studies, *models, "--reader", "ben", "--labels-dir", tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert f"There are no labels in {tmp_path / 'new'} yet." in result.stderr
    assert list(LeaseBook(tmp_path / "new" / FOLDER).held()) == result.stdout.splitlines()[:1]
    gone = tmp_path / "gone" / "labels"
    result = vpt("worklist", studies, *models, "--labels-dir", gone)
    assert (result.exit_code, f"{gone}: there is no such folder" in result.stderr) == (2, True)
    assert not gone.parent.exists()


@pytest.mark.parametrize(
    "arguments", [["next", "-n", "201"], ["worklist", "-n", "1001"], ["next", "--lease-minutes", "0"]]
)
def test_a_number_that_cannot_be_is_refused_by_the_name_of_its_option(
    studies: Path, arguments: list[str]
) -> None:
    command, option, number = arguments
    result = vpt(command, studies, "--task", "nodule", option, number)
    assert (result.exit_code, option in result.stderr) == (2, True)
