"""The process of a training: what it is given, whoever started the server and from wherever."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from lib.training.process import Worker


def test_a_training_looks_for_weights_where_the_server_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trainings").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VPTCT_HOME", "home")
    script = (
        "import json; from vpt_plugin.models.weights import vptct_home; "
        "print(json.dumps({'home': str(vptct_home())}))"
    )
    worker = Worker((sys.executable, "-c", script), tmp_path / "trainings" / "0001.log")
    assert list(worker.events()) == [{"home": str(tmp_path / "home")}]
    assert worker.end() == 0
