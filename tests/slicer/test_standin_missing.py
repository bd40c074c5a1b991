"""Without Slicer's scene or Qt the tests skip and say what is missing; in CI they fail instead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from standin import wheel

# Python itself says what a wheel without its system library says.
WITHOUT = """
import sys
sys.path.insert(0, sys.argv[1])

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in ("slicer_core", "PySide6"):
            raise ImportError("libEGL.so.1: cannot open shared object file")

sys.meta_path.insert(0, Missing())
from standin import wheel
print(wheel.missing_scene())
print(wheel.missing_window())
print("slicer" in sys.modules)
"""


def test_what_is_missing_is_named() -> None:
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", WITHOUT, here], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        "slicer-core: libEGL.so.1: cannot open shared object file",
        "PySide6-Essentials: libEGL.so.1: cannot open shared object file",
        "False",
    ], done.stderr


def test_elsewhere_the_test_skips_and_in_ci_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VPT_REQUIRE_SLICER", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"libEGL\.so\.1.*apt-get install .*libegl1"):
        wheel.skip_or_fail("PySide6-Essentials: libEGL.so.1")
    monkeypatch.setenv("VPT_REQUIRE_SLICER", "1")
    with pytest.raises(pytest.fail.Exception, match=r"libEGL\.so\.1"):
        wheel.skip_or_fail("PySide6-Essentials: libEGL.so.1")


def test_where_nothing_is_missing_the_test_runs() -> None:
    wheel.skip_or_fail("")
