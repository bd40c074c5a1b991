"""From the studies that were read to manifests: whose they are, on which side they are, which fractions."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vpt_plugin.data.fractions import take_fraction
from vpt_plugin.data.importers.importer import ReadStudy
from vpt_plugin.data.manifest import Manifest, ManifestStudy
from vpt_plugin.data.splits import SPLITS, SplitShares, divide
from vpt_plugin.durable import write_over
from vpt_plugin.errors import ConfigurationError, ManifestError

MANIFEST = "manifest.csv"
# Of the training side, in percent: those of the paper besides all of it.
FRACTIONS = (10, 1)
# One PatientID of more studies than this, and of more than this share of them, is a stand-in for a name.
_STAND_IN_STUDIES = 5
_STAND_IN_SHARE = 0.05
# Where two patients turn out to be one, he is tested on if one of them was, else trained on.
_STRONGEST_FIRST = ("test", "train", "validation")


def fraction_name(percent: float) -> str:
    """``manifest-10.csv``."""
    return f"manifest-{percent:g}.csv"


def stand_ins(studies: Mapping[str, ReadStudy]) -> frozenset[str]:
    """Which PatientIDs tell no patients apart: one that all studies have, or far too many of them."""
    counts = Counter(study.patient_id for study in studies.values() if study.patient_id)
    most = max(_STAND_IN_STUDIES, _STAND_IN_SHARE * len(studies))
    return frozenset(
        name for name, count in counts.items() if count > 1 and (count == len(studies) or count > most)
    )


def sides_before(manifest: Path, names: Iterable[str]) -> dict[str, str]:
    """The sides of studies in a manifest that was written before; empty where there is none.

    Raises:
        ConfigurationError: that manifest is of other studies than these.
    """
    try:
        with manifest.open(encoding="utf-8", newline="") as file:
            sides = {row["study"]: row["split"] for row in csv.DictReader(file)}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise ConfigurationError(
            f"{manifest}: the manifest that is there cannot be read: {error}.",
            "Move it away, or choose another folder with --to.",
        ) from error
    if not sides.keys() & set(names):
        raise ConfigurationError(
            f"{manifest} is there already, and is of other studies;", "choose another folder with --to."
        )
    return {study: side for study, side in sides.items() if side in SPLITS}


def noted_sides(file: Path) -> dict[str, str]:
    """The sides of all studies that ever had one; empty where there is no such file.

    Raises:
        ConfigurationError: the file is damaged.
    """
    try:
        return {str(study): str(side) for study, side in json.loads(file.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"{file}: who is trained on and who is tested on cannot be read: {error}.",
            "Copy the file back from a backup; without it sides that no manifest has are decided anew.",
        ) from error


def note_sides(file: Path, rows: Sequence[ManifestStudy], before: Mapping[str, str]) -> None:
    """Note the sides, also of who had one before and is not there at present.

    A study that is refused today and repaired tomorrow must not be trained on if it was tested on yesterday.

    Raises:
        OSError: the disk is full, the folder is not writable.
    """
    sides = {**before, **{row.study: row.split for row in rows}}
    write_over(file, f"{json.dumps(dict(sorted(sides.items())), indent=1)}\n".encode())


def manifest_studies(
    studies: Mapping[str, ReadStudy], before: Mapping[str, str]
) -> tuple[ManifestStudy, ...]:
    """The rows of the manifest, by the names of the studies: with their patients and sides.

    A patient is on the side that the data set names, else where he was before, else where the split puts him:
    70, 15 and 15 % of the patients, and of those who have any state of any finding.

    Args:
        studies: what was read, by name.
        before: the sides of studies that had one.

    Raises:
        ManifestError: the data set puts one patient on two sides.
    """
    nobody = stand_ins(studies)
    rows = tuple(
        ManifestStudy(
            study=name,
            path=study.path,
            patient=study.patient or ("" if study.patient_id in nobody else study.patient_id) or name,
            split=study.split,
            labels={label.task: label for label in study.labels},
            synthetic=study.synthetic,
        )
        for name, study in sorted(studies.items())
    )
    strata: dict[str, list[str]] = {}
    for row in rows:
        strata.setdefault(row.patient, []).extend(strata_of(row))
    given = _given(rows, before)
    sides = given | divide(strata, vars(SplitShares()), given)
    return tuple(replace(row, split=row.split or sides[row.patient]) for row in rows)


def strata_of(study: ManifestStudy) -> tuple[str, ...]:
    """``pe.pulmonary_embolism=present`` and the like, for every finding of every task."""
    return tuple(
        f"{task}.{finding}={label.findings[finding].state}"
        for task, label in sorted(study.labels.items())
        for finding in label.findings
    )


def _given(rows: Sequence[ManifestStudy], before: Mapping[str, str]) -> dict[str, str]:
    """The sides of the patients who have one."""
    named: dict[str, str] = {}
    for row in rows:
        if row.split and named.setdefault(row.patient, row.split) != row.split:
            raise ManifestError(
                f"{row.study}: its patient {row.patient!r} is in {named[row.patient]} and in {row.split}.",
                "A patient must be on one side only.",
            )
    had: dict[str, set[str]] = {}
    for row in rows:
        if row.study in before:
            had.setdefault(row.patient, set()).add(before[row.study])
    return {
        patient: next(side for side in _STRONGEST_FIRST if side in sides) for patient, sides in had.items()
    } | named


@dataclass(frozen=True)
class WrittenManifests:
    """The files that were written.

    Attributes:
        whole: with all studies.
        fractions: by percent of the training side; the other sides are the same.
    """

    whole: Path
    fractions: Mapping[int, Path]


def write_manifests(rows: Sequence[ManifestStudy], out: Path) -> WrittenManifests:
    """Write the manifest with all studies, those of the fractions, and the labels.

    The one with all studies comes last: where it is, everything is.

    Raises:
        ManifestError: a study's name that cannot be the name of a folder.
        OSError: the disk is full, the folder is not writable.
    """
    training = {row.study: (row.patient, strata_of(row)) for row in rows if row.split == "train"}
    fractions = {percent: out / fraction_name(percent) for percent in FRACTIONS}
    for percent, path in fractions.items():
        taken = set(take_fraction(training, percent))
        Manifest(tuple(row for row in rows if row.split != "train" or row.study in taken)).write(path)
    Manifest(tuple(rows)).write(out / MANIFEST)
    return WrittenManifests(out / MANIFEST, fractions)
