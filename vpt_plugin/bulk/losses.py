"""Losses: how often a worker ended with a study in hand, kept beside the parts.

A study may take the whole command along, because memory does not suffice for it. So what is about to be
tried alone counts on the disk as lost already, until it turns out otherwise.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from vpt_plugin.durable import write_over
from vpt_plugin.errors import VptError


class Losses:
    """The losses of one output folder; one process at a time writes.

    Args:
        path: of the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._times: Counter[str] = Counter()
        self._tried: set[str] = set()

    def read(self) -> None:
        """Take over what an earlier run wrote down.

        Raises:
            VptError: the file is damaged.
        """
        try:
            times = json.loads(self._path.read_text(encoding="utf-8"))
            self._times = Counter({str(study): int(number) for study, number in times.items()})
        except FileNotFoundError:
            return
        except (ValueError, TypeError, AttributeError) as error:
            raise VptError(
                f"{self._path}: this file is damaged: {error}.", "Remove it and run the same command again."
            ) from error

    def of(self, study: str) -> int:
        """How often a worker ended with that study."""
        return self._times[study]

    def add(self, study: str) -> None:
        """A worker ended with it."""
        self._tried.discard(study)
        self._times[study] += 1
        self._write()

    def try_alone(self, study: str) -> None:
        """It is about to be tried alone; if this process ends meanwhile, it was lost once more."""
        self._tried.add(study)
        self._write()

    def forget(self, studies: Iterable[str]) -> None:
        """Their answers or refusals are on the disk."""
        if known := [each for each in studies if each in self._times or each in self._tried]:
            for study in known:
                self._times.pop(study, None)
                self._tried.discard(study)
            self._write()

    def end(self) -> None:
        """The run ends, and not because of those that are being tried."""
        if self._tried:
            self._tried.clear()
            self._write()

    def _write(self) -> None:
        content = self._times + Counter(self._tried)
        write_over(self._path, (json.dumps(content, indent=2) + "\n").encode())
