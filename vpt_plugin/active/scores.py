"""Scores: what one version of a classifier computed for each study, kept on the disk with that version.

::

    <models>/.scores/nodule_tiny-v0003-1a2b3c4d/about.json      what computed them
                                                000001.npz      some studies each; a later one counts more
                                                state.json      how far the last scoring came
                                                .lock           held by the process that scores

Whoever scores adds shards, each there whole or not at all; in the end they become few large ones. Readers
need no lock. A damaged shard is told and its studies are scored again.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from vpt_plugin.active.score_arrays import ScoredBy, Scores, ScoreState, score_table
from vpt_plugin.active.score_shard import FailedStudy, Shard, ShardError, StudyScore
from vpt_plugin.durable import make_folder, sweep_leftovers, write_over
from vpt_plugin.errors import ConfigurationError

__all__ = [
    "FailedStudy",
    "KnownStudy",
    "ScoreFolder",
    "ScoreState",
    "ScoredBy",
    "Scores",
    "StudyScore",
    "score_folders",
    "scores_root",
    "sweep_scores",
]

SCHEMA = "vptct.scores/1"
_ABOUT, _STATE, _LOCK = "about.json", "state.json", ".lock"
_SHARD = re.compile(r"(\d{6,})\.npz")
# Of 2,048 features these are 8 MB; no more has to be in memory at a time while shards are merged.
_STUDIES_OF_A_LARGE_SHARD = 1024
# Shards are merged and removed while others read them: what is gone is looked for again so many times.
_LOOKS = 5
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownStudy:
    """A study that was scored, or found unreadable, before; and what it was then."""

    identity: str
    unreadable: bool = False


class ScoreFolder:
    """The scores of one version; need not be there yet.

    Args:
        root: of all scores, see ``scores_root``.
        by: what computes them.
    """

    def __init__(self, root: Path, by: ScoredBy) -> None:
        self.by = by
        self.path = root / by.key

    @classmethod
    def newest(cls, root: Path, task: str, model: str, version: int) -> ScoreFolder | None:
        """The folder of a version that was scored last; None where it never was.

        Args:
            version: 0 for the scores without a trained head, which has no card to know its checksum from.
        """
        found = [each for each in score_folders(root) if (each.by.task, each.by.model) == (task, model)]
        return max(
            (each for each in found if each.by.version == version), key=ScoreFolder.used_at, default=None
        )

    def used_at(self) -> float:
        """When it was last scored, in seconds since 1970; 0 for never."""
        try:
            return (self.path / _STATE).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def stamp(self) -> tuple[str, ...]:
        """Another one when there is something new to read; lists a folder, reads nothing."""
        return (*(path.name for path in self._shards()), repr(self.used_at()))

    def state(self) -> ScoreState:
        """How far the last scoring came; that of a damaged record is that it did not come to its end."""
        try:
            data = json.loads((self.path / _STATE).read_text(encoding="utf-8"))
            return ScoreState(
                bool(data["complete"]),
                int(data["total"]),
                tuple(map(str, data["warnings"])),
                bool(data["once_complete"]),
            )
        except FileNotFoundError:
            return ScoreState()
        except (ValueError, KeyError, TypeError) as error:
            _logger.warning("%s: how far the scoring came cannot be read (%s)", self.path / _STATE, error)
            return ScoreState()

    def read(self) -> Scores:
        """All that is scored so far."""
        for _ in range(_LOOKS):
            try:
                return self._read()
            except FileNotFoundError:
                continue  # they were just merged
        return self._read()

    def studies(self) -> dict[str, bool]:
        """The studies that were looked at, and whether they have scores; reads no arrays."""
        for _ in range(_LOOKS):
            try:
                return self._studies()
            except FileNotFoundError:
                continue  # they were just merged
        return self._studies()

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Hold the folder as the only one who scores; ``add``, ``begin`` and ``end`` belong in here.

        Raises:
            ConfigurationError: another process does.
        """
        make_folder(self.path)
        try:
            with FileLock(self.path / _LOCK, timeout=0):
                sweep_leftovers(self.path, older_than_seconds=0)
                write_over(
                    self.path / _ABOUT, (json.dumps({"schema": SCHEMA, **asdict(self.by)}) + "\n").encode()
                )
                yield
        except Timeout as error:
            raise ConfigurationError(
                f"another process computes the scores of {self.by.key} at the moment;",
                "let it finish, or stop the server's scoring with --conf scoring off.",
            ) from error

    def known(self) -> dict[str, KnownStudy]:
        """The studies that need not be scored again, by id; damaged shards are removed.

        A study that failed for a reason that may pass is none of them. Only within ``scoring``.
        """
        known: dict[str, KnownStudy] = {}
        for path in self._shards():
            try:
                shard = Shard.read(path)
            except ShardError as error:
                _logger.warning("%s is damaged; its studies are scored again: %s", path, error)
                path.unlink()
                continue
            known |= {each.study: KnownStudy(each.identity) for each in shard.scored}
            known |= {each.study: KnownStudy(each.identity, unreadable=True) for each in shard.failed}
            for failed in shard.failed:
                if failed.again:
                    del known[failed.study]
        return known

    def begin(self, total: int, warnings: tuple[str, ...] = ()) -> None:
        """A scoring begins. Only within ``scoring``."""
        once_complete = self.state().once_complete
        self._write_state(ScoreState(False, total, warnings, once_complete))

    def add(self, scored: list[StudyScore], failed: list[FailedStudy]) -> None:
        """Keep what was computed; on the disk when this returns. Only within ``scoring``.

        Raises:
            OSError: the disk is full, the folder is not writable.
        """
        if scored or failed:
            Shard(tuple(scored), tuple(failed)).write(self._next())

    def end(self) -> None:
        """The scoring came to its end: merge the shards, and say so. Only within ``scoring``."""
        self._merge()
        self._write_state(replace(self.state(), complete=True, once_complete=True))

    def remove(self) -> bool:
        """Remove the folder, unless a process scores into it at the moment; whether it is gone."""
        try:
            with FileLock(self.path / _LOCK, timeout=0):
                away = self.path.with_name(f".unfinished-{self.path.name}")
                self.path.rename(away)
        except (Timeout, OSError) as error:
            _logger.warning("the scores %s cannot be removed at the moment: %s", self.by.key, error)
            return False
        shutil.rmtree(away, ignore_errors=True)
        return True

    def _read(self) -> Scores:
        scored: dict[str, StudyScore] = {}
        unreadable: dict[str, str] = {}
        damaged = []
        for path in self._shards():
            try:
                shard = Shard.read(path)
            except ShardError as error:
                _logger.warning("%s is damaged, its studies are not known at the moment: %s", path, error)
                damaged.append(path.name)
                continue
            for each in shard.scored:
                scored[each.study] = each
                unreadable.pop(each.study, None)
            for failed in shard.failed:
                unreadable[failed.study] = failed.why
                scored.pop(failed.study, None)
        rows = [scored[study] for study in sorted(scored)]
        return score_table(self.by, rows, unreadable, self.state(), tuple(damaged))

    def _studies(self) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for path in self._shards():
            try:
                found |= Shard.studies_in(path)
            except ShardError as error:
                _logger.warning("%s is damaged, its studies are not known at the moment: %s", path, error)
        return found

    def _merge(self) -> None:
        """Make few large shards of many small ones.

        What was merged is removed last: whoever is killed before leaves studies twice, which does no harm.
        """
        last: dict[str, Path] = {}
        for path in self._shards():
            shard = Shard.read(path)
            last |= dict.fromkeys([each.study for each in shard.scored], path)
            last |= dict.fromkeys([each.study for each in shard.failed], path)
        merged: list[Path] = []
        scored: list[StudyScore] = []
        failed: list[FailedStudy] = []
        for path in self._shards():
            shard = Shard.read(path)
            if len(shard.scored) >= _STUDIES_OF_A_LARGE_SHARD:
                continue
            merged.append(path)
            scored += [each for each in shard.scored if last[each.study] == path]
            failed += [each for each in shard.failed if last[each.study] == path]
            if len(scored) >= _STUDIES_OF_A_LARGE_SHARD:
                self._replace(merged, scored, failed)
                merged, scored, failed = [], [], []
        if len(merged) > 1:
            self._replace(merged, scored, failed)

    def _replace(self, merged: list[Path], scored: list[StudyScore], failed: list[FailedStudy]) -> None:
        self.add(scored, failed)
        for path in merged:
            path.unlink()

    def _shards(self) -> list[Path]:
        if not self.path.is_dir():
            return []
        numbered = [(match, path) for path in self.path.iterdir() if (match := _SHARD.fullmatch(path.name))]
        return [path for _, path in sorted((int(match[1]), path) for match, path in numbered)]

    def _next(self) -> Path:
        shards = self._shards()
        number = int(shards[-1].stem) + 1 if shards else 1
        return self.path / f"{number:06d}.npz"

    def _write_state(self, state: ScoreState) -> None:
        write_over(self.path / _STATE, (json.dumps(asdict(state)) + "\n").encode())


