"""A run begins once, goes on where it was, belongs to one process, and does not stay for ever."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from vpt_plugin.errors import TrainingError
from vpt_plugin.training.run_folder import KEPT_DAYS, open_run, run_key

FACTS: dict[str, Any] = {"task": "nodule", "config": {"seed": 0}, "labels_hash": "ab"}
DAY = 24 * 3600.0


def open_it(models: Path, facts: dict[str, Any] = FACTS, **options: Any) -> Any:
    return open_run(models, "nodule_tiny", facts, **{"told": lambda note: None, **options})


def runs(models: Path) -> list[str]:
    return sorted(path.name for path in (models / ".runs").iterdir() if path.is_dir())


def interrupted(models: Path, facts: dict[str, Any] = FACTS) -> None:
    """A run that ended after its first epoch."""
    with open_it(models, facts) as run:
        run.round("final").checkpoints.save(1, {"epoch": 1})


def test_an_interrupted_run_goes_on_and_says_so(tmp_path: Path) -> None:
    told: list[str] = []
    interrupted(tmp_path)
    with open_it(tmp_path, told=told.append) as run:
        assert run.round("final").checkpoints.newest() == {"epoch": 1}
    assert len(told) == 1
    assert "was interrupted before and goes on" in told[0]


def test_another_configuration_begins_another_run(tmp_path: Path) -> None:
    interrupted(tmp_path)
    with open_it(tmp_path, {**FACTS, "config": {"seed": 1}}) as run:
        assert run.round("final").checkpoints.newest() is None
    assert runs(tmp_path) == [f"nodule_tiny-{run_key(FACTS)}"]


def test_the_key_does_not_depend_on_the_order_of_the_facts() -> None:
    assert run_key({"a": 1, "b": 2}) == run_key({"b": 2, "a": 1}) != run_key({"a": 1, "b": 3})


def test_the_outcome_of_a_finished_round_is_kept(tmp_path: Path) -> None:
    with open_it(tmp_path) as run:
        run.round("fold-1").finish({"auroc": 0.75})
        assert run.round("fold-2").outcome() is None
    with open_it(tmp_path) as run:
        assert run.round("fold-1").outcome() == {"auroc": 0.75}


def test_a_damaged_outcome_is_told_and_not_used(tmp_path: Path) -> None:
    told: list[str] = []
    with open_it(tmp_path) as run:
        run.round("fold-1").finish({"auroc": 0.75})
        (run.path / "fold-1" / "outcome.ckpt").write_bytes(b"no outcome")
    with open_it(tmp_path, told=told.append) as run:
        assert run.round("fold-1").outcome() is None
    assert "outcome.ckpt: the checkpoint is damaged" in told[-1]


def test_a_run_that_is_done_leaves_nothing(tmp_path: Path) -> None:
    interrupted(tmp_path)
    with open_it(tmp_path) as run:
        run.remove()
    assert runs(tmp_path) == []


def test_a_run_in_which_nothing_was_kept_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), open_it(tmp_path):
        raise ZeroDivisionError
    assert runs(tmp_path) == []


def test_two_processes_cannot_train_the_same(tmp_path: Path) -> None:
    with open_it(tmp_path):
        told = rf"runs already: process {os.getpid()} on .*, begun 20"
        with pytest.raises(TrainingError, match=told), open_it(tmp_path):
            raise AssertionError
        with open_it(tmp_path, {**FACTS, "labels_hash": "cd"}):
            assert len(runs(tmp_path)) == 2


def test_the_record_says_what_is_trained_and_since_when(tmp_path: Path) -> None:
    interrupted(tmp_path)
    record = json.loads((tmp_path / ".runs" / runs(tmp_path)[0] / "run.json").read_text())
    assert (record["schema"], record["facts"]) == ("vptct.run/1", FACTS)
    with open_it(tmp_path) as run:
        assert json.loads((run.path / "run.json").read_text())["begun"] == record["begun"]


def test_a_damaged_record_costs_only_the_date(tmp_path: Path) -> None:
    interrupted(tmp_path)
    (tmp_path / ".runs" / runs(tmp_path)[0] / "run.json").write_text("{")
    with open_it(tmp_path) as run:
        assert run.round("final").checkpoints.newest() == {"epoch": 1}


def test_runs_that_nobody_went_on_with_are_removed_unless_they_are_in_use(tmp_path: Path) -> None:
    other = {**FACTS, "labels_hash": "cd"}
    interrupted(tmp_path)
    later = time.time() + (KEPT_DAYS + 1) * DAY
    with open_it(tmp_path, other), open_it(tmp_path, {**FACTS, "labels_hash": "ef"}, clock=lambda: later):
        assert f"nodule_tiny-{run_key(FACTS)}" not in runs(tmp_path)
        assert f"nodule_tiny-{run_key(other)}" in runs(tmp_path)


def test_a_run_of_last_week_is_kept(tmp_path: Path) -> None:
    interrupted(tmp_path)
    with open_it(tmp_path, {**FACTS, "labels_hash": "cd"}, clock=lambda: time.time() + 7 * DAY):
        assert f"nodule_tiny-{run_key(FACTS)}" in runs(tmp_path)


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    interrupted(tmp_path)
    half = tmp_path / ".runs" / runs(tmp_path)[0] / "final" / ".epoch-0002.ckpt.0123.tmp"
    half.write_bytes(b"half a checkpo")
    with open_it(tmp_path):
        assert not half.exists()


def test_a_folder_that_cannot_be_written_is_told_before_the_training(tmp_path: Path) -> None:
    (tmp_path / ".runs").write_text("a file where the folder should be")
    told = r"training's folder cannot be written.*What is served stays"
    with pytest.raises(TrainingError, match=told), open_it(tmp_path):
        raise AssertionError
