"""ValidationRecord: how a version was validated and what it was trained on, study by study.

Beside each version as ``validation.json`` (``vptct.validation/1``). It lets a later version be compared on
the same studies without any of them being answered by a network that learned from it. It names studies, so it
stays at the site: an exported version has none.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.data.prepared import PreparedStudy
from vpt_plugin.durable import write_over
from vpt_plugin.errors import ModelCardError

SCHEMA = "vptct.validation/1"
FILE = "validation.json"
_STATES = {1.0: "present", 0.0: "absent"}
_VALUES = {"present": 1.0, "absent": 0.0, None: math.nan}


@dataclass(frozen=True)
class SeenStudy:
    """A study as a record knows it.

    Attributes:
        study: its name.
        patients: hashes of all by which its patient was known; the first one stands for him.
        scan: hash of its slices' places and of its voxels' statistics: the same scan under another name has
            the same one.
        patient_id: hash of the PatientID in its files; "" where there is none. Also among ``patients`` unless
            the source calls the patient otherwise.
    """

    study: str
    patients: tuple[str, ...]
    scan: str
    patient_id: str = ""

    @property
    def patient(self) -> str:
        """Hash of whose it is."""
        return self.patients[0]

    @classmethod
    def of(cls, study: LabelledStudy) -> SeenStudy:
        """The study as a record knows it."""
        keys = (study.patient, *sorted(study.keys - {study.patient}))
        patient_id = study.prepared.patient
        return cls(
            study.study,
            tuple(map(patient_hash, keys)),
            scan_hash(study.prepared),
            patient_hash(patient_id) if patient_id else "",
        )


@dataclass(frozen=True)
class ValidatedStudy:
    """A study and what a network that never saw it says of it.

    Attributes:
        seen: which study.
        states: per finding, 1 present, 0 absent, nan not known.
        probabilities: per finding, calibrated.
    """

    seen: SeenStudy
    states: Mapping[str, float]
    probabilities: Mapping[str, float]


@dataclass(frozen=True)
class ValidationRecord:
    """How one version was validated, and what it was trained on.

    Attributes:
        findings: in their order.
        validated: the studies with their honest probabilities.
        trained_on: the studies the published network was trained on; with folds they are those that were
            validated, too, by the rounds that left them out. And those of the classifiers it began from.
        chosen_by: the studies that chose the epochs and thresholds of the classifiers it began from.
        complete: whether these are all; not where it began from one that does not say what it learned from.
    """

    findings: tuple[str, ...]
    validated: tuple[ValidatedStudy, ...]
    trained_on: tuple[SeenStudy, ...]
    chosen_by: tuple[SeenStudy, ...] = ()
    complete: bool = True

    @property
    def chosen_by_in_all(self) -> tuple[SeenStudy, ...]:
        """Those that chose this version, and the ones that it began from."""
        return (*(each.seen for each in self.validated), *self.chosen_by)

    def write(self, folder: Path) -> None:
        """Write ``validation.json`` into the folder of a version.

        Raises:
            OSError: the disk is full, the folder is not writable.
        """
        write_over(folder / FILE, (json.dumps(self.to_json(), indent=1) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> ValidationRecord | None:
        """The record of a version; None where it has none, as an imported one.

        Raises:
            ModelCardError: it is damaged.
        """
        path = folder / FILE
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelCardError(
                f"{path}: how this version was validated cannot be read: {error}.",
                "Copy the file back from a backup.",
            ) from error

    def to_json(self) -> dict[str, Any]:
        """The record as JSON; a state that is not known is null."""
        return {
            "schema": SCHEMA,
            "findings": list(self.findings),
            "studies": [
                {
                    **vars(each.seen),
                    "states": {name: _STATES.get(state) for name, state in each.states.items()},
                    "probabilities": dict(each.probabilities),
                }
                for each in self.validated
            ],
            "trained_on": [dict(vars(each)) for each in self.trained_on],
            "chosen_by": [dict(vars(each)) for each in self.chosen_by],
            "complete": self.complete,
        }

    @classmethod
    def from_json(cls, data: Any) -> ValidationRecord:
        """The record from its JSON.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: it is none.
        """
        if data["schema"] != SCHEMA:
            raise ValueError(f"it does not follow {SCHEMA!r}")
        findings = tuple(data["findings"])
        return cls(
            findings,
            tuple(
                ValidatedStudy(
                    _seen(each),
                    {name: _VALUES[each["states"][name]] for name in findings},
                    {name: float(each["probabilities"][name]) for name in findings},
                )
                for each in data["studies"]
            ),
            tuple(map(_seen, data["trained_on"])),
            tuple(map(_seen, data.get("chosen_by", ()))),
            bool(data.get("complete", True)),
        )


class KnownStudies:
    """Studies by which others are known again: those of the same patients, and the same scans.

    A training from the labels of a folder knows a patient by the PatientID in the files, one from a CSV with
    a patient column by the name there. So two studies are of one patient where any name of the one is a name
    of the other, and also where the PatientID of the one is a name of the other. Where the source names both
    otherwise it is believed, as within one training: that their PatientIDs are the same says nothing then,
    for anonymised studies often share one.

    Args:
        studies: that are known.
    """

    def __init__(self, studies: Iterable[SeenStudy]) -> None:
        known = tuple(studies)
        self._patients = {patient for each in known for patient in each.patients}
        self._patient_ids = {each.patient_id for each in known} - {""}
        self._scans = {each.scan for each in known}

    def __contains__(self, study: SeenStudy) -> bool:
        return (
            study.scan in self._scans
            or study.patient_id in self._patients
            or not self._patients.isdisjoint(study.patients)
            or not self._patient_ids.isdisjoint(study.patients)
        )


class Memory:
    """What is remembered of a version: whom it was trained on, and what it honestly said of whom.

    Args:
        record: of the version.
    """

    def __init__(self, record: ValidationRecord) -> None:
        self._trained_on = KnownStudies(record.trained_on)
        # By the scan: a study that was renamed is still the same one, and one of the same name may not be.
        self._said = {each.seen.scan: each.probabilities for each in record.validated}

    def honest(self, study: SeenStudy) -> Mapping[str, float] | None:
        """The recorded probabilities of a study; None where it was not validated."""
        return self._said.get(study.scan)

    def trained_on(self, study: SeenStudy) -> bool:
        """Whether it learned from this study, or from another one of the same patient."""
        return study in self._trained_on


def record_of(
    findings: Sequence[str],
    validated: Sequence[LabelledStudy],
    probabilities: NDArray[np.float64],
    trained_on: Iterable[LabelledStudy],
) -> ValidationRecord:
    """The record of a training.

    Args:
        findings: in their order.
        validated: the studies that networks answered which never saw them.
        probabilities: (studies, findings), what these said, calibrated.
        trained_on: the studies the published network was trained on.
    """
    return ValidationRecord(
        tuple(findings),
        tuple(
            ValidatedStudy(
                SeenStudy.of(study),
                dict(zip(findings, map(float, study.states), strict=True)),
                dict(zip(findings, map(float, said), strict=True)),
            )
            for study, said in zip(validated, probabilities, strict=True)
        ),
        tuple(map(SeenStudy.of, trained_on)),
    )


def patient_hash(patient: str) -> str:
    """Tells patients apart; a name or a PatientID need not be in every file."""
    return hashlib.sha256(f"vptct.validation/1\n{patient}".encode()).hexdigest()[:32]


def scan_hash(prepared: PreparedStudy) -> str:
    """Tells scans apart, whatever they are called and wherever they lie.

    The same on every computer: sums of floating-point numbers differ in their last digits from one kind of
    processor to another, so those are not looked at.
    """
    # Plus zero: what rounds to -0.0 is written as 0.0.
    places = [round(z, 3) + 0.0 for z in prepared.slice_z_mm.tolist()]
    facts = [places, {name: f"{value:.6g}" for name, value in prepared.facts.as_dict().items()}]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _seen(data: Mapping[str, Any]) -> SeenStudy:
    # Older records know a patient by one name.
    patients = tuple(data["patients"]) if "patients" in data else (data["patient"],)
    study, scan, patient_id = data["study"], data["scan"], data.get("patient_id", "")
    if not patients or not all(isinstance(text, str) for text in (study, scan, patient_id, *patients)):
        raise ValueError("a study is not named by texts")
    return SeenStudy(study, patients, scan, patient_id)
