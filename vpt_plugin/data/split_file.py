"""SplitFile: the sides that were decided, written down so that no patient changes them (``vptct.split/1``).

Which patients there are and what is known of them changes with every label. So a side is decided once, when a
patient first takes part, and noted before anything is trained. The test set is locked here, too, and every
look at it is noted: a set that was looked at often no longer says how good a model is.

Patients are noted by a hash of their PatientID, or of the study where there is none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from filelock import FileLock, Timeout

from vpt_plugin.data.splits import SPLITS
from vpt_plugin.durable import make_folder, write_over
from vpt_plugin.errors import TrainingError
from vpt_plugin.labels import now

SCHEMA = "vptct.split/1"
# A change takes milliseconds, and a second or two on a slow share.
_PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Look:
    """One evaluation on the test set.

    Attributes:
        when: as ``2026-11-20T20:31:05Z``.
        model: which version was evaluated: ``nodule_tiny version 3``.
        studies: how many it was evaluated on.
        auroc: per finding; None where it is undefined.
    """

    when: str
    model: str
    studies: int
    auroc: Mapping[str, float | None]


@dataclass(frozen=True)
class NotedStudy:
    """A study that a training has met.

    Attributes:
        patient: whose it is.
        scan: tells scans apart, whatever they are called; "" where it was never read.
        took_part: whether anything was ever trained or validated on it, on a side or in folds.
    """

    patient: str
    scan: str = ""
    took_part: bool = False


@dataclass(frozen=True)
class Split:
    """What was decided for one task.

    Attributes:
        sides: ``train``, ``validation`` or ``test`` by patient.
        since: when that was decided, by patient.
        studies: those that took part, or were locked, by name.
        looks: at the test set, oldest first.
    """

    sides: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    since: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    studies: Mapping[str, NotedStudy] = field(default_factory=lambda: MappingProxyType({}))
    looks: tuple[Look, ...] = ()

    def on(self, side: str) -> frozenset[str]:
        """The patients of a side."""
        return frozenset(patient for patient, own in self.sides.items() if own == side)

    def is_test(self, study: str) -> bool:
        """Whether a study that took part before is of the test set."""
        noted = self.studies.get(study)
        return noted is not None and self.sides.get(noted.patient) == "test"

    @property
    def taken_part(self) -> frozenset[str]:
        """The patients whom anything was ever trained or validated on."""
        noted = (each.patient for each in self.studies.values() if each.took_part)
        return self.on("train") | self.on("validation") | frozenset(noted)

    def patients_of_scans(self) -> dict[str, str]:
        """The patient of every scan that was ever read."""
        return {each.scan: each.patient for each in self.studies.values() if each.scan}

    def with_studies(self, studies: Mapping[str, NotedStudy]) -> Split:
        """The same with these studies; what was known of a scan stays known, and that it took part, too."""
        before = {name: self.studies.get(name, each) for name, each in studies.items()}
        known = {
            name: replace(
                each,
                scan=each.scan or before[name].scan,
                took_part=each.took_part or before[name].took_part,
            )
            for name, each in studies.items()
        }
        return replace(self, studies={**self.studies, **known})

    def with_sides(self, sides: Mapping[str, str], when: str) -> Split:
        """The same with these sides; a patient whose side stays keeps its date."""
        changed = {patient: when for patient, side in sides.items() if self.sides.get(patient) != side}
        return replace(self, sides={**self.sides, **sides}, since={**self.since, **changed})

    def without(self, patients: frozenset[str]) -> Split:
        """The same with no side for these patients."""
        return replace(
            self,
            sides={patient: side for patient, side in self.sides.items() if patient not in patients},
            since={patient: when for patient, when in self.since.items() if patient not in patients},
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "schema": SCHEMA,
            "patients": {
                patient: {"side": side, "since": self.since.get(patient, "")}
                for patient, side in sorted(self.sides.items())
            },
            "studies": {name: dict(vars(each)) for name, each in sorted(self.studies.items())},
            "looks": [{**vars(look), "auroc": dict(look.auroc)} for look in self.looks],
        }

    @classmethod
    def from_json(cls, data: Any) -> Split:
        """The split from its JSON.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: it is none.
        """
        if data["schema"] != SCHEMA:
            raise ValueError(f"it does not follow {SCHEMA!r}")
        sides = {str(patient): str(each["side"]) for patient, each in data["patients"].items()}
        if wrong := set(sides.values()) - set(SPLITS):
            raise ValueError(f"{min(wrong)!r} is no side")
        return cls(
            sides,
            {str(patient): str(each["since"]) for patient, each in data["patients"].items()},
            {str(name): _noted(each) for name, each in data["studies"].items()},
            tuple(Look(**each) for each in data["looks"]),
        )


def _noted(data: Mapping[str, Any]) -> NotedStudy:
    return NotedStudy(str(data["patient"]), str(data["scan"]), bool(data.get("took_part", False)))


class SplitFile:
    """The file with the sides of one task; several processes may change it.

    Args:
        path: of the file; None keeps nothing, for studies that lie nowhere but in memory.
        clock: says when something is decided.
    """

    def __init__(self, path: Path | None, *, clock: Callable[[], str] = now) -> None:
        self.path = path
        self.clock = clock

    def read(self) -> Split:
        """What was decided so far.

        Raises:
            TrainingError: the file is damaged.
        """
        if self.path is None:
            return Split()
        try:
            return Split.from_json(json.loads(self.path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return Split()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingError(
                f"{self.path}: who is trained on, validated on and tested on cannot be read: {error}.",
                "Copy the file back from a backup. Without it all sides would be decided anew, and there "
                "would be no test set.",
            ) from error

    def change(self, change: Callable[[Split], Split]) -> Split:
        """Write down what a change makes of the split; on the disk when this returns.

        Where it changes nothing, nothing is written: a folder that is read-only will do.

        Args:
            change: may be called twice; the second time no other process can come in between.

        Raises:
            TrainingError: the file is damaged, or cannot be written.
        """
        before = self.read()
        after = change(before)
        if after == before or self.path is None:
            return after
        with self._alone(self.path):
            before = self.read()
            after = change(before)
            if after != before:
                text = json.dumps(after.to_json(), indent=1, ensure_ascii=False) + "\n"
                write_over(self.path, text.encode())
        return after

    @staticmethod
    @contextmanager
    def _alone(path: Path) -> Iterator[None]:
        try:
            make_folder(path.parent)
            with FileLock(path.with_name(f".{path.name}.lock"), timeout=_PATIENCE_SECONDS):
                yield
        except (OSError, Timeout) as error:
            raise TrainingError(
                f"{path}: the sides of the split cannot be written down: {error}.",
                "Let this account write there, and make room on the disk: patients whose side is not noted "
                "could be trained on today and validated on tomorrow.",
            ) from error
