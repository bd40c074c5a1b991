"""From what networks said of studies they never saw to a temperature, thresholds, figures and warnings.

One validation side is answered by the network that is published. With folds every study is answered by the
round that left it out; the published network is then trained on all of them, and what is measured here
stands for it: it saw more studies than any of the rounds, so it should be at least as good.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from vpt_plugin.ct.aggregation import study_probabilities
from vpt_plugin.ct.clips import clip_starts
from vpt_plugin.data.clip_dataset import ClipShape, LabelledStudy
from vpt_plugin.models.card import Estimate
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.calibration import Calibration, fit_temperature
from vpt_plugin.training.collapse import (
    collapse_warning,
    has_collapsed,
    has_hardly_moved,
    within_rounds,
)
from vpt_plugin.training.metrics import (
    FIGURES,
    PatientBootstrap,
    bootstrap_auroc,
    choose_threshold,
    few_studies_warning,
)
from vpt_plugin.words import in_a_sentence

Floats = NDArray[np.float64]
Metrics = Mapping[str, Mapping[str, Mapping[str, Estimate]]]


@dataclass(frozen=True)
class HeldOut:
    """Studies, each with what a network that never saw it says of its clips.

    Attributes:
        studies: by name.
        states: (studies, findings), 1 present, 0 absent, nan not known.
        patients: (studies,), whose each is.
        logits: (clips, findings), study after study, in the order of the slices.
        clip_studies: (clips,), the number of the study each clip is of.
        clip_states: (clips, findings), 1 positive, 0 negative, nan not known.
        rounds: (studies,), the number of the round whose network answered each.
    """

    studies: tuple[LabelledStudy, ...]
    states: Floats
    patients: tuple[str, ...]
    logits: Floats
    clip_studies: NDArray[np.int64]
    clip_states: Floats
    rounds: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        parts: Iterable[tuple[Sequence[LabelledStudy], Floats, NDArray[np.int64]]],
        shape: ClipShape,
    ) -> HeldOut:
        """The studies of all rounds together.

        Args:
            parts: per round its validation studies, the logits (clips, findings) of their covering clips and
                the number (clips,) of the study each clip is of.
            shape: of the clips.

        Raises:
            ValueError: a study in two rounds: it would count twice.
        """
        answered: dict[str, tuple[LabelledStudy, Floats, int]] = {}
        for round_number, (studies, logits, numbers) in enumerate(parts):
            for number, study in enumerate(studies):
                if study.study in answered:
                    raise ValueError(f"{study.study} is validated in two rounds")
                answered[study.study] = (study, logits[numbers == number], round_number)
        ordered = [answered[name] for name in sorted(answered)]
        return cls(
            studies=tuple(study for study, *_ in ordered),
            states=np.stack([study.states for study, *_ in ordered]),
            patients=tuple(study.patient for study, *_ in ordered),
            logits=np.concatenate([logits for _, logits, _ in ordered]),
            clip_studies=np.repeat(np.arange(len(ordered)), [len(logits) for _, logits, _ in ordered]),
            clip_states=np.concatenate([covering_states(study, shape) for study, *_ in ordered]),
            rounds=np.array([number for *_, number in ordered]),
        )

    def probabilities(self, aggregation: str, temperature: float = 1.0) -> Floats:
        """(studies, findings), of whole studies."""
        return study_probabilities(expit(self.logits / temperature), self.clip_studies, aggregation)

    def known(self, finding: int) -> NDArray[np.bool_]:
        """(studies,), whose state is known."""
        return np.asarray(~np.isnan(self.states[:, finding]))


@dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Attributes:
        held_out: what it was measured on.
        calibration: the temperature, or why there is none.
        probabilities: (studies, findings), calibrated.
        clip_probabilities: (clips, findings), calibrated.
        threshold_rule: by which the thresholds were chosen.
        thresholds: per finding; nan where the rule has none.
        metrics: ``study`` or ``clip``, finding, figure; clips are those of which it is known.
        collapsed: whether a finding gets one and the same probability in all studies.
        warnings: sentences for a person.
    """

    held_out: HeldOut
    calibration: Calibration
    probabilities: Floats
    clip_probabilities: Floats
    threshold_rule: str
    thresholds: Mapping[str, float]
    metrics: Metrics
    collapsed: bool
    warnings: tuple[str, ...]

    def auroc(self) -> dict[str, Estimate]:
        """The AUROC of whole studies per finding."""
        return {finding: each["auroc"] for finding, each in self.metrics["study"].items()}


