"""From the studies that were read to manifests: whose they are, on which side they are, which fractions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vpt_plugin.data.fractions import take_fractions
from vpt_plugin.data.importers.earlier_sides import EarlierSides
from vpt_plugin.data.importers.importer import ReadStudy
from vpt_plugin.data.importers.patients import patients_of
from vpt_plugin.data.manifest import Manifest, ManifestStudy
from vpt_plugin.data.splits import SplitShares, divide
from vpt_plugin.errors import ManifestError

MANIFEST = "manifest.csv"
# Of the training side, in percent: those of the paper besides all of it.
FRACTIONS = (10, 1)


def fraction_name(percent: float) -> str:
    """``manifest-10.csv``."""
    return f"manifest-{percent:g}.csv"


def manifest_studies(studies: Mapping[str, ReadStudy], before: EarlierSides) -> tuple[ManifestStudy, ...]:
    """The rows of the manifest, by the names of the studies: with their patients and sides.

    A patient is on the side that the data set names, else where he was before, else where the split puts him:
    70, 15 and 15 % of the patients, and of those who have any state of any finding.

    Args:
        studies: what was read, by name.
        before: the sides that studies and patients had.

    Raises:
        ManifestError: the data set puts one patient on two sides.
    """
    patients = patients_of(studies)
    rows = tuple(
        ManifestStudy(
            study=name,
            path=study.path,
            patient=patients[name],
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


def _given(rows: Sequence[ManifestStudy], before: EarlierSides) -> dict[str, str]:
    """The sides of the patients who have one."""
    named: dict[str, str] = {}
    for row in rows:
        if row.split and named.setdefault(row.patient, row.split) != row.split:
            raise ManifestError(
                f"{row.study}: its patient {row.patient!r} is in {named[row.patient]} and in {row.split}.",
                "A patient must be on one side only.",
            )
    return before.of_patients(rows) | named


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
    taken = {percent: set(own) for percent, own in take_fractions(training, FRACTIONS).items()}
    for percent, path in fractions.items():
        Manifest(tuple(row for row in rows if row.split != "train" or row.study in taken[percent])).write(
            path
        )
    Manifest(tuple(rows)).write(out / MANIFEST)
    return WrittenManifests(out / MANIFEST, fractions)
