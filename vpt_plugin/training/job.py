"""TrainingJob: everything a training in a process of its own has to know (``vptct.job/1``).

Who orders a training writes this file; ``vpt_plugin.training.worker`` reads it. Passwords are never in it:
those of a DICOM archive are in the environment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from vpt_plugin.errors import TrainingError, VptError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Job = TypeVar("Job", bound="DataclassInstance")

SCHEMA = "vptct.job/1"


@dataclass(frozen=True)
class ArchiveFacts:
    """How the DICOM archive that holds the studies is used; nothing of it matters for a folder.

    Attributes:
        cache_dir: the folder with a cache for each archive; "" takes the place in ``vptct_home()``.
        cache_gb: how large the cache may become, in 10^9 bytes.
        modality, date_from, date_to, description: which series are studies; "" for all of them.
    """

    cache_dir: str = ""
    cache_gb: float = 50.0
    modality: str = "CT"
    date_from: str = ""
    date_to: str = ""
    description: str = ""


@dataclass(frozen=True)
class TrainingJob:
    """One training as it was ordered. All paths are absolute.

    Attributes:
        studies: a folder of studies, the address of an archive, or a CSV.
        labels_dir: where their labels lie; "" takes the usual place.
        task: the task's name.
        model: the network's name.
        settings: as ``FinetuneConfig.from_dict`` takes them.
        models_dir: where the classifier is published; "" takes ``models`` in ``vptct_home()``.
        task_files: tasks of the site's own; one of them may be the one meant.
        cache: where prepared studies are kept; "" takes ``prepared`` in ``vptct_home()``.
        prepared_gb: how large that folder may become, in 10^9 bytes.
        device: as in ``choose_device``.
        by: who ordered it; for the record of what is served.
        archive: how an archive is used.
        prepared_hu: whether prepared studies are kept in HU, too, as long as there is room.
    """

    studies: str
    labels_dir: str
    task: str
    model: str
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    models_dir: str = ""
    task_files: tuple[str, ...] = ()
    cache: str = ""
    prepared_gb: float = 50.0
    device: str = "auto"
    by: str = ""
    archive: ArchiveFacts = field(default_factory=ArchiveFacts)
    prepared_hu: bool = True

    @property
    def name(self) -> str:
        """``<task>_<model>``."""
        return f"{self.task}_{self.model}"

    def to_json(self) -> dict[str, Any]:
        """The job as JSON."""
        return {"schema": SCHEMA, **asdict(self), "settings": dict(self.settings)}

    @classmethod
    def from_json(cls, data: Any) -> TrainingJob:
        """The job from its JSON.

        Raises:
            TrainingError: it is not a job of this schema.
        """
        return job_of(cls, SCHEMA, data, TrainingError)

    @classmethod
    def read(cls, path: Path) -> TrainingJob:
        """The job in a file.

        Raises:
            TrainingError: it cannot be read, or is no job.
        """
        return cls.from_json(job_data(path, TrainingError))


def job_of(kind: type[Job], schema: str, data: Any, error: type[VptError]) -> Job:
    """A job from its JSON, of this work or another that is done in a process of its own.

    Args:
        kind: a dataclass with the fields ``archive`` (``ArchiveFacts``) and ``task_files``.
        schema: that the JSON has to name.
        data: the JSON.
        error: what is raised where it is no such job.
    """
    try:
        values = {each.name: data[each.name] for each in fields(kind) if each.name in data}
        if data["schema"] != schema:
            raise ValueError(f"its schema is {data['schema']!r}")
        values["archive"] = ArchiveFacts(**values.get("archive", {}))
        values["task_files"] = tuple(values.get("task_files", ()))
        return kind(**values)
    except (KeyError, TypeError, ValueError, AttributeError) as cause:
        raise error(f"this is no job that follows {schema!r}: {cause}.") from cause


def job_data(path: Path, error: type[VptError]) -> Any:
    """The JSON in a job's file; ``error`` is raised where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise error(f"{path}: the job cannot be read: {cause}.", "Order it again.") from cause