def scores_root(models_root: Path) -> Path:
    """Where the scores of a store of models lie."""
    return models_root / ".scores"


def score_folders(root: Path) -> list[ScoreFolder]:
    """All scores that there are, by name; a folder that does not say what computed it is logged."""
    folders = []
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        if not path.is_dir() or path.name.startswith("."):
            continue
        try:
            by = ScoredBy.from_json(json.loads((path / _ABOUT).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            _logger.warning("%s: what computed these scores cannot be told (%s)", path, error)
            continue
        folders.append(ScoreFolder(root, by))
    return folders


def sweep_scores(root: Path, versions: Callable[[str, str], Collection[int]], *, keep: int = 2) -> list[str]:
    """Remove the scores of versions that are gone, and of each task and model all but those scored last.

    Scores that a process computes at the moment stay.

    Args:
        root: of all scores.
        versions: the numbers of the published versions of a task and model.
        keep: how many of a task and model stay.

    Returns:
        The keys of what was removed.
    """
    sweep_leftovers(root)
    removed = []
    by_name: dict[str, list[ScoreFolder]] = {}
    for folder in score_folders(root):
        by_name.setdefault(folder.by.name, []).append(folder)
    for folders in by_name.values():
        folders.sort(key=ScoreFolder.used_at, reverse=True)
        for place, folder in enumerate(folders):
            here = versions(folder.by.task, folder.by.model)
            gone = folder.by.version not in (0, *here)
            if (gone or place >= keep) and folder.remove():
                removed.append(folder.by.key)
    return removed
