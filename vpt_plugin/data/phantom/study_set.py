"""write_phantom_set: a folder of phantom studies with labels and a manifest, as a site's own would be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.manifest import Manifest, ManifestStudy
from vpt_plugin.data.phantom.phantom import PhantomConfig, make_phantom
from vpt_plugin.data.phantom.writers import require_empty, write_dicom, write_mha, write_nifti, write_nrrd
from vpt_plugin.data.splits import SPLITS, SplitShares
from vpt_plugin.errors import ConfigurationError, UnknownTaskError

# How a format is written, and what its files are called; a DICOM study is a folder.
_FORMATS: Mapping[str, tuple[str, Callable[[Volume, Path], None]]] = MappingProxyType(
    {
        "dicom": ("", write_dicom),
        "nifti": (".nii.gz", write_nifti),
        "nrrd": (".nrrd", write_nrrd),
        "mha": (".mha", write_mha),
    }
)
_TASKS = ("nodule", "pe")
# One patient in five was scanned twice, so that a split by study would leak.
_SCANNED_TWICE = 0.2


@dataclass(frozen=True)
class PlannedStudy:
    """One study of a set before it is made.

    Attributes:
        study, patient, split: as in the manifest.
        seed, visit: of the phantom.
        nodule, contrast, emboli: what it shows.
    """

    study: str
    patient: str
    split: str
    seed: int
    visit: int
    nodule: bool
    contrast: bool
    emboli: bool


def write_phantom_set(
    folder: Path,
    *,
    count: int,
    seed: int,
    task: str,
    formats: Sequence[str] = ("nifti",),
    config: PhantomConfig | None = None,
    splits: tuple[int, int, int] | None = None,
    prevalence: float = 0.5,
    first_patient: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write ``count`` phantom studies, half of them with the task's finding, and their manifest.

    Args:
        folder: holds ``studies/``, ``labels/final/`` and ``manifest.csv`` afterwards.
        count: how many studies.
        seed: the same seed and arguments give the same files.
        task: ``nodule`` or ``pe``; the other finding is drawn at random and labelled too.
        formats: of ``dicom``, ``nifti``, ``nrrd`` and ``mha``; the studies take turns.
        config: what phantoms are drawn from.
        splits: studies for training, validation and test; 70, 15 and 15 % unless given.
        prevalence: share of the studies of every split that show the task's finding, where not half of them.
        first_patient: the number in the first patient's name; two sets need patients of their own.
        progress: called with the studies done and in total.

    Returns:
        The manifest.

    Raises:
        UnknownTaskError: a task that phantoms have no finding for.
        ConfigurationError: an unknown format, splits that do not add up, a prevalence that is no share, or a
            folder that has a manifest or studies.
    """
    manifest = folder / "manifest.csv"
    if manifest.exists():
        raise ConfigurationError(f"{manifest} is there already;", "choose a new folder.")
    if not formats or (unknown := [name for name in formats if name not in _FORMATS]):
        wrong = repr(unknown[0]) if formats else "no format"
        raise ConfigurationError(f"unknown format: {wrong};", f"choose from {', '.join(_FORMATS)}.")
    plan = plan_studies(
        count=count, seed=seed, task=task, splits=splits, prevalence=prevalence,
        first_patient=first_patient,
    )  # fmt: skip
    # A run that was stopped leaves studies without a manifest.
    require_empty(folder / "studies")
    studies = []
    for index, planned in enumerate(plan):
        studies.append(_write_study(folder / "studies", planned, formats[index % len(formats)], config))
        if progress:
            progress(index + 1, count)
    Manifest(tuple(studies)).write(manifest)
    return manifest


def plan_studies(
    *,
    count: int,
    seed: int,
    task: str,
    splits: tuple[int, int, int] | None = None,
    prevalence: float = 0.5,
    first_patient: int = 1,
) -> list[PlannedStudy]:
    """The studies of a set, in the order of the manifest; arguments as for ``write_phantom_set``.

    In every split that share of the studies shows the task's finding, rounded up.
    """
    if task not in _TASKS:
        raise UnknownTaskError(task, list(_TASKS))
    sizes = splits or _default_splits(count)
    if sum(sizes) != count or min(sizes) < 0 or count < 1:
        raise ConfigurationError(f"splits of {sizes} studies do not add up to {count}.")
    if not 0 <= prevalence <= 1:
        raise ConfigurationError(f"prevalence must be a share from 0 to 1, not {prevalence:g}.")
    rng = np.random.default_rng(seed)
    plan: list[PlannedStudy] = []
    for split, size in zip(SPLITS, sizes, strict=True):
        shown = rng.permutation(_evenly(size, prevalence))
        visits = _draw_visits(rng, size, first_patient)
        plan += [
            PlannedStudy(
                study=f"phantom-{number:04d}-{visit + 1}",
                patient=f"PHANTOM-{number:04d}",
                split=split,
                seed=patient_seed,
                visit=visit,
                **_draw_content(rng, task, present=bool(present)),
            )
            for present, (number, visit, patient_seed) in zip(shown, visits, strict=True)
        ]
        # The next split begins with a new patient.
        first_patient += len({number for number, _, _ in visits})
    return plan


def _evenly(size: int, share: float) -> NDArray[np.bool_]:
    """That share of ``size`` places, rounded up: every second one, from the first, where it is a half."""
    # Rounded: 30 times 0.1 is a little more than 3.
    ends = np.ceil(np.round(np.arange(size + 1) * share, 9))
    return np.asarray(np.diff(ends) > 0)


def _default_splits(count: int) -> tuple[int, int, int]:
    shares = SplitShares()
    validation, test = round(count * shares.validation), round(count * shares.test)
    return count - validation - test, validation, test


def _draw_visits(rng: np.random.Generator, size: int, first_patient: int) -> list[tuple[int, int, int]]:
    """Patient number, visit and seed of ``size`` studies."""
    visits: list[tuple[int, int, int]] = []
    number = first_patient
    while len(visits) < size:
        patient_seed = int(rng.integers(2**53))
        times = 2 if rng.random() < _SCANNED_TWICE else 1
        visits += [(number, visit, patient_seed) for visit in range(times)]
        number += 1
    return visits[:size]


def _draw_content(rng: np.random.Generator, task: str, *, present: bool) -> dict[str, bool]:
    nodule, contrast, emboli = rng.random() < 0.5, rng.random() < 0.5, rng.random() < 0.25
    if task == "pe":
        return {"nodule": nodule, "contrast": True, "emboli": present}
    return {"nodule": present, "contrast": contrast, "emboli": contrast and emboli}


def _write_study(
    folder: Path, planned: PlannedStudy, format_name: str, config: PhantomConfig | None
) -> ManifestStudy:
    phantom = make_phantom(
        planned.seed,
        config=config,
        visit=planned.visit,
        nodule=planned.nodule,
        contrast=planned.contrast,
        emboli=planned.emboli,
    )
    provenance = replace(phantom.volume.provenance, patient_id=planned.patient)
    volume = replace(phantom.volume, study=planned.study, provenance=provenance)
    suffix, write = _FORMATS[format_name]
    path = folder / f"{planned.study}{suffix}"
    write(volume, path)
    return ManifestStudy(
        study=planned.study,
        path=path,
        patient=planned.patient,
        split=planned.split,
        labels=phantom.labels,
        synthetic=True,
    )
