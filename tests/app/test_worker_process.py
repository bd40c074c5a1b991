"""The process of a worker: what it is given and told, whoever started the server and from wherever."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from lib.worker_process import Worker


def test_a_worker_looks_for_weights_where_the_server_does(
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


def test_a_worker_hears_each_line_in_order_and_one_that_has_ended_hears_nothing(tmp_path: Path) -> None:
    script = (
        "import json, sys; "
        "print(json.dumps({'heard': [sys.stdin.readline().strip() for _ in range(3)]}), flush=True)"
    )
    worker = Worker((sys.executable, "-c", script), tmp_path / "log")
    for word in ("pause", "resume", "pause"):
        worker.tell(word)
    assert list(worker.events()) == [{"heard": ["pause", "resume", "pause"]}]
    # Its input is closed at the other end now, and after ``end`` at this one.
    worker.tell("resume")
    assert worker.end() == 0
    worker.tell("resume")
