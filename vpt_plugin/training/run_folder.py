"""RunFolder: what a training has done so far, on the disk, from its start until its model is published.

::

    <models>/.runs/.lock                    held for the moment in which a run begins or is removed
                   <task>_<model>-<key>/run.json      what is trained, since when, and a number of its own
                                        .lock         held by the process that trains
                                        <round>/epoch-0003.ckpt    see ``checkpoints``
                                                outcome.ckpt       of a round that is finished

The key is a hash over everything the result depends on. So the same command finds the run that it began, and
another configuration, other labels or another version of the code begin another one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vpt_plugin.durable import make_folder, sweep_leftovers, write_over
from vpt_plugin.errors import CheckpointError, TrainingError
from vpt_plugin.labels import now
from vpt_plugin.training.checkpoints import Checkpoints, read_state, write_state

SCHEMA = "vptct.run/1"
KEPT_DAYS = 14

_RUNS, _RUN, _LOCK, _OUTCOME = ".runs", "run.json", ".lock", "outcome.ckpt"
# A run begins or is removed within milliseconds, and a second or two on a slow share.
_PATIENCE_SECONDS = 60
_logger = logging.getLogger(__name__)


class RoundFolder:
    """One round of a training: its checkpoints while it runs, its outcome when it is finished.

    Args:
        path: of its folder; need not be there yet.
        told: what the user should know.
    """

    def __init__(self, path: Path, told: Callable[[str], None]) -> None:
        self.checkpoints = Checkpoints(path, told)
        self._name = path.name
        self._place = path / _OUTCOME
        self._told = told

    def tell_resumed(self, epoch: int) -> None:
        """Say after which epoch the round goes on."""
        self._told(f"{self._name.replace('-', ' ')} goes on after epoch {epoch}.")

    def outcome(self) -> dict[str, Any] | None:
        """What ``finish`` kept; None where the round is not finished. A damaged one is told."""
        if not self._place.exists():
            return None
        try:
            return read_state(self._place)
        except CheckpointError as error:
            self._told(f"{error.message} What follows the round's last checkpoint is done again.")
            return None

    def finish(self, outcome: Mapping[str, Any]) -> bool:
        """Keep what came out: tensors, numbers, words, lists and dictionaries.

        Where the disk refuses, that is told, and the training goes on with what it has in memory.

        Returns:
            Whether it is on the disk.
        """
        try:
            make_folder(self._place.parent)
            write_state(self._place, outcome)
        except OSError as error:
            self._told(
                f"what came out of the round cannot be written: {error.strerror}. The training continues; "
                "should it be interrupted, the round goes on from its last checkpoint. Make room on "
                "that disk."
            )
            return False
        return True


class RunFolder:
    """One training.

    Args:
        path: of its folder.
        number: which no other training has, not even the same one ordered again after this one is done. The
            version that it publishes bears it.
        told: what the user should know.
    """

    def __init__(self, path: Path, number: str, told: Callable[[str], None]) -> None:
        self.path = path
        self.number = number
        self._told = told

    def round(self, name: str) -> RoundFolder:
        """A round by its name, which is that of its folder: ``rate``, ``fold-1``, ``final``."""
        return RoundFolder(self.path / name, self._told)

    @property
    def begun(self) -> bool:
        """Whether anything was kept."""
        return any(self.path.glob("*/*.ckpt"))

    def remove(self) -> None:
        """Nothing of it is needed any more. What cannot be removed is logged, and swept later."""
        for each in self.path.iterdir():
            if each.is_dir():
                _remove(each)


@contextmanager
def open_run(
    models: Path,
    name: str,
    facts: Mapping[str, Any],
    *,
    told: Callable[[str], None],
    clock: Callable[[], float] = time.time,
) -> Iterator[RunFolder]:
    """The run of this very training: the one that was interrupted, or a new one. Locked while it is used.

    A run in which nothing was kept, or whose ``remove`` was called, leaves nothing behind. Those that nobody
    went on with for two weeks are removed here.

    Args:
        models: root of the model store.
        name: ``<task>_<model>``, for people who look into the folder.
        facts: all that the result depends on, as JSON.
        told: what the user should know: that it goes on, that something is damaged or full.
        clock: seconds since 1970.

    Raises:
        TrainingError: this very training runs already, or the folder cannot be written.
    """
    path = models / _RUNS / f"{name}-{run_key(facts)}"
    own = FileLock(path / _LOCK, timeout=0)
    try:
        with _changing(models):
            _sweep(models / _RUNS, clock)
            number = _take(path, own, facts)
    except OSError as error:
        raise TrainingError(
            f"{path}: the training's folder cannot be written: {error}. What is served stays as it was.",
            "Make room on that disk and see who may write there.",
        ) from error
    run = RunFolder(path, number, told)
    if run.begun:
        told("this training was interrupted before and goes on where it was.")
    try:
        yield run
    finally:
        _leave(models, run, own)


def has_runs(models: Path) -> bool:
    """Whether a training is under way in a model store, or was interrupted there."""
    return any((models / _RUNS).glob(f"*/{_RUN}"))


def run_key(facts: Mapping[str, Any]) -> str:
    """16 characters that stand for the facts."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def _changing(models: Path) -> Iterator[None]:
    """Only one process at a time enters, leaves or removes a run, so none opens a lock that goes away."""
    make_folder(models / _RUNS)
    with FileLock(models / _RUNS / _LOCK, timeout=_PATIENCE_SECONDS):
        yield


