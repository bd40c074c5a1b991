"""ScoringJob: everything a scoring in a process of its own has to know (``vptct.scoring-job/1``).

Who orders a scoring writes this file; ``vpt_plugin.active.worker`` reads it. Passwords are never in it: those
of a DICOM archive are in the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.training.job import ArchiveFacts, job_data, job_of

SCHEMA = "vptct.scoring-job/1"
DEFAULT_LIMIT = 10_000
# Enough to tell kinds of studies apart, and less than an hour also where a large network computes on a
# processor or an archive is slow; the first labels bring a version, which scores them all.
COLD_START_LIMIT = 300
# A server asks no more often whether files of studies changed since they were scored.
COMPARE_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class ScoringJob:
    """One scoring as it was ordered. All paths are absolute.

    Attributes:
        studies: a folder of studies, or the address of an archive.
        labels_dir: where their labels lie; "" takes the usual place.
        task: the task's name.
        model: the network's name.
        version: which of its versions computes; 0 for the cold start, without a trained head.
        models_dir: where the classifiers are; "" takes ``models`` in ``vptct_home()``.
        task_files: tasks of the site's own; one of them may be the one meant.
        cache: where prepared studies are, which are used and never written; "" takes the usual place.
        device: as in ``choose_device``.
        limit: how many studies at most; the cold start takes no more than ``COLD_START_LIMIT``.
        archive: how an archive is used.
        compare_seconds: whether files changed since they were scored is looked at no more often than this.
        backend, precision: as of ``Predictor``.
    """

    studies: str
    labels_dir: str
    task: str
    model: str
    version: int = 0
    models_dir: str = ""
    task_files: tuple[str, ...] = ()
    cache: str = ""
    device: str = "auto"
    limit: int = DEFAULT_LIMIT
    archive: ArchiveFacts = field(default_factory=ArchiveFacts)
    compare_seconds: float = 0.0
    backend: str = "auto"
    precision: str = "auto"

    @property
    def name(self) -> str:
        """``<task>_<model>``."""
        return f"{self.task}_{self.model}"

    @property
    def studies_at_most(self) -> int:
        """How many studies are scored at most."""
        return self.limit if self.version else min(self.limit, COLD_START_LIMIT)

    def to_json(self) -> dict[str, Any]:
        """The job as JSON."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, data: Any) -> ScoringJob:
        """The job from its JSON.

        Raises:
            ConfigurationError: it is not a job of this schema.
        """
        return job_of(cls, SCHEMA, data, ConfigurationError)

    @classmethod
    def read(cls, path: Path) -> ScoringJob:
        """The job in a file.

        Raises:
            ConfigurationError: it cannot be read, or is no job.
        """
        return cls.from_json(job_data(path, ConfigurationError))


@dataclass(frozen=True)
class ScoringProgress:
    """How far a scoring is.

    Attributes:
        state: ``loading`` the network and looking at what is scored already, ``scoring``, ``paused``,
            ``waiting`` for an archive or a share that is away, or ``done``.
        done: studies scored or found unreadable, with those of earlier scorings.
        total: studies to score.
        unreadable: how many of them gave nothing.
        seconds_left: at the present speed, without pauses; None while it is not known.
        note: what the user should know, for example a study that cannot be read; else "".
    """

    state: str
    done: int = 0
    total: int = 0
    unreadable: int = 0
    seconds_left: float | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScoringProgress:
        """From its JSON."""
        return cls(**{each.name: data[each.name] for each in fields(cls) if each.name in data})


@dataclass(frozen=True)
class ScoringResult:
    """How a scoring ended.

    Attributes:
        key: of the scores.
        scored: studies scored now.
        kept: studies whose earlier scores still hold, or that were found unreadable before.
        unreadable: studies that give nothing, of now and before.
        total: studies in all.
        seconds: it took, without pauses and waiting.
        warnings: what a person should know of these scores.
    """

    key: str
    scored: int
    kept: int
    unreadable: int
    total: int
    seconds: float
    warnings: tuple[str, ...] = ()
