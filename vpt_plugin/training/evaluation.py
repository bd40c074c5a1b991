"""evaluate: what a version is worth on the test set, which nothing was ever chosen by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.data.split_file import Look, Split, SplitFile
from vpt_plugin.errors import TrainingError
from vpt_plugin.models.card import Estimate, ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.device import choose_device, choose_dtype
from vpt_plugin.models.weights import vptct_home
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.answers import answers
from vpt_plugin.training.finetune import clip_shape
from vpt_plugin.training.metrics import few_studies_warning, figures
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.placement import Placement
from vpt_plugin.training.sides import Patient, join_patients
from vpt_plugin.training.sources import SourceStudy, TrainingSource
from vpt_plugin.training.test_set import patient_of
from vpt_plugin.training.usable import Told, UsableStudies
from vpt_plugin.training.validation_record import KnownStudies, SeenStudy, ValidationRecord

UNKNOWN_TRAINING = (
    "It is not known of all studies that this version learned from which they are: the figures hold only if "
    "these were not among them."
)


@dataclass(frozen=True)
class Evaluation:
    """What a version came to on the test set.

    Attributes:
        card: of the version.
        studies, patients: that it was evaluated on.
        metrics: per finding, every figure of ``vpt_plugin.training.metrics.FIGURES``, of whole studies.
        seen: the names of test studies that it, or what it began from, was trained on or validated on;
            they are left out.
        left_out: how many others were, by reason.
        looks: how often the test set has been looked at, this one included.
        warnings: sentences for a person.
    """

    card: ModelCard
    studies: int
    patients: int
    metrics: Mapping[str, Mapping[str, Estimate]]
    seen: tuple[str, ...]
    left_out: Mapping[str, int]
    looks: int
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON, for programs: ``vptct.evaluation/1``."""
        return {
            "schema": "vptct.evaluation/1",
            "task": self.card.task,
            "model": self.card.model,
            "version": self.card.version,
            "studies": self.studies,
            "patients": self.patients,
            "metrics": {
                finding: {name: each.to_json() for name, each in found.items()}
                for finding, found in self.metrics.items()
            },
            "seen": list(self.seen),
            "left_out": dict(self.left_out),
            "looks": self.looks,
            "warnings": list(self.warnings),
        }


def evaluate(
    source: TrainingSource,
    task: ReadingTask,
    model: str,
    version: int | None = None,
    *,
    store: ModelStore,
    cache: Path | None = None,
    device: str = "auto",
    progress: Told = lambda done, total, note: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """The figures of a version on the locked patients, or the test rows of a CSV. The look is noted.

    Args:
        source: of the labelled studies.
        task: says how a study is read.
        model: the network's name.
        version: None takes the one that is served.
        store: where the version lies.
        cache: where prepared studies are kept; None takes ``prepared`` in ``vptct_home()``.
        device: as in ``choose_device``.
        progress: called with the studies done, the studies in all, and what is to be said of the last one.
        cancelled: asked before every study and every batch.

    Raises:
        TrainingError: there is no test set, nothing of it can be used, or the version has seen all of it.
        NotTrainedError, ModelCardError, WeightsError: the version cannot be had.
        ArchiveError: the archive does not hand the studies out.
        CancelledError: ``cancelled`` said so.
    """
    classifier, card = store.load(task, model, version)
    record = ValidationRecord.read(store.place(task.name, model, card.version))
    spec, file = get_model(model), SplitFile(source.split_file(task.name))
    shape, noted = clip_shape(task, spec), file.read()
    cache = cache or vptct_home() / "prepared"
    with PreparedStudies(cache, task.hu_window, pixels=spec.resize_px) as prepared:
        work = UsableStudies(task, shape, prepared, progress, cancelled)
        members = work.take(_test_studies(source, task, noted, cancelled))
        patients = work.without_doubles(join_patients(members, noted))
        seen = tuple(sorted(name for each in patients for name in _seen(each, record)))
        unseen = [study for each in patients for study in each.studies if study.study not in seen]
        _require_studies(unseen, seen, card)
        device_now = choose_device(device)
        placement = Placement(device_now, choose_dtype(device_now, "auto"))
        said = answers(
            classifier, unseen, shape,
            task=task, temperature=card.temperature, placement=placement, cancelled=cancelled,
        )  # fmt: skip
    metrics = _metrics(unseen, said, card)
    after = file.change(lambda split: _looked(split, file.clock(), card, metrics, patients, len(unseen)))
    return Evaluation(
        card=card,
        studies=len(unseen),
        patients=len({study.patient for study in unseen}),
        metrics=metrics,
        seen=seen,
        left_out=dict(work.left_out),
        looks=len(after.looks),
        warnings=(
            *_few_studies(unseen, metrics, card),
            *(() if record and record.complete else (UNKNOWN_TRAINING,)),
        ),
    )


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


def _metrics(
    studies: Sequence[LabelledStudy], probabilities: NDArray[np.float64], card: ModelCard
) -> dict[str, Mapping[str, Estimate]]:
    metrics = {}
    for index, finding in enumerate(card.findings):
        known = [n for n, study in enumerate(studies) if not math.isnan(study.states[index])]
        metrics[finding] = figures(
            [studies[n].states[index] for n in known],
            probabilities[known, index],
            [studies[n].patient for n in known],
            threshold=card.threshold(finding),
        )
    return metrics


def _few_studies(
    studies: Sequence[LabelledStudy], metrics: Mapping[str, Mapping[str, Estimate]], card: ModelCard
) -> list[str]:
    """Per finding whose AUROC looks certain, being of few studies, a warning."""
    said = []
    for index, finding in enumerate(card.findings):
        known = [study for study in studies if not math.isnan(study.states[index])]
        states, patients = [study.states[index] for study in known], [study.patient for study in known]
        said.append(few_studies_warning(finding, metrics[finding]["auroc"], states, patients))
    return [warning for warning in said if warning]


def _looked(
    split: Split,
    when: str,
    card: ModelCard,
    metrics: Mapping[str, Mapping[str, Estimate]],
    patients: Sequence[Patient],
    studies: int,
) -> Split:
    """The split with this look, and with the scans, so that they are known again under other names."""
    aurocs = {name: found["auroc"].value for name, found in metrics.items()}
    look = Look(
        when=when,
        model=f"{card.task}_{card.model} version {card.version}",
        studies=studies,
        auroc={name: None if math.isnan(value) else value for name, value in aurocs.items()},
    )
    locked = split.on("test")
    scans = {name: own for each in patients if each.key in locked for name, own in each.noted.items()}
    return replace(split.with_studies(scans), looks=(*split.looks, look))
