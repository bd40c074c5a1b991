"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real chest CTs that VPT_TEST_DATA names; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("VPT_TEST_DATA", "not-set"))
    if not folder.is_dir():
        pytest.skip("needs real CTs: set VPT_TEST_DATA to a folder that holds lidc-idri-0001/ and the others")
    return folder
