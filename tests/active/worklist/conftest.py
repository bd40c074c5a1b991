"""A site with real labels, leases, versions and scores, except that no network computed the scores."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from made_up_site import MadeUpSite  # only now on the path


@pytest.fixture
def site(tmp_path: Path) -> MadeUpSite:
    """40 studies, ``p00`` to ``p39``, in four groups of ten; nothing labelled, trained or scored."""
    return MadeUpSite(tmp_path, [f"p{number:02d}" for number in range(40)])


@pytest.fixture
def make_site(tmp_path: Path) -> Callable[..., MadeUpSite]:
    """A site of other studies, or another task."""

    def make(studies: list[str], **options: object) -> MadeUpSite:
        return MadeUpSite(tmp_path, studies, **options)  # type: ignore[arg-type]

    return make
