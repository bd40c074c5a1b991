"""PreparedRoom: how large the folder of prepared studies may become, and what goes first.

Every training claims what it uses, so that another one, in whatever process, never evicts it. Claims lie in
``.claims``: a file with the names of the entries, and beside it one that is locked for as long as the process
lives. The claims of a killed process are free at once.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vpt_plugin.durable import sweep_leftovers

# Where the entries lie that can be done without, within the folder: they go before all others.
MASTERS = ".masters"
_CLAIMS = ".claims"
# What is evicted gets a name that the next sweep removes, should this process be killed meanwhile.
_LEAVING = ".unfinished-"
_PATIENCE_SECONDS = 60
# Where something has to go, a little more goes: to look through thousands of entries takes its time.
_DOWN_TO = 0.95
_logger = logging.getLogger(__name__)


class PreparedRoom:
    """The room of one folder of entries, each a folder of files; several threads and processes may use it.

    Args:
        folder: of the entries; it is made with the first of them.
        limit_bytes: above it masters go, then what was used least recently; what a running training uses
            never does.
    """

    def __init__(self, folder: Path, limit_bytes: float) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._claimed: set[str] = set()
        self._lock = threading.Lock()
        self._claim_lock: FileLock | None = None
        self._claim_name = uuid.uuid4().hex
        # What is here as far as this process knows; None before it looked.
        self._total_bytes: float | None = None
        # Where all that is here is in use, how much more has to come before it is looked at again.
        self._look_again_bytes = 0.0

    def claim(self, entry: str) -> None:
        """From now on this process uses the entry, be it there yet or not."""
        with self._lock:
            if entry not in self._claimed:
                with self._alone():
                    self._write_claim(entry)
                self._claimed.add(entry)
        with suppress(FileNotFoundError):
            os.utime(self._folder / entry)

    def release(self) -> None:
        """This process no longer uses anything."""
        with self._lock:
            self._claimed.clear()
            if self._claim_lock is not None:
                (self._folder / _CLAIMS / self._claim_name).unlink(missing_ok=True)
                self._claim_lock.release()
                _unlink_lock(Path(self._claim_lock.lock_file))
                self._claim_lock = None

    def make_for(self, size_bytes: int) -> None:
        """Evict until an entry of this size fits into the limit, as far as what is in use allows."""
        with self._lock:
            if self._total_bytes is None:
                sweep_leftovers(self._folder)
            enough = max(self._limit_bytes - size_bytes, self._look_again_bytes)
            if self._total_bytes is None or self._total_bytes > enough:
                self._total_bytes = self._fitted(size_bytes)
                self._look_again_bytes = self._total_bytes + (1 - _DOWN_TO) * self._limit_bytes
            self._total_bytes += size_bytes

    def has_room_for(self, size_bytes: int) -> bool:
        """Whether an entry of this size fits beside all that is here; then it counts as here."""
        with self._lock:
            if self._total_bytes is None:
                sweep_leftovers(self._folder)
                self._total_bytes = float(sum(self._sizes().values()))
            fits = self._total_bytes + size_bytes <= self._limit_bytes
            if fits:
                self._total_bytes += size_bytes
            return fits

    def free(self, size_bytes: int) -> bool:
        """Evict so much for a disk that is full; whether anything could go."""
        with self._lock, self._alone():
            self._total_bytes = None
            return self._evict(self._sizes(), size_bytes) > 0

    def over_limit_bytes(self) -> float:
        """How much larger the folder is than it should be, because a training uses so much; 0 for not."""
        return max(0.0, sum(self._sizes().values()) - self._limit_bytes)

    def _fitted(self, size_bytes: int) -> float:
        """Look what is here, and make it fit; how large it is then."""
        with self._alone():
            sizes = self._sizes()
            total = sum(sizes.values())
            if total + size_bytes <= self._limit_bytes:
                return total
            return total - self._evict(sizes, total + size_bytes - _DOWN_TO * self._limit_bytes)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / ".lock", timeout=_PATIENCE_SECONDS):
            yield

    def _write_claim(self, entry: str) -> None:
        claims = self._folder / _CLAIMS
        if self._claim_lock is None:
            claims.mkdir(exist_ok=True)
            self._claim_lock = FileLock(claims / f"{self._claim_name}.lock", timeout=0, thread_local=False)
            self._claim_lock.acquire()
        with (claims / self._claim_name).open("a", encoding="ascii") as file:
            file.write(f"{entry}\n")

    def _evict(self, sizes: dict[str, int], wanted_bytes: float) -> int:
        """Remove masters, then the least recently used, until so much is gone; how much. Only ``_alone``."""
        free = sizes.keys() - self._in_use()
        gone = 0
        for entry in sorted(free, key=self._order_of_leaving):
            if gone >= wanted_bytes:
                break
            leaving = self._folder / f"{_LEAVING}{uuid.uuid4().hex}"
            try:
                (self._folder / entry).rename(leaving)
            except OSError as error:
                # Windows: somebody has a file of it open; or another process has removed it as damaged.
                _logger.info("the prepared study %s cannot be removed and stays: %s", entry, error)
                continue
            _logger.info("the prepared study %s was used least recently and is removed", entry)
            shutil.rmtree(leaving, ignore_errors=True)
            gone += sizes[entry]
        return gone

    def _order_of_leaving(self, entry: str) -> tuple[bool, int, str]:
        return (not entry.startswith(MASTERS), _last_use(self._folder / entry), entry)

    def _sizes(self) -> dict[str, int]:
        """Bytes by entry, masters by their place in the folder."""
        names = _names(self._folder) + [f"{MASTERS}/{name}" for name in _names(self._folder / MASTERS)]
        return {name: _size(self._folder / name) for name in names}

    def _in_use(self) -> set[str]:
        """What running trainings have claimed. Only ``_alone``."""
        used = set(self._claimed)
        claims = self._folder / _CLAIMS
        for lock_file in claims.glob("*.lock") if claims.is_dir() else ():
            if lock_file.stem == self._claim_name:
                continue
            names = claims / lock_file.stem
            lock = FileLock(lock_file, timeout=0)
            try:
                with lock:  # whoever held it is no more
                    names.unlink(missing_ok=True)
            except Timeout:
                with suppress(FileNotFoundError):
                    used.update(names.read_text(encoding="ascii").split())
            else:
                _unlink_lock(lock_file)
        return used


def _unlink_lock(lock_file: Path) -> None:
    """Remove the file of a lock that was released: Windows removes none that is open.

    Another process may be looking whether it is held. Then it stays, and a later one removes it.
    """
    with suppress(OSError):
        lock_file.unlink()


def _names(folder: Path) -> list[str]:
    try:
        return [each.name for each in os.scandir(folder) if not each.name.startswith(".")]
    except FileNotFoundError:
        return []


def _size(entry: Path) -> int:
    try:
        with os.scandir(entry) as files:
            return sum(each.stat().st_size for each in files)
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _last_use(entry: Path) -> int:
    try:
        return entry.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