def measure(
    held_out: HeldOut,
    task: ReadingTask,
    *,
    threshold_rule: str,
    losses: Sequence[Sequence[float]] = (),
) -> Outcome:
    """Calibrate, choose thresholds on calibrated probabilities, and compute every figure with its interval.

    Args:
        held_out: studies and what was said of them.
        task: its findings and its aggregation.
        threshold_rule: as ``vpt_plugin.training.metrics.threshold_rule`` takes it.
        losses: of every epoch of every round, as far as they are known; a training whose loss hardly moved is
            too short rather than collapsed.

    Raises:
        ConfigurationError: no such rule.
    """
    calibration = fit_temperature(
        held_out.states, held_out.logits, held_out.clip_studies, aggregation=task.aggregation
    )
    uncalibrated = held_out.probabilities(task.aggregation)
    probabilities = held_out.probabilities(task.aggregation, calibration.temperature)
    clips = expit(held_out.logits / calibration.temperature)
    thresholds = {
        finding: choose_threshold(threshold_rule, held_out.states[rows, index], probabilities[rows, index])
        for index, finding in enumerate(task.findings)
        for rows in [held_out.known(index)]
    }
    metrics = {
        "study": _figures(held_out.states, probabilities, held_out.patients, task.findings, thresholds),
        "clip": _figures(
            held_out.clip_states, clips, [held_out.patients[number] for number in held_out.clip_studies],
            task.findings, thresholds,
        ),
    }  # fmt: skip
    aurocs = {finding: each["auroc"] for finding, each in metrics["study"].items()}
    raw = {
        finding: _for_collapse(held_out, uncalibrated, index, aurocs[finding])
        for index, finding in enumerate(task.findings)
    }
    return Outcome(
        held_out=held_out,
        calibration=calibration,
        probabilities=probabilities,
        clip_probabilities=clips,
        threshold_rule=threshold_rule,
        thresholds=thresholds,
        metrics=metrics,
        collapsed=any(has_collapsed(*each) for each in raw.values()),
        warnings=tuple(
            text
            for index, (finding, each) in enumerate(raw.items())
            for text in _warnings(
                finding,
                has_collapsed(*each),
                collapse_warning(
                    finding,
                    *each,
                    still_learning=has_hardly_moved(losses)
                    or _clips_are_told_apart(held_out, index, metrics["clip"][finding]["auroc"]),
                ),
                aurocs[finding],
                thresholds[finding],
                _few_studies(held_out, finding, index, aurocs[finding]),
            )
        ),
    )


def covering_states(study: LabelledStudy, shape: ClipShape) -> Floats:
    """What is known of the clips that cover a study, (clips, findings): 1 positive, 0 negative, else nan."""
    starts = clip_starts(len(study.positive), length=shape.length, stride=shape.stride)
    return np.stack([study.clip_states(index, shape)[starts] for index in range(len(study.states))], axis=1)


def _figures(
    states: Floats,
    probabilities: Floats,
    patients: Sequence[str],
    findings: Sequence[str],
    thresholds: Mapping[str, float],
) -> dict[str, dict[str, Estimate]]:
    """All figures of studies or clips; a finding of which nothing is known has none."""
    bootstrap = PatientBootstrap(patients)
    found = {}
    for index, finding in enumerate(findings):
        known = ~np.isnan(states[:, index])
        resampled = bootstrap.figures(
            tuple(FIGURES), states[:, index], probabilities[:, index],
            rows=known, threshold=thresholds[finding],
        )  # fmt: skip
        found[finding] = {name: each.estimate() for name, each in resampled.items()}
    return found


def _for_collapse(
    held_out: HeldOut, uncalibrated: Floats, finding: int, auroc: Estimate
) -> tuple[Floats, Estimate, NDArray[np.int64]]:
    """What ``has_collapsed`` asks for: probabilities, their AUROC within the rounds, and the rounds."""
    known = held_out.known(finding)
    probabilities, rounds = uncalibrated[known, finding], held_out.rounds[known]
    if len(np.unique(rounds)) > 1:
        patients = [patient for patient, each in zip(held_out.patients, known, strict=True) if each]
        auroc = bootstrap_auroc(
            held_out.states[known, finding], within_rounds(probabilities, rounds), patients
        )
    return probabilities, auroc, rounds


def _clips_are_told_apart(held_out: HeldOut, finding: int, auroc: Estimate) -> bool:
    """Whether single clips are surely in a better order than chance's, within the rounds."""
    if len(np.unique(held_out.rounds)) > 1:
        states = held_out.clip_states[:, finding]
        known = ~np.isnan(states)
        rounds = held_out.rounds[held_out.clip_studies[known]]
        patients = [held_out.patients[number] for number in held_out.clip_studies[known]]
        auroc = bootstrap_auroc(
            states[known], within_rounds(expit(held_out.logits[known, finding]), rounds), patients
        )
    return auroc.ci95[0] > 0.5


def _few_studies(held_out: HeldOut, finding: str, index: int, auroc: Estimate) -> str:
    rows = np.flatnonzero(held_out.known(index))
    patients = [held_out.patients[row] for row in rows]
    return few_studies_warning(finding, auroc, held_out.states[rows, index], patients)


def _warnings(
    finding: str, collapsed: bool, collapse: str, auroc: Estimate, threshold: float, few: str
) -> list[str]:
    """What a person has to know of this finding before relying on it; the gravest first."""
    first = [collapse] if collapse else []
    if collapsed:
        return first
    name = in_a_sentence(finding)
    low, high = auroc.ci95
    if low <= 0.5 <= high:
        return [
            *first,
            f"The {auroc.n} validation studies do not show that {name} is recognised at all: the AUROC is "
            f"{auroc.value:.3f}, and its interval from {low:.3f} to {high:.3f} holds 0.5, which is chance. "
            "Label more studies, or train longer.",
        ]
    # An AUROC of 0 has no interval; of more than a few studies it is no chance.
    if high < 0.5 or (auroc.value == 0 and not few):
        return [
            *first,
            f"{name.capitalize()} is recognised the wrong way round: the AUROC is {auroc.value:.3f}, surely "
            "below 0.5. Look whether the labels are right.",
        ]
    if math.isnan(threshold):
        return [
            *first,
            f"There is no threshold for {name}, so 0.5 counts: one of its states is missing in the "
            "validation.",
        ]
    return [*first, few] if few else first
