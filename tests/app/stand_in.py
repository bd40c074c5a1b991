"""Processes that stand in for a training: they tell what the real one tells, and do what a test needs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PROGRESS = {
    "state": "training", "step": 4, "steps": 8, "epoch": 1, "epochs": 2, "loss": 0.7,
    "validation_auroc": None, "best_auroc": None, "seconds_left": 3.5, "note": "", "fold": 0, "folds": 0,
}  # fmt: skip
RESULT = {
    "version": 1, "served": True, "decision": "Nothing was served before.", "validation_auroc": {},
    "comparison": None, "warnings": [], "report": False,
}  # fmt: skip
_HEAD = """
import json, os, signal, sys, threading, time, pathlib
def say(**event):
    print(json.dumps(event), flush=True)
def end_with_owner():
    while os.read(0, 1024):
        pass
    os._exit(1)
threading.Thread(target=end_with_owner, daemon=True).start()
"""


def stand_in(body: str) -> Callable[[Path], Sequence[str]]:
    """The command of a process that does this; the job's file is ``sys.argv[1]``."""
    script = f"{_HEAD}\nPROGRESS, RESULT = {PROGRESS!r}, {RESULT!r}\n{body}"
    return lambda job_file: (sys.executable, "-c", script, str(job_file))


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something that is about to happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether there is a process of this number that has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
