"""evaluate: what a version is worth on the test set, which nothing was ever chosen by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.models.card import Estimate, ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.conformal_record import ConformalScores, MeasuredCoverage
from vpt_plugin.models.device import choose_device
from vpt_plugin.models.weights import vptct_home
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.coverage import coverage_on, one_per_patient
from vpt_plugin.training.metrics import few_studies_warning, figures
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.placement import Placement
from vpt_plugin.training.sources import TrainingSource
from vpt_plugin.training.test_look import answer_test_set, note_look
from vpt_plugin.training.usable import Told
from vpt_plugin.training.validation_record import ValidationRecord

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
        coverage: per finding, what its decisions at some error rates came to; empty where it keeps nothing
            to decide by.
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
    coverage: Mapping[str, tuple[MeasuredCoverage, ...]]
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
            "coverage": {
                finding: [each.to_json() for each in found] for finding, found in self.coverage.items()
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
    precision: str = "auto",
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
        precision: as in ``settle_precision``: ``auto`` evaluates the answers that torch serves.
        progress: called with the studies done, the studies in all, and what is to be said of the last one.
        cancelled: asked before every study and every batch.

    Raises:
        ConfigurationError: unknown device or precision.
        TrainingError: there is no test set, nothing of it can be used, or the version has seen all of it.
        NotTrainedError, ModelCardError, WeightsError: the version cannot be had.
        ArchiveError: the archive does not hand the studies out.
        CancelledError: ``cancelled`` said so.
    """
    classifier, card = store.load(task, model, version)
    record = ValidationRecord.read(store.place(task.name, model, card.version))
    device_now = choose_device(device)
    found = answer_test_set(
        source, task, get_model(model), classifier, card, record,
        placement=Placement.serving(card, device_now, precision),
        cache=cache or vptct_home() / "prepared", progress=progress, cancelled=cancelled,
    )  # fmt: skip
    unseen = found.studies
    metrics = _metrics(unseen, found.probabilities, card)
    aurocs = {name: each["auroc"].value for name, each in metrics.items()}
    called = f"{card.task}_{card.model} version {card.version}"
    after = note_look(source.split_file(task.name), found, called, aurocs)
    return Evaluation(
        card=card,
        studies=len(unseen),
        patients=len({study.patient for study in unseen}),
        metrics=metrics,
        coverage=_coverage(unseen, found.probabilities, card),
        seen=found.seen,
        left_out=found.left_out,
        looks=len(after.looks),
        warnings=(
            *_few_studies(unseen, metrics, card),
            *(() if record and record.complete else (UNKNOWN_TRAINING,)),
        ),
    )


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


def _coverage(
    studies: Sequence[LabelledStudy], probabilities: NDArray[np.float64], card: ModelCard
) -> dict[str, tuple[MeasuredCoverage, ...]]:
    """What decisions about each finding come to, one study per patient and state."""
    if card.conformal is None:
        return {}
    coverage = {}
    for index, finding in enumerate(card.findings):
        states = []
        for state in (1.0, 0.0):
            rows = [n for n, study in enumerate(studies) if study.states[index] == state]
            patients, names = [studies[n].patient for n in rows], [studies[n].study for n in rows]
            states.append(one_per_patient(patients, names, probabilities[rows, index].tolist()))
        coverage[finding] = coverage_on(card.conformal.scores[finding], ConformalScores.of(*states))
    return coverage


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
