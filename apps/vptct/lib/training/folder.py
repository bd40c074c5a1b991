"""JobFolder: the trainings of a server on its disk, so that a restart forgets none.

::

    <models>/.trainings/0007.json        what is known of the training, see record.py
                        0007.job.json    what its process was told
                        0007.log         what its process wrote
                        .lock            held by the server that trains here
"""

from __future__ import annotations

import errno
import json
import logging
import re
from pathlib import Path

from filelock import FileLock, Timeout

from vpt_plugin.durable import make_folder, write_over
from vpt_plugin.errors import TrainingError

from ..errors import FULL_DISK
from .record import RUNNING, Record

_logger = logging.getLogger(__name__)
_FOLDER = ".trainings"
_RECORD = re.compile(r"[0-9]{4,}\.json")
_NUMBER = re.compile(r"[0-9]{4,}")
_KEPT = 50
_LAST_LINES = 20
_LAST_BYTES = 16 << 10
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


class FolderTakenError(TrainingError):
    """Another server trains with this folder of models."""


class JobFolder:
    """The records below a folder of models; one server at a time may use them.

    Args:
        models: the folder of models.
    """

    def __init__(self, models: Path) -> None:
        self.path = models / _FOLDER
        # Whichever thread took it, it is this process that has it.
        self._lock = FileLock(self.path / ".lock", thread_local=False)
        self._unkept: dict[int, Record] = {}

    def claim(self) -> None:
        """Take the folder for this server, for as long as it lives or until ``release``.

        Raises:
            FolderTakenError: another server has it.
            TrainingError: this one may not write there, or the disk knows no locks.
            OSError: the disk is full.
        """
        try:
            make_folder(self.path)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise FolderTakenError(
                "another server trains with this folder of models;",
                "ask that one, or give one of them a folder of its own: --conf models_dir.",
            ) from error
        except (OSError, NotImplementedError) as error:
            raise self._cannot_be_used(error) from error

    def _cannot_be_used(self, error: OSError | NotImplementedError) -> Exception:
        number = error.errno if isinstance(error, OSError) else None
        if number in FULL_DISK:
            return error
        why = error.strerror if isinstance(error, OSError) else error
        if number in _NOT_WRITABLE:
            return TrainingError(
                f"trainings cannot be kept in {self.path}: {why}.",
                "Let the server's user write there, or name another folder: --conf models_dir.",
            )
        return TrainingError(
            f"{self.path} cannot be locked against a second server: {why}.",
            "Some network shares know no locks: keep models on a disk of this computer, --conf models_dir.",
        )

    def release(self) -> None:
        """Let another server have it."""
        self._lock.release(force=True)

    def load(self) -> list[Record]:
        """All records, by their numbers. A damaged one is logged and left where it is."""
        records = []
        for path in sorted(self.path.iterdir()) if self.path.is_dir() else ():
            if _RECORD.fullmatch(path.name):
                try:
                    records.append(Record.from_json(json.loads(path.read_text(encoding="utf-8"))))
                except (OSError, ValueError, TrainingError) as error:
                    _logger.warning("%s: the record of a training cannot be read: %s", path, error)
        return sorted(records, key=lambda record: record.number)

    def next_number(self) -> int:
        """A number that no training has, not even one whose record is damaged."""
        names = [path.name for path in self.path.iterdir()] if self.path.is_dir() else []
        numbers = [int(found[0]) for name in names if (found := _NUMBER.match(name))]
        return max(numbers, default=0) + 1

    def add(self, record: Record) -> None:
        """Keep a new training; it is on the disk when this returns.

        Raises:
            OSError: the disk is full, the folder is not writable.
        """
        write_over(self.job_file(record), _bytes(record.job.to_json()))
        try:
            self.save(record)
        except OSError:
            self.job_file(record).unlink()
            raise

    def save(self, record: Record, *, durable: bool = True) -> None:
        """Keep what is known now.

        Raises:
            OSError: the disk is full, the folder is not writable; what was kept before still is.
        """
        write_over(self._file(record, ".json"), _bytes(record.to_json()), durable=durable)
        self._unkept.pop(record.number, None)

    def keep(self, record: Record) -> None:
        """Keep what is known now; what the disk does not take is kept with the next one that it takes."""
        self._unkept[record.number] = record
        self.keep_rest()

    def keep_rest(self) -> None:
        """Keep what the disk has not taken so far; where it still does not, that is logged."""
        for record in list(self._unkept.values()):
            try:
                # How far one has come need not outlive a power cut.
                self.save(record, durable=record.state != RUNNING)
            except OSError as error:
                _logger.error("training %d: what is known of it cannot be kept: %s", record.number, error)

    def job_file(self, record: Record) -> Path:
        """What the process is told."""
        return self._file(record, ".job.json")

    def log(self, record: Record) -> Path:
        """What the process writes."""
        return self._file(record, ".log")

    def last_words(self, record: Record) -> tuple[str, ...]:
        """The last lines of the process's log; none where it wrote nothing."""
        try:
            with self.log(record).open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - _LAST_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ()
        return tuple(line for line in lines if line.strip())[-_LAST_LINES:]

    def prune(self, records: list[Record]) -> list[Record]:
        """Forget the oldest of those that have ended; the records that stay.

        A file that cannot be removed is logged: it is no reason to forget how another training ended.
        """
        ended = [record for record in records if not record.waits_or_runs]
        forgotten = {record.number for record in ended[:-_KEPT]}
        for record in ended[:-_KEPT]:
            self._unkept.pop(record.number, None)
            for suffix in (".json", ".job.json", ".log"):
                try:
                    self._file(record, suffix).unlink(missing_ok=True)
                except OSError as error:
                    _logger.warning("an old record of a training cannot be removed: %s", error)
        return [record for record in records if record.number not in forgotten]

    def _file(self, record: Record, suffix: str) -> Path:
        return self.path / f"{record.number:04d}{suffix}"


def _bytes(data: dict[str, object]) -> bytes:
    return (json.dumps(data, indent=1) + "\n").encode()
