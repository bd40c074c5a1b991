"""A study from the command line whose driver is killed, then stopped by Ctrl+C, then left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vpt_plugin.study.runner_cell import CellProgress

CELLS = ["balls-tiny-none-100-s0", "balls-tiny-none-100-s1"]
# Long enough that none is over in the second or two in which what a kill leaves behind ends.
EPOCHS, STEPS_PER_EPOCH = 8, 60
PLAN = """
title: A small plan
datasets:
  balls:
    task: nodule
    manifest: {manifest}
    arms:
      100: [none]
networks: [tiny]
seeds: [0, 1]
learning_rates:
  all: [1.0e-3]
sizes:
  tiny: {{clip_slices: 8, resize_px: 40, crop_px: 32}}
training:
  all: {{epochs: {epochs}, patience: {epochs}, steps_per_epoch: {steps}, batch: 4}}
"""
# As from a terminal: what is started in the background of a shell ignores Ctrl+C.
VPT = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from vpt_plugin.cli import main; main()"
)


@pytest.fixture
def plan(tmp_path: Path, make_manifest: Callable[..., Path]) -> Path:
    path = tmp_path / "small.yaml"
    manifest = make_manifest(tmp_path / "balls", 4, 4, 4)
    text = PLAN.format(manifest=manifest, epochs=EPOCHS, steps=STEPS_PER_EPOCH)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def begin(plan: Path, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts the study; what it says goes into ``said`` and ``stderr``."""
    begun: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", VPT, "study", "--plan", plan, "--out", tmp_path / "out"]
        # Not a pipe: what a killed one leaves of its Ray would hold it open.
        with (tmp_path / "said").open("w") as said, (tmp_path / "stderr").open("w") as stderr:
            begun.append(subprocess.Popen(command, stdout=said, stderr=stderr))
        return begun[-1]

    yield start
    for each in begun:
        each.kill()
        each.wait()


def wait_for_epoch(out: Path, cell: str, epoch: int, *, not_in: int = 0) -> int:
    """The process that trains the cell, once it is at this epoch."""
    began = time.monotonic()
    while time.monotonic() - began < 90:
        progress = CellProgress.read(out, cell)
        if progress is not None and progress.process != not_in and progress.now.epoch >= epoch:
            return progress.process
        time.sleep(0.05)
    raise AssertionError((out.parent / "stderr").read_text())


def run_of(out: Path, cell: str) -> str:
    """The number of the training that is under way."""
    (record,) = (out / "cells" / cell / "models").glob(".runs/*/run.json")
    return json.loads(record.read_text())["number"]


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such signals")
def test_a_study_that_is_killed_and_then_stopped_goes_on_and_does_each_training_once(
    begin: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    out, stderr = tmp_path / "out", tmp_path / "stderr"
    killed = begin()
    wait_for_epoch(out, CELLS[0], 3)
    first = wait_for_epoch(out, CELLS[1], 3)
    killed.kill()
    killed.wait()
    numbers = {cell: run_of(out, cell) for cell in CELLS}

    stopped = begin()
    wait_for_epoch(out, CELLS[1], 4, not_in=first)
    began = time.monotonic()
    stopped.send_signal(signal.SIGINT)
    assert stopped.wait(timeout=60) == 130, stderr.read_text()
    assert time.monotonic() - began < 20
    assert "the same command goes on" in stderr.read_text()

    last = begin()
    assert last.wait(timeout=120) == 0, stderr.read_text()
    assert "2 cells done" in (tmp_path / "said").read_text()
    for cell in CELLS:
        (card,) = (out / "cells" / cell / "models").rglob("card.json")
        training = json.loads(card.read_text())["training"]
        assert len(training["history"]) == EPOCHS
        assert training["run"] == numbers[cell]
    assert (out / "report" / "report.html").is_file()
    assert (out / "results.csv").read_text().count("\n") == 3
