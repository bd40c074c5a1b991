"""The leases that live, as they lie on the disk: ``labels/worklist/leases.json`` (``vptct.leases/1``)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vpt_plugin.durable import make_folder, write_over
from vpt_plugin.store.ids import is_study_id

FILE_NAME = "leases.json"
SCHEMA = "vptct.leases/1"
_DAMAGED = "damaged-leases"
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lease:
    """A study in the hands of one reader, for all tasks.

    Attributes:
        study: its id.
        task: it is to be labelled for.
        reader: who has it; "" for a reader without a name.
        strategy: that chose it; ``double-read`` for a second reading.
        since, until: ``2026-11-20T20:31:05.123Z``; at ``until`` it is over.
        reading: ``first`` or ``second``.
        probabilities: by finding, what the served version said when it was offered; {} for nothing.
        model, version: that said so; "" and 0 for none.
        offer: the number of its offer in the history, 16 hexadecimal digits.
        holder: who extends it and gives it back: the reader's name, or for a reader without one a random text
            that nobody else knows.
        minutes: how long it lasts from when it is given or extended.
    """

    study: str
    task: str
    reader: str
    strategy: str
    since: str
    until: str
    reading: str = "first"
    probabilities: Mapping[str, float] = field(default_factory=dict)
    model: str = ""
    version: int = 0
    offer: str = ""
    holder: str = ""
    minutes: float = 30.0

    def to_json(self) -> dict[str, Any]:
        """The lease as JSON, for the file and for its holder alone: whoever knows ``holder`` may end it."""
        return {**asdict(self), "probabilities": dict(self.probabilities)}


class DamagedLeasesError(ValueError):
    """The file of leases cannot be read."""


class LeaseFile:
    """The leases on the disk. Whoever writes holds the lock of the folder; reading needs none.

    Args:
        path: the file; it and its folder are made with the first lease.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Lease]:
        """By study; {} where there is no file.

        Raises:
            DamagedLeasesError: it is none of ours.
            OSError: it is there and cannot be read.
        """
        try:
            said = json.loads(self.path.read_bytes())
            if not isinstance(said, dict) or said.get("schema") != SCHEMA:
                raise DamagedLeasesError(f"it is no file of the schema {SCHEMA}")
            return {each["study"]: _lease(each) for each in said["leases"]}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedLeasesError(str(error)) from error

    def write(self, leases: Iterable[Lease]) -> None:
        """Put these in the place of what was there; on the disk when this returns.

        Raises:
            OSError: the disk is full, the folder is not writable; what was there stays as it is.
        """
        content = {"schema": SCHEMA, "leases": [lease.to_json() for lease in leases]}
        make_folder(self.path.parent)
        write_over(self.path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())

    def set_aside(self, why: DamagedLeasesError, now: float) -> None:
        """Move the damaged file out of the way, for a person to look at."""
        aside = self.path.with_name(f"{_DAMAGED}-{int(now)}.json")
        self.path.replace(aside)
        _logger.warning(
            "%s was damaged (%s) and is now %s; leases begin again from the history", self.path, why, aside
        )


def damaged_lease_files(folder: Path) -> list[Path]:
    """The damaged files that were set aside in a folder of the worklist."""
    return sorted(folder.glob(f"{_DAMAGED}-*.json"))


def utc_text(seconds: float) -> str:
    """A time as text, to the millisecond: ``2026-11-20T20:31:05.123Z``. Texts compare as their times do."""
    moment = datetime.fromtimestamp(round(seconds, 3), timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def utc_seconds(text: str) -> float:
    """The time of such a text, in seconds since 1970.

    Raises:
        ValueError: it is none.
    """
    return datetime.strptime(text, _TIME).replace(tzinfo=timezone.utc).timestamp()


def _lease(said: Any) -> Lease:
    """One lease.

    Raises:
        ValueError, TypeError: it is none.
    """
    lease = Lease(**said)
    texts = (lease.task, lease.reader, lease.strategy, lease.reading, lease.model, lease.offer, lease.holder)
    numbers = (lease.version, lease.minutes, *dict(lease.probabilities).values())
    if not is_study_id(lease.study) or not lease.holder or not all(isinstance(text, str) for text in texts):
        raise ValueError("a lease has no study or nobody who holds it")
    if not all(isinstance(each, (int, float)) for each in numbers):
        raise ValueError("a lease has a number that is none")
    utc_seconds(lease.since)
    utc_seconds(lease.until)
    return lease
