"""``vpt tokens`` on a real file of tokens."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner, Result

from vpt_plugin.cli import app
from vpt_plugin.store.tokens import TokenFile


def vpt(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["tokens", *map(str, arguments)])


def test_a_token_is_printed_once_alone_on_stdout_and_opens_the_door(tmp_path: Path) -> None:
    file = tmp_path / "tokens.txt"
    result = vpt("add", "anna", "--file", file)
    assert result.exit_code == 0
    token = result.stdout.strip()
    owner = TokenFile(file).find(token)
    assert owner is not None
    assert (owner.name, owner.role) == ("anna", "annotator")
    assert token not in file.read_text()
    assert token not in result.stderr


def test_people_are_listed_with_their_roles_and_never_their_tokens(tmp_path: Path) -> None:
    file = tmp_path / "tokens.txt"
    tokens = [vpt("add", name, "-f", file, "-r", role).stdout.strip() for name, role in
              (("anna", "annotator"), ("otto", "admin"))]  # fmt: skip
    told = vpt("list", "--file", file).stdout
    assert [line.split() for line in told.splitlines() if "a" in line][1:] == [
        ["anna", "annotator"],
        ["otto", "admin"],
    ]
    assert not any(token in told for token in tokens)


def test_a_removed_token_opens_nothing(tmp_path: Path) -> None:
    file = tmp_path / "tokens.txt"
    token = vpt("add", "anna", "--file", file).stdout.strip()
    assert vpt("remove", "anna", "--file", file).exit_code == 0
    assert TokenFile(file).find(token) is None
    assert "Nobody has a token" in vpt("list", "--file", file).stdout


def test_what_cannot_be_is_a_usage_error_that_says_why(tmp_path: Path) -> None:
    file = tmp_path / "tokens.txt"
    assert "unknown role 'boss'" in vpt("add", "anna", "-f", file, "-r", "boss").stderr
    assert not file.exists()
    vpt("add", "anna", "--file", file)
    again = vpt("add", "anna", "--file", file)
    assert (again.exit_code, again.stdout) == (2, "")
    assert "anna has a token already" in again.stderr
    assert vpt("remove", "otto", "--file", file).exit_code == 2
    assert vpt("list", "--file", tmp_path / "gone").exit_code == 2
