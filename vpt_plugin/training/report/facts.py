"""ReportFacts: everything a report of one training is made of. Whoever trains fills it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.inference.typicality import FeatureReference
from vpt_plugin.models.card import ModelCard
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.comparison import Comparison

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ReportStudy:
    """One validation study, answered by a network that never saw it.

    Attributes:
        name: of the study.
        patient: whose it is, or the study's name where nobody knows.
        states: (findings,), 1 present, 0 absent, nan not known.
        probabilities: (findings,), of the whole study, after calibration.
        clip_probabilities: (clips, findings), after calibration, in the order of the slices.
        clip_states: (clips, findings), 1 positive, 0 negative, nan not known.
        clip_slices: (clips, 2) int, first and last slice of every clip; the last one is part of it.
        slice_z_mm: (slices,), patient z of every slice, ascending.
        positive: (slices, findings) bool, where readers marked the finding.
        marked: (findings,) bool, whether it is known on which slices the finding is.
        open_slices: gives (slices, rows, columns) uint8 in the task's HU window, for example memory-mapped;
            asked only for the few studies that are shown.
    """

    name: str
    patient: str
    states: Floats
    probabilities: Floats
    clip_probabilities: Floats
    clip_states: Floats
    clip_slices: NDArray[np.int64]
    slice_z_mm: Floats
    positive: NDArray[np.bool_]
    marked: NDArray[np.bool_]
    open_slices: Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class LearningCurve:
    """What was found after each epoch of one training round; the tuples are of one length.

    Attributes:
        title: ``fold 2 of 5``, ``final training on all studies``; "" where there is one round only.
        epochs: their numbers, from 1.
        train_loss: mean over the steps of the epoch.
        validation_loss, validation_auroc: of whole studies, mean over the findings; nan without a validation.
        best_epoch: whose network was kept.
    """

    title: str
    epochs: tuple[int, ...]
    train_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    validation_auroc: tuple[float, ...]
    best_epoch: int


@dataclass(frozen=True)
class ReportFacts:
    """Everything the report of one training is made of.

    Attributes:
        card: of the trained version, with all figures; the report computes none of its own. Version 0 where
            its number is not known yet.
        task: that it was trained for.
        decision: whether it was to be served and why, in a sentence or two.
        served: whether it was to be served when this was written; what is served then may be another one.
        studies: all validation studies; with folds all studies, each answered by the round that left it out.
        curves: one per round, with folds one per fold and then the final training's.
        comparison: with the version that was served before; None where none was.
        warnings: what is to be said of the result, one sentence or more each; the most important first.
        notes: what was said while studies were prepared: who was left out and why, one study each.
        source: where the studies and labels came from, as a person would type it.
        folds: how many; 0 where one validation side was kept apart.
        command: that trains the same again; "" where it is to be made from the card and the source.
        facts: more rows for the settings, by title: ``computer``, ``processes``.
        reference: what the features of its studies are like; None where that could not be measured.
    """

    card: ModelCard
    task: ReadingTask
    decision: str
    served: bool
    studies: tuple[ReportStudy, ...]
    curves: tuple[LearningCurve, ...]
    comparison: Comparison | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    source: str = ""
    folds: int = 0
    command: str = ""
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    reference: FeatureReference | None = None

    def known(self, finding: int) -> tuple[list[ReportStudy], Floats, Floats]:
        """The studies whose state is known, their states (n,) and their probabilities (n,)."""
        found = [study for study in self.studies if not np.isnan(study.states[finding])]
        states = np.array([study.states[finding] for study in found], dtype=np.float64)
        return found, states, np.array([study.probabilities[finding] for study in found], dtype=np.float64)
