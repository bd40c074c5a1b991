"""A look at the test set: what a classifier says of studies that nothing was ever chosen by, and its note."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.data.prepared import DEFAULT_LIMIT_GB, PreparedStudies
from vpt_plugin.data.split_file import Look, Split, SplitFile
from vpt_plugin.errors import TrainingError
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.answers import answers
from vpt_plugin.training.finetune import clip_shape
from vpt_plugin.training.placement import Placement
from vpt_plugin.training.sides import Patient, join_patients
from vpt_plugin.training.sources import SourceStudy, TrainingSource
from vpt_plugin.training.test_set import patient_of
from vpt_plugin.training.usable import Told, UsableStudies
from vpt_plugin.training.validation_record import KnownStudies, SeenStudy, ValidationRecord


@dataclass(frozen=True)
class AnsweredTestSet:
    """The test set as a classifier answers it.

    Attributes:
        studies: that it never saw.
        probabilities: (studies, findings), calibrated.
        patients: of the test set.
        seen: the names of studies that the classifier, or what it began from, was trained on or validated on;
            they are left out.
        left_out: how many others were, by reason.
    """

    studies: tuple[LabelledStudy, ...]
    probabilities: NDArray[np.float64]
    patients: tuple[Patient, ...]
    seen: tuple[str, ...]
    left_out: Mapping[str, int]


def answer_test_set(
    source: TrainingSource,
    task: ReadingTask,
    spec: ModelSpec,
    classifier: Classifier,
    card: ModelCard,
    record: ValidationRecord | None,
    *,
    placement: Placement,
    cache: Path,
    prepared_gb: float = DEFAULT_LIMIT_GB,
    progress: Told = lambda done, total, note: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> AnsweredTestSet:
    """What a classifier says of the locked patients, or the test rows of a CSV. No look is noted here.

    Args:
        source: of the labelled studies.
        task: says how a study is read.
        spec: the network, at the size that it was trained at.
        classifier, card: of the version.
        record: whom it was trained on and validated on; None where nobody knows.
        placement: of the network.
        cache: where prepared studies are kept.
        prepared_gb: how large that folder may become, in 10^9 bytes.
        progress: called with the studies done, the studies in all, and what is to be said of the last one.
        cancelled: asked before every study and every batch.

    Raises:
        TrainingError: there is no test set, nothing of it can be used, or the version has seen all of it.
        ArchiveError: the archive does not hand the studies out.
        CancelledError: ``cancelled`` said so.
    """
    shape, noted = clip_shape(task, spec), SplitFile(source.split_file(task.name)).read()
    with PreparedStudies(cache, task.hu_window, pixels=spec.resize_px, limit_gb=prepared_gb) as prepared:
        work = UsableStudies(task, shape, prepared, progress, cancelled)
        members = work.take(_test_studies(source, task, noted, cancelled))
        patients = work.without_doubles(join_patients(members, noted))
        seen = tuple(sorted(name for each in patients for name in _seen(each, record)))
        unseen = [study for each in patients for study in each.studies if study.study not in seen]
        _require_studies(unseen, seen, card)
        said = answers(
            classifier, unseen, shape,
            task=task, temperature=card.temperature, placement=placement, cancelled=cancelled,
        )  # fmt: skip
    return AnsweredTestSet(tuple(unseen), said, tuple(patients), seen, dict(work.left_out))


def note_look(path: Path | None, answered: AnsweredTestSet, called: str, auroc: Mapping[str, float]) -> Split:
    """Note a look at the test set, and the scans, so that they are known again under other names.

    Args:
        path: of the file of the split; None notes nothing.
        answered: what was looked at.
        called: what was evaluated: ``nodule_tiny version 3``.
        auroc: per finding, nan where it is undefined.

    Returns:
        The split with this look.

    Raises:
        TrainingError: the file is damaged, or cannot be written.
    """
    file = SplitFile(path)
    look = Look(
        when=file.clock(),
        model=called,
        studies=len(answered.studies),
        auroc={name: None if math.isnan(value) else value for name, value in auroc.items()},
    )

    def looked(split: Split) -> Split:
        locked = split.on("test")
        scans = {
            name: own for each in answered.patients if each.key in locked for name, own in each.noted.items()
        }
        return replace(split.with_studies(scans), looks=(*split.looks, look))

    return file.change(looked)


def _test_studies(
    source: TrainingSource, task: ReadingTask, noted: Split, cancelled: Callable[[], bool]
) -> list[SourceStudy]:
    locked = noted.on("test")
    found = [
        study
        for study in source.studies(task.name)
        if study.side == "test" or (locked and patient_of(study, noted, cancelled) in locked)
    ]
    if not found:
        raise TrainingError(
            f"there is no test set of {task.name} in {source.name}.",
            "Lock patients away with `vpt split lock`, or write test into the split column of the CSV; then "
            "train, and evaluate what was trained.",
        )
    return found


def _seen(patient: Patient, record: ValidationRecord | None) -> list[str]:
    """A patient's studies, by name, if a version or what it began from was trained on or chosen by him."""
    if record is None:
        return []
    known = KnownStudies((*record.trained_on, *record.chosen_by_in_all))
    # Where one of his scans is known, under whatever name, he is.
    seen = any(SeenStudy.of(study) in known for study in patient.studies)
    return [study.study for study in patient.studies] if seen else []


def _require_studies(studies: Sequence[LabelledStudy], seen: Sequence[str], card: ModelCard) -> None:
    if studies:
        return
    if seen:
        raise TrainingError(
            f"{card.task}_{card.model} version {card.version} has seen all {len(seen)} usable studies of the "
            "test set: it was trained before they were locked away.",
            "Train again: what is trained from now on never sees them.",
        )
    raise TrainingError("no study of the test set can be used.", "See what was told of each.")
