"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before any test loads torch: its threads otherwise spin while they wait for each other, which on a computer
# that is busy with something else makes a small network a hundred times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real chest CTs that VPT_TEST_DATA names; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("VPT_TEST_DATA", "not-set"))
    if not folder.is_dir():
        pytest.skip("needs real CTs: set VPT_TEST_DATA to a folder that holds lidc-idri-0001/ and the others")
    return folder
