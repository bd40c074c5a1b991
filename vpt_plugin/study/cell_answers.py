"""What a cell says of the test side: the studies that count, and how many are left out, and why."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vpt_plugin.errors import TrainingError
from vpt_plugin.study.cell_records import Answers
from vpt_plugin.study.cell_result import TrainedCell
from vpt_plugin.study.cells import Cell
from vpt_plugin.training.test_look import AnsweredTestSet
from vpt_plugin.training.validation_record import KnownStudies, SeenStudy
from vpt_plugin.words import studies_in_words

SEEN = "its patient, or the same scan, is on the training or validation side"


def require_unseen(cell: Cell, found: AnsweredTestSet, start: TrainedCell | None) -> None:
    """Refuse the answers of a cell whose pretraining has seen test studies.

    One scan on two sides of the set itself, under two names, is another matter: it is the same for all arms,
    and such studies are left out.

    Args:
        cell: of the plan.
        found: with what the classifier, or what it began from, has seen.
        start: the pretraining that it began from; None for none.

    Raises:
        TrainingError: names one of the studies and the way out.
    """
    record = start.record if start and found.seen else None
    if record is None:
        return
    known = KnownStudies((*record.trained_on, *record.chosen_by_in_all))
    seen = sorted(
        study.study
        for patient in found.patients
        if any(SeenStudy.of(each) in known for each in patient.studies)
        for study in patient.studies
    )
    if seen:
        raise TrainingError(
            f"{cell.id} has seen {studies_in_words(len(seen))} of the test side ({seen[0]}): these patients, "
            "or the same scans, are in the set of the CT pretraining, too.",
            "Take them out of that set.",
        )


def answers_of(cell: Cell, findings: tuple[str, ...], found: AnsweredTestSet) -> Answers:
    """The answers, in the order of the studies' names."""
    order = sorted(range(len(found.studies)), key=lambda row: found.studies[row].study)
    studies = [found.studies[row] for row in order]
    return Answers(
        cell=cell.id,
        findings=findings,
        studies=tuple(study.study for study in studies),
        patients=tuple(study.patient for study in studies),
        states=np.stack([study.states for study in studies]),
        probabilities=found.probabilities[order],
    )


def left_out_of(found: AnsweredTestSet) -> Mapping[str, int]:
    """How many test studies were not asked about, by reason."""
    return {**found.left_out, **({SEEN: len(found.seen)} if found.seen else {})}
