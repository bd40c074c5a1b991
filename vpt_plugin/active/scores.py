"""Scores: what one version of a classifier computed for each study, kept on the disk with that version.

::

    nodule_tiny-v0003-1a2b3c4d/about.json      what computed them
                               000001.npz      some studies each; a later one counts more
                               state.json      how far the last scoring came
                               in-hand.json    the study that a scoring is at, while one runs
                               .lock           held by the process that scores

The folder lies with others of the same studies, see ``vpt_plugin.active.score_folders``.

Whoever scores adds shards, each there whole or not at all; in the end they become few large ones. Readers
need no lock. A damaged shard is told and its studies are scored again.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from vpt_plugin.active.score_arrays import ScoredBy, Scores, ScoreState, score_table
from vpt_plugin.active.score_shard import FailedStudy, StudyScore
from vpt_plugin.active.shard_files import ShardFiles, remove
from vpt_plugin.durable import make_folder, sweep_leftovers, write_over
from vpt_plugin.errors import ConfigurationError

__all__ = ["FailedStudy", "KnownStudy", "ScoreFolder", "ScoreState", "ScoredBy", "Scores", "StudyScore"]

SCHEMA = "vptct.scores/1"
ABOUT, IN_HAND = "about.json", "in-hand.json"
_STATE, _LOCK = "state.json", ".lock"
# Shards are merged and removed while others read them: what is gone is looked for again so many times.
_LOOKS = 5
Found = TypeVar("Found")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownStudy:
    """A study that was scored, or gave nothing, before.

    Attributes:
        identity: what it was then.
        unreadable: it gave nothing.
        tries: how often in a row it failed for a reason that may pass; 0 where it need not be tried again.
    """

    identity: str
    unreadable: bool = False
    tries: int = 0


class ScoreFolder:
    """The scores of one version; need not be there yet.

    Args:
        root: of all scores of the same studies, see ``scores_root``.
        by: what computes them.
    """

    def __init__(self, root: Path, by: ScoredBy) -> None:
        self.by = by
        self.path = root / by.key
        self._shards = ShardFiles(self.path)

    def used_at(self) -> float:
        """When it was last scored, in seconds since 1970; 0 for never."""
        try:
            return (self.path / _STATE).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def stamp(self) -> tuple[str, ...]:
        """Another one when there is something new to read; lists a folder, reads nothing."""
        return (*(path.name for path in self._shards.paths()), repr(self.used_at()))

    def state(self) -> ScoreState:
        """How far the last scoring came; that of a damaged record is that it did not come to its end."""
        try:
            data = json.loads((self.path / _STATE).read_text(encoding="utf-8"))
            return ScoreState(
                bool(data["complete"]),
                int(data["total"]),
                tuple(map(str, data["warnings"])),
                bool(data["once_complete"]),
                float(data.get("compared_at", 0.0)),
            )
        except FileNotFoundError:
            return ScoreState()
        except (ValueError, KeyError, TypeError) as error:
            _logger.warning("%s: how far the scoring came cannot be read (%s)", self.path / _STATE, error)
            return ScoreState()

    def read(self) -> Scores:
        """All that is scored so far."""
        return _looked_again(self._read)

    def studies(self, *, now: float | None = None) -> dict[str, bool]:
        """The studies that were looked at, and whether they have scores; reads no arrays.

        Args:
            now: seconds since 1970; what failed for a reason that may pass counts as not looked at once it is
                time to try it again. None takes the clock.
        """
        return _looked_again(lambda: self._studies(time.time() if now is None else now))

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Hold the folder as the only one who scores; ``add``, ``begin`` and ``end`` belong in here.

        Raises:
            ConfigurationError: another process does.
        """
        make_folder(self.path)
        try:
            with self._lock():
                sweep_leftovers(self.path, older_than_seconds=0)
                write_over(
                    self.path / ABOUT, (json.dumps({"schema": SCHEMA, **asdict(self.by)}) + "\n").encode()
                )
                yield
        except Timeout as error:
            raise ConfigurationError(
                f"another process computes the scores of {self.by.key} at the moment;",
                "let it finish, or stop the server's scoring with --conf scoring off.",
            ) from error

    def known(self) -> dict[str, KnownStudy]:
        """The studies that were looked at, by id; damaged shards are removed. Only within ``scoring``."""
        known: dict[str, KnownStudy] = {}
        for path, shard in self._shards.shards():
            if shard is None:
                remove(path)
                continue
            known |= {each.study: KnownStudy(each.identity) for each in shard.scored}
            for failed in shard.failed:
                tries = failed.tries if failed.again else 0
                known[failed.study] = KnownStudy(failed.identity, unreadable=True, tries=tries)
        return known

    def begin(self, total: int, warnings: tuple[str, ...] = ()) -> None:
        """A scoring begins. Only within ``scoring``."""
        self._write_state(replace(self.state(), complete=False, total=total, warnings=warnings))

    def add(self, scored: list[StudyScore], failed: list[FailedStudy]) -> None:
        """Keep what was computed; on the disk when this returns. Only within ``scoring``.

        Raises:
            OSError: the disk is full, the folder is not writable.
        """
        self._shards.add(scored, failed)

    def end(self, *, compared_at: float = 0.0) -> None:
        """The scoring came to its end: merge the shards, and say so. Only within ``scoring``.

        Args:
            compared_at: seconds since 1970 when it began to compare the studies' files with what they were;
                0 where it did not.
        """
        self._shards.merge()
        state = self.state()
        compared_at = max(compared_at, state.compared_at)
        self._write_state(replace(state, complete=True, once_complete=True, compared_at=compared_at))

    def remove(self) -> bool:
        """Remove the folder, unless a process scores into it at the moment; whether it is gone."""
        try:
            with self._lock():
                # What says that these are scores goes last: what cannot be removed now is found again.
                for path in (
                    self.path / _STATE,
                    *self._shards.paths(),
                    self.path / IN_HAND,
                    self.path / ABOUT,
                ):
                    path.unlink(missing_ok=True)
            # Windows removes no file that is open, so not before the lock is given back. A folder into which
            # somebody has begun to score since then is not empty, and stays.
            (self.path / _LOCK).unlink(missing_ok=True)
            self.path.rmdir()
        except (Timeout, OSError) as error:
            _logger.warning("the scores %s cannot be removed at the moment: %s", self.by.key, error)
            return False
        return True

    @contextmanager
    def _lock(self) -> Iterator[None]:
        lock: BaseFileLock = FileLock(self.path / _LOCK, timeout=0)
        with lock:
            if isinstance(lock, SoftFileLock):
                # What filelock makes of itself on a disk without locks; a killed process would leave it.
                raise ConfigurationError(
                    f"{self.path} cannot be locked, so that two processes could write the same scores;",
                    "some network shares know no locks: keep the models elsewhere.",
                )
            yield

    def _read(self) -> Scores:
        scored: dict[str, StudyScore] = {}
        failed: dict[str, FailedStudy] = {}
        damaged = []
        for path, shard in self._shards.shards():
            if shard is None:
                damaged.append(path.name)
                continue
            for each in shard.scored:
                scored[each.study] = each
                failed.pop(each.study, None)
            for lost in shard.failed:
                failed[lost.study] = lost
                scored.pop(lost.study, None)
        rows = [scored[study] for study in sorted(scored)]
        # What may be had the next time is unscored, not unreadable: chance may choose it.
        unreadable = {study: each.why for study, each in failed.items() if not each.again}
        return score_table(self.by, rows, unreadable, self.state(), tuple(damaged))

    def _studies(self, now: float) -> dict[str, bool]:
        found: dict[str, bool] = {}
        due: set[str] = set()
        for _, here in self._shards.studies():
            if here is None:
                continue
            found |= dict.fromkeys(here.scored, True)
            due.difference_update(here.scored)
            for failed in here.failed:
                found[failed.study] = False
                (due.add if failed.again and failed.again_at <= now else due.discard)(failed.study)
        return {study: has for study, has in found.items() if study not in due}

    def _write_state(self, state: ScoreState) -> None:
        write_over(self.path / _STATE, (json.dumps(asdict(state)) + "\n").encode())


def _looked_again(look: Callable[[], Found]) -> Found:
    """What is found, also while files are merged."""
    for _ in range(_LOOKS):
        try:
            return look()
        except FileNotFoundError:
            continue  # they were just merged
    return look()
