"""BulkFolder: the output folder of one version's answers for one source; one process at a time writes it.

::

    OUT/run.json             what was asked, "vptct.bulk/1"
        parts/               what is answered so far, see ``vpt_plugin.bulk.parts``
        losses.json          studies that ended workers, see ``vpt_plugin.bulk.losses``
        answers.parquet, refused.parquet, answers.csv     made of the parts at the end
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from vpt_plugin.bulk.job import BulkJob
from vpt_plugin.bulk.losses import Losses
from vpt_plugin.bulk.parts import Parts
from vpt_plugin.durable import make_folder, sweep_leftovers, write_over
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.inference.conformal import DEFAULT_ERROR_RATE
from vpt_plugin.inference.fitness import REFUSE
from vpt_plugin.models.card import ModelCard

SCHEMA = "vptct.bulk/1"
_RECORD, _PARTS, _LOSSES, _LOCK = "run.json", "parts", "losses.json", ".lock"
_WORDS = {
    "source": "source", "task": "task", "task_sha256": "definition of the task", "model": "model",
    "version": "version", "weights_sha256": "weights of that version", "precision": "precision",
    "backend": "backend", "unsuitable": "unsuitable studies:", "error_rate": "error rate",
}  # fmt: skip


@dataclass(frozen=True)
class BulkRecord:
    """What a folder's answers are answers to; all must stay the same while it is filled.

    Attributes:
        source: where the studies come from, as of ``BulkSource.origin``.
        task, model: their names.
        task_sha256: over all that the task says.
        version: of the classifier.
        weights_sha256: of its weights.
        precision, backend, unsuitable, error_rate: as they were asked for.
    """

    source: str
    task: str
    task_sha256: str
    model: str
    version: int
    weights_sha256: str
    precision: str
    # Of folders that do not say it: there was no other one then.
    backend: str = "torch"
    # Of folders that do not say these, what holds where nothing else is asked for. Their first answers may
    # be from when no study was looked at before; rows of such have no ``suitability``.
    unsuitable: str = REFUSE
    error_rate: float = DEFAULT_ERROR_RATE

    @classmethod
    def of(cls, source: str, job: BulkJob, card: ModelCard) -> BulkRecord:
        """The record of what is asked for now."""
        digest = hashlib.sha256(repr(job.task).encode()).hexdigest()
        version = (card.model, card.version, card.weights_sha256)
        return cls(
            source, job.task.name, digest, *version, job.precision, job.backend,
            unsuitable=job.unsuitable, error_rate=job.error_rate,
        )  # fmt: skip


class BulkFolder:
    """The output folder.

    Args:
        path: need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts = Parts(path / _PARTS)
        self.losses = Losses(path / _LOSSES)

    def record(self) -> BulkRecord | None:
        """What its answers are answers to; None where there are none yet.

        Raises:
            ConfigurationError: it is damaged, or of another VPTCT.
        """
        path = self.path / _RECORD
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data.pop("schema") != SCHEMA:
                raise ValueError(f"it does not follow {SCHEMA}")
            return BulkRecord(**data)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{path}: what was asked here cannot be read: {error}.", "Choose another folder with --out."
            ) from error

    @contextmanager
    def writing(self, asked: BulkRecord) -> Iterator[None]:
        """Hold the folder as the only one who writes.

        Raises:
            ConfigurationError: another process does, its answers are answers to something else, it holds
                other files, or the disk knows no locks.
            OSError: the disk is full, the folder is not writable.
        """
        self._require_same(asked)
        make_folder(self.path)
        with self._lock():
            self._require_same(asked)
            sweep_leftovers(self.path, older_than_seconds=0)
            content = {"schema": SCHEMA, **asdict(asked)}
            write_over(self.path / _RECORD, (json.dumps(content, indent=2) + "\n").encode())
            yield

    def _require_same(self, asked: BulkRecord) -> None:
        before = self.record()
        if before is None:
            if self.path.is_dir() and any(each.name[0] != "." for each in self.path.iterdir()):
                raise ConfigurationError(
                    f"{self.path} holds other files;", "choose a new or an empty folder with --out."
                )
            return
        then, now = asdict(before), asdict(asked)
        different = [
            f"{_WORDS[name]} {then[name]}, not {now[name]}" for name in then if then[name] != now[name]
        ]
        if different:
            raise ConfigurationError(
                f"{self.path} holds answers for {'; '.join(different)}.",
                "Choose another folder with --out, or ask for the same as before.",
            )

    @contextmanager
    def _lock(self) -> Iterator[None]:
        lock: BaseFileLock = FileLock(self.path / _LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise ConfigurationError(
                f"another program fills {self.path} at the moment;", "let it finish, or stop it."
            ) from error
        try:
            if isinstance(lock, SoftFileLock):
                # What filelock makes of itself on a disk without locks; a killed process would leave it.
                raise ConfigurationError(
                    f"{self.path} cannot be locked, so that two programs could fill it;",
                    "some network shares know no locks: choose another folder with --out.",
                )
            yield
        finally:
            lock.release()
