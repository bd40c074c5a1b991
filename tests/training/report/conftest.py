"""Made-up facts for reports: any number of studies, findings and folds, drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from vpt_plugin.models.card import Estimate, ModelCard
from vpt_plugin.tasks import ReadingTask, get_task
from vpt_plugin.training.comparison import compare
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.metrics import figures, youden_threshold
from vpt_plugin.training.report import LearningCurve, ReportFacts, ReportStudy

LENGTH, STRIDE = 8, 6
MakeFacts = Callable[..., ReportFacts]


def study(
    rng: np.random.Generator, number: int, states: NDArray[np.float64], *, skill: float, slices: int
) -> ReportStudy:
    """A study with clips of 8 slices; the higher the skill, the higher its positive clips."""
    starts = np.array([*range(0, slices - LENGTH, STRIDE), slices - LENGTH])
    clip_slices = np.stack([starts, starts + LENGTH - 1], axis=1)
    positive = np.zeros((slices, len(states)), dtype=bool)
    for finding in np.flatnonzero(states == 1):
        begin = int(rng.integers(0, slices - 5))
        positive[begin : begin + 5, finding] = True
    clip_states = np.stack(
        [positive[first : last + 1].sum(axis=0) >= 4 for first, last in clip_slices]
    ).astype(float)
    clip_states[:, np.isnan(states)] = np.nan
    logits = rng.normal(-2, 1.2, clip_states.shape) + skill * np.nan_to_num(clip_states)
    pixels = rng.integers(0, 256, (slices, 16, 16)).astype(np.uint8)
    return ReportStudy(
        name=f"study-{number:04d}",
        patient=f"patient-{number}",
        states=states,
        probabilities=expit(logits).max(axis=0),
        clip_probabilities=expit(logits),
        clip_states=clip_states,
        clip_slices=clip_slices,
        slice_z_mm=np.arange(slices) * 2.5 - 300,
        positive=positive,
        marked=np.ones(len(states), dtype=bool),
        open_slices=lambda: pixels,
    )


def curve(rng: np.random.Generator, title: str, epochs: int, *, validated: bool = True) -> LearningCurve:
    """Losses that fall and an AUROC that rises, each with some noise."""
    numbers = np.arange(1, epochs + 1)
    loss = np.exp(-numbers / epochs) + rng.normal(0, 0.02, epochs)
    auroc = 1 - 0.5 * np.exp(-2 * numbers / epochs) + rng.normal(0, 0.02, epochs)
    unknown = (float("nan"),) * epochs
    return LearningCurve(
        title,
        tuple(numbers.tolist()),
        tuple((0.7 * loss).tolist()),
        tuple((0.1 + 0.7 * loss).tolist()) if validated else unknown,
        tuple(auroc.clip(0, 1).tolist()) if validated else unknown,
        int(np.argmax(auroc)) + 1 if validated else epochs,
    )


def card_of(task: ReadingTask, studies: tuple[ReportStudy, ...]) -> ModelCard:
    """A card whose figures are those of the studies."""
    metrics: dict[str, dict[str, dict[str, Estimate]]] = {"study": {}, "clip": {}}
    thresholds = {}
    for index, finding in enumerate(task.findings):
        known = [each for each in studies if not np.isnan(each.states[index])]
        states = np.array([each.states[index] for each in known])
        said = np.array([each.probabilities[index] for each in known])
        patients = [each.patient for each in known]
        thresholds[finding] = youden_threshold(states, said)
        metrics["study"][finding] = dict(figures(states, said, patients, threshold=thresholds[finding]))
        metrics["clip"][finding] = dict(
            figures(
                np.concatenate([each.clip_states[:, index] for each in known]) if known else [],
                np.concatenate([each.clip_probabilities[:, index] for each in known]) if known else [],
                [each.patient for each in known for _ in each.clip_states],
                threshold=thresholds[finding],
            )
        )
    return ModelCard(
        task=task.name,
        model="tiny",
        findings=task.findings,
        pretraining="none",
        clip_slices=LENGTH,
        version=3,
        trained_on=120,
        thresholds=thresholds,
        metrics=metrics,
        threshold_rule="youden",
        calibration="Probabilities are not calibrated: there are too few studies.",
        training={
            "config": replace(FinetuneConfig(), epochs=12, learning_rate=1e-3).to_dict(),
            "best_epoch": 4,
        },
        counts={
            "left_out": {"too few slices": 2},
            "train": {finding: {"present": 60, "absent": 58} for finding in task.findings},
            "validation": {finding: {"present": 30, "absent": 30} for finding in task.findings},
        },
        split_hash="a" * 64,
        labels_hash="b" * 64,
        code_version="0.1.0",
        created="2026-11-21T06:00:00Z",
    )


@pytest.fixture(scope="session")
def make_facts() -> MakeFacts:
    """``make_facts(60, findings=2, folds=5, skill=3, seed=0)``; every third study has a finding."""
    return facts_of


def facts_of(
    number: int, *, findings: int = 1, folds: int = 0, skill: float = 3.0, seed: int = 0, slices: int = 40
) -> ReportFacts:
    """Facts of a training on made-up studies."""
    rng = np.random.default_rng(seed)
    names = ("lung_nodule", "pulmonary_embolism")[:findings]
    task = replace(get_task("nodule"), findings=names)
    states = (np.arange(number)[:, None] + np.arange(findings)) % 3 == 0
    studies = tuple(
        study(rng, each, states[each].astype(float), skill=skill, slices=slices) for each in range(number)
    )
    truth = np.stack([each.states for each in studies])
    said = np.stack([each.probabilities for each in studies])
    comparison = compare(truth, np.clip(said - 0.3 * truth, 0, 1), said, [each.patient for each in studies])
    if folds:
        curves = [curve(rng, f"fold {fold} of {folds}", 12) for fold in range(1, folds + 1)]
        curves.append(curve(rng, "final training on all studies", 7, validated=False))
    else:
        curves = [curve(rng, "", 12)]
    return ReportFacts(
        card=card_of(task, studies),
        task=task,
        decision=comparison.sentence(),
        served=comparison.better,
        studies=studies,
        curves=tuple(curves),
        comparison=comparison,
        warnings=("The site's labels are few.",),
        source="labels/manifest.csv",
        folds=folds,
        facts={"processor": "cpu"},
    )
