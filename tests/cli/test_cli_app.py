"""The command line as a whole: help, version, errors and exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vpt_plugin import __version__
from vpt_plugin.cli import app
from vpt_plugin.errors import UnknownTaskError

HELP_IMPORTS = """
import sys
from vpt_plugin.cli import app
try:
    app(["--help"])
except SystemExit:
    pass
large = {"torch", "numpy", "pydicom", "SimpleITK", "cv2", "monai", "requests"}
print(sorted(large & set(sys.modules)), file=sys.stderr)
"""


def test_the_version_is_the_librarys() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"vptct {__version__}\n"


@pytest.mark.parametrize(
    "command",
    [[], *([name] for name in ("classify", "models", "tasks", "finetune", "phantom", "weights"))]
    + [["weights", name] for name in ("list", "fetch", "import", "verify")]
    + [["labels", name] for name in ("check", "history", "export", "import")]
    + [["tokens", name] for name in ("add", "list", "remove")],
    ids=" ".join,
)
def test_every_command_has_help_with_examples(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "vpt " in result.stdout


def test_help_loads_none_of_the_large_packages() -> None:
    done = subprocess.run([sys.executable, "-c", HELP_IMPORTS], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert "classify" in done.stdout


def test_an_error_of_the_library_is_its_message_and_the_way_out_without_a_traceback() -> None:
    result = CliRunner().invoke(app, ["classify", "ct.nii", "--task", "ped"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == "error: unknown task 'ped';\n       choose from nodule, pe.\n"


def test_debug_shows_where_an_error_arose() -> None:
    result = CliRunner().invoke(app, ["--debug", "classify", "ct.nii", "--task", "ped"])
    assert isinstance(result.exception, UnknownTaskError)


def test_a_wrong_option_is_a_usage_error() -> None:
    result = CliRunner().invoke(app, ["classify", "ct.nii", "--task", "pe", "--json", "--csv"])
    assert result.exit_code == 2
    assert "use either --json or --csv, not both" in result.stderr


def test_no_task_is_an_error_that_says_how_to_give_one() -> None:
    result = CliRunner().invoke(app, ["classify", "ct.nii"])
    assert result.exit_code == 2
    assert "no task was given" in result.stderr


def test_tasks_lists_the_facts_and_a_task_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "effusion.yaml"
    file.write_text(
        "name: effusion\nfindings: [pleural_effusion]\nhu_window: {centre: 40, width: 400}\n"
        "clips: {length_slices: 8, stride_slices: 6, min_positive_slices: 2}\n"
    )
    lines = CliRunner().invoke(app, ["tasks", "--task-file", str(file)]).stdout.splitlines()
    (pe,) = (line for line in lines if "pulmonary_embolism" in line)
    assert "-100 to 900" in pe
    assert "0.15897" in pe
    (own,) = (line for line in lines if "pleural_effusion" in line)
    assert "-160 to 240" in own
    assert "8 slices; stride 6 slices; positive from 2 slices on" in own


def test_the_console_need_not_know_every_letter(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        'name: own\ntitle: "Pleuraerguß"\nfindings: [f]\nhu_window: {centre: 0, width: 1}\n', encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, "-c", "from vpt_plugin.cli import main; main()", "tasks", "--task-file", str(file)],
        capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert b"Pleuraergu\\xdf" in done.stdout
