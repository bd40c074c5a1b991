"""A site whose readers label studies, for tests of who is trained on and who is validated on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from labelled_site import Site  # only now on the path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site without a study."""
    return Site(tmp_path / "studies", tmp_path / "prepared")
