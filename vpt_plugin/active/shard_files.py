"""ShardFiles: the files of scores in one folder, numbered; of a study that is in several the last one counts.

One process at a time adds and merges, others read meanwhile. A damaged file is told and passed over.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from vpt_plugin.active.score_shard import FailedStudy, Shard, ShardError, ShardStudies, StudyScore

_NAME = re.compile(r"(\d{6,})\.npz")
# Of 2,048 features these are 8 MB; no more has to be in memory at a time while files are merged.
STUDIES_OF_A_LARGE_SHARD = 1024
Content = TypeVar("Content")
_logger = logging.getLogger(__name__)


class ShardFiles:
    """The files in a folder, which need not be there yet.

    Args:
        folder: of one classifier's scores.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def paths(self) -> list[Path]:
        """The files, the oldest first."""
        if not self._folder.is_dir():
            return []
        numbered = [(match, path) for path in self._folder.iterdir() if (match := _NAME.fullmatch(path.name))]
        return [path for _, path in sorted((int(match[1]), path) for match, path in numbered)]

    def shards(self) -> Iterator[tuple[Path, Shard | None]]:
        """Every file, the oldest first, and what is in it; None where it is damaged.

        Raises:
            FileNotFoundError: one was merged just now.
        """
        return self._each(Shard.read)

    def studies(self) -> Iterator[tuple[Path, ShardStudies | None]]:
        """As ``shards``, but for the arrays, which are not read."""
        return self._each(ShardStudies.read)

    def add(self, scored: list[StudyScore], failed: list[FailedStudy]) -> None:
        """Write a new file; on the disk when this returns.

        Raises:
            OSError: the disk is full, the folder is not writable.
        """
        if scored or failed:
            paths = self.paths()
            number = int(paths[-1].stem) + 1 if paths else 1
            Shard(tuple(scored), tuple(failed)).write(self._folder / f"{number:06d}.npz")

    def merge(self) -> None:
        """Make few large files of many small ones.

        What was merged is removed last: whoever is killed before leaves studies twice, which does no harm.

        Raises:
            OSError: the disk is full, the folder is not writable.
        """
        last: dict[str, Path] = {}
        for path, shard in self.shards():
            if shard is not None:
                last |= dict.fromkeys([each.study for each in shard.scored], path)
                last |= dict.fromkeys([each.study for each in shard.failed], path)
        merged: list[Path] = []
        scored: list[StudyScore] = []
        failed: list[FailedStudy] = []
        for path, shard in self.shards():
            if shard is None or len(shard.scored) >= STUDIES_OF_A_LARGE_SHARD:
                continue
            merged.append(path)
            scored += [each for each in shard.scored if last.get(each.study) == path]
            failed += [each for each in shard.failed if last.get(each.study) == path]
            if len(scored) >= STUDIES_OF_A_LARGE_SHARD:
                self._replace(merged, scored, failed)
                merged, scored, failed = [], [], []
        if len(merged) > 1:
            self._replace(merged, scored, failed)

    def _replace(self, merged: list[Path], scored: list[StudyScore], failed: list[FailedStudy]) -> None:
        self.add(scored, failed)
        for path in merged:
            remove(path)

    def _each(self, read: Callable[[Path], Content]) -> Iterator[tuple[Path, Content | None]]:
        for path in self.paths():
            try:
                content = read(path)
            except ShardError as error:
                _logger.warning("%s is damaged, its studies are not known at the moment: %s", path, error)
                yield path, None
            else:
                yield path, content


def remove(path: Path) -> None:
    """Remove a file, or say in the log that it has to stay for now."""
    try:
        path.unlink()
    except OSError as error:  # on Windows while somebody reads it; the next scoring tries again
        _logger.warning("%s cannot be removed at the moment: %s", path, error)
