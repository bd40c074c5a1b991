"""What is asked wrongly is refused before the packages that take seconds to load are loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REFUSED = """
import sys
from vpt_plugin.cli import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    print("exit", end.code)
print(sorted({"torch", "matplotlib", "sklearn", "skactiveml", "monai"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("next", "nowhere", "--task", "pe"), "nowhere: there is no such folder."),
        (("worklist", ".", "--task", "pe", "--strategy", "bogus"), "there is no strategy 'bogus';"),
        (("simulate", ".", "--task", "pe", "--strategies", "auto,foo"), "there is no strategy 'foo';"),
        (("simulate", ".", "--task", "pe", "--prevalence", "2"), "prevalence must lie between 0 and 1"),
        (("simulate", "nowhere", "--task", "pe"), "nowhere"),
    ],
)
def test_a_wrong_word_loads_none_of_the_packages_that_compute(
    words: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, *words], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert told in done.stderr
    assert done.stdout.splitlines() == ["exit 2", "[]"]
