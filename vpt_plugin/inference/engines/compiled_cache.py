"""CompiledCache: networks that were made ready for a processor, kept on the disk for the next start.

Each entry is a folder of its own: ``facts.json`` says what it was made from and the checksum of every other
file. An entry is used only where all of that is as expected; otherwise it is removed and made again. What
goes wrong with the folder costs time, never an answer. Of several processes that miss the same entry, one
makes it, under the lock ``.<entry>.lock``, and the others wait.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, SoftFileLock

from vpt_plugin.durable import publish_folder, sweep_leftovers
from vpt_plugin.models.weights import vptct_home

# A compiled network takes 30 to 180 MB; so many bytes are the versions of several tasks.
MAX_BYTES = 4 * 2**30
# Making an entry takes seconds, on a busy computer minutes; who waited longer makes it, too.
_PATIENCE_SECONDS = 300.0
_FACTS = "facts.json"
_logger = logging.getLogger(__name__)


class CompiledCache:
    """Compiled networks by what they were made from; several processes may use one folder at a time.

    Args:
        folder: need not be there; None takes ``compiled`` where VPTCT keeps its files.
        max_bytes: when more is kept, what was used the longest ago is removed.
    """

    def __init__(self, folder: Path | None = None, *, max_bytes: int = MAX_BYTES) -> None:
        self.folder = vptct_home() / "compiled" if folder is None else folder
        self._max_bytes = max_bytes

    def has(self, facts: Mapping[str, Any]) -> bool:
        """Whether there is an entry for these facts. Whether it is sound, ``load`` finds out."""
        return (self._place(facts) / _FACTS).is_file()

    def load(self, facts: Mapping[str, Any]) -> dict[str, bytes] | None:
        """The files made from these facts by their names; None where there are none that can be trusted.

        Args:
            facts: what decides what a compiled network computes; JSON values.
        """
        place = self._place(facts)
        try:
            written = json.loads((place / _FACTS).read_text("utf-8"))
            files = {name: (place / name).read_bytes() for name in written["sha256"]}
        except FileNotFoundError:
            if not place.exists():
                return None
            files, written = {}, {}
        except (OSError, ValueError, TypeError, KeyError) as error:
            _logger.warning("the compiled network %s cannot be read (%s); it is made again.", place, error)
            _remove(place)
            return None
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        if written != {"facts": dict(facts), "sha256": sums} or not files:
            _logger.warning("the compiled network %s is damaged or another's; it is made again.", place)
            _remove(place)
            return None
        # Used just now; a folder that cannot be written to forgets it, and loses nothing else.
        with suppress(OSError):
            os.utime(place)
        return files

    def remove(self, facts: Mapping[str, Any]) -> None:
        """Remove the entry for these facts, so that another can be stored; failing that is logged."""
        _remove(self._place(facts))

    @contextmanager
    def making(self, facts: Mapping[str, Any]) -> Iterator[None]:
        """Hold the right to make the entry for these facts; look once more with ``load`` when it is there.

        Where the folder cannot be written to or its disk knows no locks, several processes make the entry.
        """
        place = self._place(facts)
        lock = FileLock(place.with_name(f".{place.name}.lock"), timeout=_PATIENCE_SECONDS)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            if isinstance(lock, SoftFileLock):
                # What filelock makes of itself on a disk without locks; a killed process would leave it.
                lock.release()
        except (OSError, NotImplementedError) as error:  # a Timeout is an OSError
            _logger.debug("%s is made without a lock: %s", place, error)
        try:
            yield
        finally:
            lock.release()

    def store(self, facts: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        """Keep files for these facts. Where that fails, it says so in the log: the next start is slow again.

        Args:
            facts: as for ``load``.
            files: their contents by their names.
        """
        place = self._place(facts)
        unfinished = self.folder / f".unfinished-{uuid.uuid4().hex}"
        try:
            unfinished.mkdir(parents=True)
            for name, content in files.items():
                (unfinished / name).write_bytes(content)
            sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
            written = {"facts": dict(facts), "sha256": sums}
            (unfinished / _FACTS).write_text(json.dumps(written, indent=1), "utf-8")
            publish_folder(unfinished, place, durable=False)
        except FileExistsError:
            _logger.debug("%s: another process was faster.", place)
        except OSError as error:
            _logger.warning(
                "the compiled network cannot be kept in %s (%s); it will be made again at every start.",
                self.folder, error,
            )  # fmt: skip
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        sweep_leftovers(self.folder)
        self._shrink(keep=place)

    def _place(self, facts: Mapping[str, Any]) -> Path:
        name = hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()
        return self.folder / name[:32]

    def _shrink(self, *, keep: Path) -> None:
        """Remove what was used the longest ago until the rest fits."""
        entries = sorted(self._entries(), key=lambda each: each[1], reverse=True)
        total = sum(size for place, _, size in entries if place == keep)
        for place, _, size in entries:
            if place == keep:
                continue
            total += size
            if total > self._max_bytes:
                _remove(place)

    def _entries(self) -> list[tuple[Path, float, int]]:
        """Every entry with when it was used last and its bytes; what is removed meanwhile is left out.

        A hidden folder is another process's work: an entry in the making, or one that is being removed.
        """
        entries = []
        with suppress(OSError):
            for place in self.folder.iterdir():
                with suppress(OSError):
                    if place.name[0] != "." and (place / _FACTS).is_file():
                        size = sum(file.stat().st_size for file in place.iterdir())
                        entries.append((place, place.stat().st_mtime, size))
        return entries


def _remove(place: Path) -> None:
    """Remove an entry: first its name, so that nobody reads half of it."""
    leaving = place.with_name(f".damaged-{uuid.uuid4().hex}")
    try:
        place.rename(leaving)
        shutil.rmtree(leaving)
    except FileNotFoundError:
        return  # another process removes it, too
    except OSError as error:
        _logger.warning("%s cannot be removed: %s", place, error)
