"""LastUse: when each series of the cache was read last, which says what leaves it first."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Ten years: longer ago than anything that was read by somebody who waited for it.
_BEHIND_SECONDS = 10 * 365 * 86_400.0


class LastUse:
    """Kept as the time of each series' list, so that it outlasts a restart and all processes see it.

    Args:
        root: the folder of the series.
        in_passing: nobody waits for what this process reads, such as one that scores thousands of studies:
            its reading counts for nothing, and what nobody else had read is evicted first.
    """

    def __init__(self, root: Path, *, in_passing: bool = False) -> None:
        self._root = root
        self._in_passing = in_passing
        self._own: dict[str, float] = {}

    def now(self, uid: str) -> None:
        """The series is read."""
        self._set(uid, time.time())
        self._own[uid] = self.of(uid)

    @contextmanager
    def reading(self, uid: str) -> Iterator[None]:
        """What is fetched and read within is used as it was before, if that happens in passing."""
        before = self.of(uid)
        try:
            yield
        finally:
            own = self._own.pop(uid, None)
            # Else somebody waits for it now, in another process.
            if self._in_passing and self.of(uid) == own:
                self._set(uid, before or time.time() - _BEHIND_SECONDS)

    def oldest_first(self, uids: Iterable[str]) -> list[str]:
        """The series in the order in which they leave."""
        return sorted(uids, key=self.of)

    def of(self, uid: str) -> float:
        """When the series was read last, in seconds since 1970; 0 where it is not here."""
        try:
            return self._list(uid).stat().st_mtime
        except OSError:
            return 0.0

    def _set(self, uid: str, when: float) -> None:
        with suppress(OSError):  # the slices are here all the same
            os.utime(self._list(uid), (when, when))

    def _list(self, uid: str) -> Path:
        return self._root / uid / "series.json"
