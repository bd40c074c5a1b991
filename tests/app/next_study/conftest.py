"""An app over studies that nobody reads, and people who may ask it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vpt_plugin.store.tokens import TokenFile

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def site(serve, tmp_path: Path) -> Callable[..., Any]:
    """Starts the app over some studies that nobody reads: ``s00.nii``, ``s01.nii`` and so on."""

    def start(count: int = 12, **conf: str) -> Any:
        (tmp_path / "studies").mkdir(exist_ok=True)
        for number in range(count):
            (tmp_path / "studies" / f"s{number:02d}.nii").write_bytes(b"x")
        return serve({"tasks": "nodule,pe", "scoring": "off", **conf})

    return start


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    """The tokens of two readers, a reviewer and an admin, by their names; their file is ``tokens``."""
    file = TokenFile(tmp_path / "tokens")
    roles = {"anna": "annotator", "ben": "annotator", "rita": "reviewer", "ada": "admin"}
    return {name: file.add(name, role) for name, role in roles.items()}
