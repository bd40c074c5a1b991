"""docs/server.md says what the code does: its tables, the commands on it, the files it names."""

from __future__ import annotations

import argparse
import inspect
import re
import shlex
import subprocess
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import typer
from docs_page import code_blocks, read_page, table_rows
from lib import errors
from lib.access import errors as access_errors
from lib.conf import KEYS
from monailabel.config import Settings
from monailabel.main import Main

import vpt_plugin.errors
from vpt_plugin.cli.app import app as vpt

ROOT = Path(__file__).resolve().parent.parent
PAGE = read_page("server.md")
rows = partial(table_rows, PAGE)
DEPLOY = ROOT / "docs" / "deploy"


def code(cell: str) -> str:
    """``text`` out of `` `text` ``."""
    match = re.search(r"`([^`]+)`", cell)
    assert match, cell
    return match[1]


def error_classes() -> dict[str, type[Exception]]:
    """Every error that the library, the app and its login raise on purpose."""
    modules: tuple[ModuleType, ...] = (vpt_plugin.errors, errors, access_errors)
    found = [each for module in modules for each in vars(module).values() if inspect.isclass(each)]
    return {each.__name__: each for each in found if issubclass(each, vpt_plugin.errors.VptError)}


def test_every_error_is_in_the_table_with_the_status_that_it_gets() -> None:
    told = {code(row[0]): int(row[1]) for row in rows("error")}
    # As ``status_of`` finds it: that of the nearest class that has one.
    given = {
        name: next(errors.STATUS[each] for each in kind.__mro__ if each in errors.STATUS)
        for name, kind in error_classes().items()
    }
    assert told == given


def test_every_error_in_the_table_says_what_it_means_and_what_to_do() -> None:
    for name, _, means, what_to_do in rows("error"):
        assert len(means) > 10, name
        assert len(what_to_do) > 6, name


def test_every_key_of_the_configuration_is_in_the_table_and_no_other() -> None:
    assert sorted(code(row[0]).split()[0] for row in rows("`--conf`")) == sorted(KEYS)


def test_every_environment_variable_on_the_page_is_one_that_something_reads() -> None:
    sources = [*(ROOT / "vpt_plugin").rglob("*.py"), *(ROOT / "apps").rglob("*.py")]
    own = set(re.findall(r"\bVPTCT_[A-Z_]+\b", "".join(path.read_text("utf-8") for path in sources)))
    theirs = {name for name in Settings.model_fields if name.startswith("MONAI_LABEL_")}
    told = {code(row[0]) for row in rows("environment variable")}
    # Read by what lies below: MLflow, OpenMP, requests, Python's tempfile.
    assert told <= own | theirs | {"DO_NOT_TRACK", "OMP_WAIT_POLICY", "REQUESTS_CA_BUNDLE", "TMPDIR"}
    assert own <= told
    assert set(re.findall(r"\bMONAI_LABEL_[A-Z_]*[A-Z]\b", PAGE)) <= theirs


def commands() -> list[str]:
    """Every line of every block of shell on the page."""
    blocks = code_blocks(PAGE, "sh")
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


SYSTEM = {
    "apt-get", "cp", "curl", "git", "install", "journalctl", "make", "mkdir", "nginx", "runuser", "systemctl",
    "rsync", "tar", "useradd",
}  # fmt: skip


@pytest.mark.parametrize("line", commands())
def test_every_command_on_the_page_is_one_that_there_is(line: str) -> None:
    words = shlex.split(line, comments=True)
    while words[0] in ("runuser", "env"):
        # runuser -u USER -- COMMAND; env NAME=VALUE COMMAND
        words = words[words.index("--") + 1 :] if words[0] == "runuser" else words[2:]
    program = words[0].rsplit("/", 1)[-1]
    if program == "vpt":
        assert_vpt_takes(words[1:])
    elif words[0].startswith("/opt/vptct/"):
        assert (ROOT / words[0].removeprefix("/opt/vptct/")).stat().st_mode & 0o111
    else:
        assert program in SYSTEM
    for word in words[1:]:
        if word.startswith("/opt/vptct/docs/"):
            assert (ROOT / word.removeprefix("/opt/vptct/")).is_file()


def assert_vpt_takes(words: list[str]) -> None:
    """Parse a command line without running the command."""
    command = typer.main.get_command(vpt)
    while subcommands := getattr(command, "commands", None):
        name, *words = words
        assert name in subcommands
        command = subcommands[name]
    options = {text for each in command.params for text in (*each.opts, *each.secondary_opts)}
    for word in words:
        assert not word.startswith("-") or word in options, f"{word} is no option of vpt {command.name}"


def test_the_units_command_line_is_one_that_monai_label_and_the_app_take() -> None:
    unit = (DEPLOY / "vptct.service").read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    words = shlex.split(line)
    assert words[1:4] == ["-m", "monailabel.main", "start_server"]
    parser = argparse.ArgumentParser(exit_on_error=False)
    Main().args_start_server(parser)
    given = parser.parse_args(words[4:])
    assert (given.host, {key for key, _ in given.conf} <= set(KEYS)) == ("127.0.0.1", True)
    # What the unit lets the service write is what its command line names.
    (writable,) = re.findall(r"^ReadWritePaths=(.*)$", unit, re.MULTILINE)
    assert set(writable.split()) == {value for key, value in given.conf if key.endswith("_dir")}


def test_systemd_understands_the_unit_and_finds_it_well_closed() -> None:
    try:
        verified = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=20", "vptct.service"],
            cwd=DEPLOY, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("needs systemd-analyze: apt-get install systemd")
    if "unrecognized option" in verified.stderr:
        pytest.skip("needs systemd 250 or later, for systemd-analyze security --offline")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    # A line that systemd does not know is told here, and otherwise passed over.
    assert "vptct.service:" not in verified.stderr.replace("is not executable", "")


def test_every_file_that_the_page_names_is_there() -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", PAGE) if "://" not in target]
    assert targets
    for target in targets:
        assert (ROOT / "docs" / target).exists(), target
    for name in re.findall(r"`((?:tests|benchmarks|docs)/[A-Za-z0-9_/.-]+)`", PAGE):
        assert (ROOT / name).exists(), name


def test_every_heading_that_the_page_links_to_is_there() -> None:
    headings = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\(#([^)]+)\)", PAGE)) <= anchors
