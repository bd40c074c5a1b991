"""What the report of a training is made of: from studies, answers and rounds to ``ReportFacts``."""

from __future__ import annotations

import math

import numpy as np

from vpt_plugin.ct.clips import clip_starts
from vpt_plugin.data.clip_dataset import ClipShape
from vpt_plugin.training.outcome import Outcome
from vpt_plugin.training.report import LearningCurve, ReportStudy
from vpt_plugin.training.trained import Trained


def report_studies(outcome: Outcome, shape: ClipShape) -> tuple[ReportStudy, ...]:
    """The validation studies, each as a network answered it that never saw it."""
    return tuple(_study(outcome, number, shape) for number in range(len(outcome.held_out.studies)))


def learning_curves(trained: Trained) -> tuple[LearningCurve, ...]:
    """One curve per round, and with folds one of the final training on all studies."""
    rounds, final_losses = trained.rounds, trained.final_losses
    curves = [
        LearningCurve(
            title=f"fold {number} of {len(rounds)}" if len(rounds) > 1 else "",
            epochs=tuple(each.epoch for each in result.history),
            train_loss=tuple(each.train_loss for each in result.history),
            validation_loss=tuple(each.log_loss for each in result.history),
            validation_auroc=tuple(each.auroc for each in result.history),
            best_epoch=result.best.epoch,
        )
        for number, result in enumerate(rounds, start=1)
    ]
    if final_losses:
        nothing = (math.nan,) * len(final_losses)
        curves.append(
            LearningCurve(
                title="final training on all studies",
                epochs=tuple(range(1, len(final_losses) + 1)),
                train_loss=final_losses,
                validation_loss=nothing,
                validation_auroc=nothing,
                best_epoch=len(final_losses),
            )
        )
    return tuple(curves)


def _study(outcome: Outcome, number: int, shape: ClipShape) -> ReportStudy:
    study = outcome.held_out.studies[number]
    clips = outcome.held_out.clip_studies == number
    slices = len(study.positive)
    starts = np.array(clip_starts(slices, length=shape.length, stride=shape.stride))
    return ReportStudy(
        name=study.study,
        patient=study.patient,
        states=study.states,
        probabilities=outcome.probabilities[number],
        clip_probabilities=outcome.clip_probabilities[clips],
        clip_states=outcome.held_out.clip_states[clips],
        # A study shorter than a clip was filled up with air, which nobody is shown.
        clip_slices=np.stack([starts, np.minimum(starts + shape.length, slices) - 1], axis=1),
        slice_z_mm=study.prepared.slice_z_mm,
        positive=study.positive,
        marked=study.marked,
        open_slices=lambda: study.prepared.slices,
    )
