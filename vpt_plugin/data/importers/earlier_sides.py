"""EarlierSides: who was on which side before; whoever was tested on is never trained on later."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from vpt_plugin.data.manifest import ManifestStudy
from vpt_plugin.data.splits import SPLITS, patient_key
from vpt_plugin.durable import write_over
from vpt_plugin.errors import ConfigurationError

# Where two patients turn out to be one, he is tested on if one of them was, else trained on.
_STRONGEST_FIRST = ("test", "train", "validation")
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class EarlierSides:
    """The sides that studies and patients had.

    Attributes:
        studies: by the study's name.
        patients: by ``patient_key``: a patient's studies may all be replaced by newer ones.
    """

    studies: Mapping[str, str] = field(default_factory=lambda: _NONE)
    patients: Mapping[str, str] = field(default_factory=lambda: _NONE)

    @classmethod
    def of(cls, rows: Iterable[ManifestStudy]) -> EarlierSides:
        """Those of a manifest whose sides are decided."""
        return cls._of((row.study, row.patient, row.split) for row in rows)

    @classmethod
    def in_manifest(cls, manifest: Path, names: Iterable[str]) -> EarlierSides:
        """Those of a manifest that was written before; none where there is no such file.

        Raises:
            ConfigurationError: that manifest is of other studies than these.
        """
        try:
            with manifest.open(encoding="utf-8", newline="") as file:
                rows = [(row["study"], row["patient"], row["split"]) for row in csv.DictReader(file)]
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, csv.Error) as error:
            raise ConfigurationError(
                f"{manifest}: the manifest that is there cannot be read: {error}.",
                "Move it away, or choose another folder with --to.",
            ) from error
        if not {study for study, _, _ in rows} & set(names):
            raise ConfigurationError(
                f"{manifest} is there already, and is of other studies;", "choose another folder with --to."
            )
        return cls._of(rows)

    @classmethod
    def noted(cls, file: Path) -> EarlierSides:
        """Those of all who ever had one; none where there is no such file.

        Raises:
            ConfigurationError: the file is damaged.
        """
        try:
            data = json.loads(file.read_bytes())
            return cls(dict(data["studies"]), dict(data["patients"]))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{file}: who is trained on and who is tested on cannot be read: {error}.",
                "Copy the file back from a backup; without it sides that no manifest has are decided anew.",
            ) from error

    def note(self, file: Path) -> None:
        """Write them down, also of who is not there at present.

        A study that is refused today and repaired tomorrow must not be trained on if it was tested on
        yesterday.

        Raises:
            OSError: the disk is full, the folder is not writable.
        """
        data = {what: dict(sorted(sides.items())) for what, sides in vars(self).items()}
        write_over(file, f"{json.dumps(data, indent=1)}\n".encode())

    def then(self, later: EarlierSides) -> EarlierSides:
        """These, and over them those of later."""
        return EarlierSides({**self.studies, **later.studies}, {**self.patients, **later.patients})

    def of_patients(self, rows: Sequence[ManifestStudy]) -> dict[str, str]:
        """The sides of the patients who had one, by himself or by one of his studies."""
        had: dict[str, set[str]] = {}
        for row in rows:
            found = {self.studies.get(row.study), self.patients.get(patient_key(row.patient))} - {None}
            had.setdefault(row.patient, set()).update(side for side in found if side)
        return {
            patient: next(side for side in _STRONGEST_FIRST if side in sides)
            for patient, sides in had.items()
            if sides
        }

    @classmethod
    def _of(cls, rows: Iterable[tuple[str, str, str]]) -> EarlierSides:
        decided = [row for row in rows if row[2] in SPLITS]
        return cls(
            {study: side for study, _, side in decided},
            {patient_key(patient): side for _, patient, side in decided},
        )
