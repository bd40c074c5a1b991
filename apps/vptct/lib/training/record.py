"""Record: what is known of one training, from the moment it was ordered (``vptct.training/1``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from vpt_plugin.errors import TrainingError
from vpt_plugin.training.job import TrainingJob

SCHEMA = "vptct.training/1"
QUEUED, RUNNING, DONE, STOPPED, FAILED, INTERRUPTED = STATES = (
    "queued", "running", "done", "stopped", "failed", "interrupted",
)  # fmt: skip
# A thousand studies that are left out for the same reason are counted in the card.
_MAX_NOTES = 50


@dataclass(frozen=True)
class Failure:
    """Why a training did not end well.

    Attributes:
        detail: what happened.
        hint: the way on.
        last_words: the end of the process's log, where it said nothing better.
    """

    detail: str
    hint: str = ""
    last_words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """One training.

    Attributes:
        number: its id on this server; later ones have higher numbers.
        job: what was ordered.
        state: of ``STATES``.
        created, started, ended: as ``2026-11-20T20:31:05Z``; "" for not yet.
        progress: the last ``Progress.to_json``; empty before the first.
        notes: what came up, such as studies that are left out.
        outcome: what the worker said in the end (``result`` there); empty unless it is done.
        failure: why it did not end well; None where it did, or has not ended.
    """

    number: int
    job: TrainingJob
    state: str = QUEUED
    created: str = ""
    started: str = ""
    ended: str = ""
    progress: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()
    outcome: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    failure: Failure | None = None

    @property
    def name(self) -> str:
        """``<task>_<model>``."""
        return self.job.name

    @property
    def waits_or_runs(self) -> bool:
        """Whether it has not ended."""
        return self.state in (QUEUED, RUNNING)

    def with_progress(self, progress: Mapping[str, Any]) -> Record:
        """The record after a step; the progress's note goes to the notes."""
        note = str(progress.get("note") or "")
        notes = (*self.notes, note) if note and len(self.notes) < _MAX_NOTES else self.notes
        return replace(self, progress=progress, notes=notes)

    def to_json(self) -> dict[str, Any]:
        """The record as it is kept."""
        return {
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "schema": SCHEMA,
            "job": self.job.to_json(),
            "progress": dict(self.progress),
            "outcome": dict(self.outcome),
            "failure": None if self.failure is None else asdict(self.failure),
        }

    @classmethod
    def from_json(cls, data: Any) -> Record:
        """The record from its JSON.

        Raises:
            TrainingError: it is not a record of this schema.
        """
        try:
            if data["schema"] != SCHEMA or data["state"] not in STATES:
                raise ValueError(f"schema {data['schema']!r}, state {data['state']!r}")
            values = {each.name: data[each.name] for each in fields(cls)}
            failure = values["failure"]
            values["job"] = TrainingJob.from_json(values["job"])
            values["number"] = int(values["number"])
            values["notes"] = tuple(values["notes"])
            values |= {name: dict(values[name]) for name in ("progress", "outcome")}
            values["failure"] = failure and Failure(
                failure["detail"], failure["hint"], tuple(failure["last_words"])
            )
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"this is no record that follows {SCHEMA!r}: {error!r}.") from error