def _take(path: Path, own: FileLock, facts: Mapping[str, Any]) -> str:
    """Lock the run's folder, and write what it is for where it is new; returns its number."""
    make_folder(path)
    try:
        own.acquire()
    except Timeout as error:
        raise TrainingError(
            f"this very training runs already: {_who(path)}.", "Wait until it is done, or stop it first."
        ) from error
    try:
        sweep_leftovers(path, older_than_seconds=0)
        before = _record(path)
        number = before.get("number") or uuid.uuid4().hex
        begun = before.get("begun") or now()
        record = {"schema": SCHEMA, "number": number, "begun": begun, "process": _process(), "facts": facts}
        write_over(path / _RUN, (json.dumps(record, indent=2) + "\n").encode())
    except OSError:
        own.release()
        raise
    return number


def _leave(models: Path, run: RunFolder, own: FileLock) -> None:
    try:
        with _changing(models):
            own.release()
            if not run.begun:
                _remove(run.path)
    except OSError as error:
        # The training itself is over: this must not be told as its failure. The next sweep tries again.
        _logger.warning("%s is left over: %s", run.path, error)
        own.release()


def _sweep(runs: Path, clock: Callable[[], float]) -> None:
    """Remove the runs that nobody went on with; those in use are locked. Only under ``_changing``."""
    for path in runs.iterdir():
        if not path.is_dir() or clock() - _last_change(path) < KEPT_DAYS * 24 * 3600:
            continue
        lock = FileLock(path / _LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            continue
        lock.release()
        _remove(path)
        _logger.info("%s: an interrupted training of long ago was removed", path)


def _last_change(path: Path) -> float:
    files = [path, *path.glob("*.json"), *path.glob("*/*")]
    return max(each.stat().st_mtime for each in files)


def _record(path: Path) -> dict[str, str]:
    """The texts of the run's record; {} where it is new, or its record is damaged."""
    try:
        said = json.loads((path / _RUN).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    found = said if isinstance(said, dict) else {}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _who(path: Path) -> str:
    try:
        record = json.loads((path / _RUN).read_text(encoding="utf-8"))
        return f"process {record['process']}, begun {record['begun']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process has just begun it"


def _process() -> str:
    return f"{os.getpid()} on {platform.node()}"


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        _logger.warning("%s is left over and cannot be removed: %s", folder, error)
