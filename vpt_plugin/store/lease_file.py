"""The leases that live, as they lie on the disk: ``labels/worklist/leases.json`` (``vptct.leases/1``)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vpt_plugin.durable import make_folder, write_over
from vpt_plugin.store.ids import is_study_id
from vpt_plugin.store.lease import CLOCKS_DIFFER_SECONDS, Lease, utc_seconds

FILE_NAME = "leases.json"
SCHEMA = "vptct.leases/1"
_DAMAGED = "damaged-leases"
_TEXTS = ("task", "reader", "strategy", "reading", "model", "offer", "holder", "why", "wish")
_logger = logging.getLogger(__name__)


class DamagedLeasesError(ValueError):
    """The file of leases cannot be read."""


class LeaseFile:
    """The leases on the disk. Whoever writes holds the lock of the folder; reading needs none.

    Args:
        path: the file; it and its folder are made with the first lease.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._clock_told = False

    def read(self) -> dict[str, Lease] | None:
        """By study; None where there is no file.

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
            return None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedLeasesError(str(error)) from error

    def write(self, leases: Iterable[Lease], now: float) -> None:
        """Put these in the place of what was there; on the disk when this returns.

        Args:
            leases: all that live.
            now: seconds since 1970, by the clock that their times are of. Whether the disk, maybe another
                computer's, has the same time is looked at, and told in the log where it has not.

        Raises:
            OSError: the disk is full, the folder is not writable; what was there stays as it is.
        """
        content = {"schema": SCHEMA, "leases": [lease.kept() for lease in leases]}
        make_folder(self.path.parent)
        write_over(self.path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
        self._compare_clocks(now)

    def _compare_clocks(self, now: float) -> None:
        """Two computers whose clocks differ by more than a lease lasts would give one study twice."""
        ahead_seconds = now - self.path.stat().st_mtime
        differs = abs(ahead_seconds) > CLOCKS_DIFFER_SECONDS
        if differs and not self._clock_told:
            _logger.warning(
                "the clock of this computer is %.0f minutes %s that of the disk with %s: leases of several "
                "computers end too early or too late; set the clocks",
                abs(ahead_seconds) / 60, "ahead of" if ahead_seconds > 0 else "behind", self.path,
            )  # fmt: skip
        self._clock_told = differs

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


def _lease(said: Any) -> Lease:
    """One lease.

    Raises:
        ValueError, TypeError: it is none.
    """
    lease = Lease(**said)
    numbers = (lease.version, lease.minutes, *dict(lease.probabilities).values())
    if not is_study_id(lease.study) or not lease.holder:
        raise ValueError("a lease has no study or nobody who holds it")
    if not all(isinstance(getattr(lease, name), str) for name in _TEXTS):
        raise ValueError("a lease has something else in the place of a text")
    if not all(isinstance(each, (int, float)) for each in numbers):
        raise ValueError("a lease has something else in the place of a number")
    utc_seconds(lease.since)
    utc_seconds(lease.until)
    return lease
