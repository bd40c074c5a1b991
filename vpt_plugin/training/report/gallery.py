"""All pictures of a report: what there is to see of each finding, and why something is not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vpt_plugin.models.card import Estimate
from vpt_plugin.training.report.answers import histogram_figure, learning_figure
from vpt_plugin.training.report.curves import precision_recall_figure, reliability_figure, roc_figure
from vpt_plugin.training.report.facts import ReportFacts
from vpt_plugin.training.report.words import figure_in_words
from vpt_plugin.training.report.worst import WorstStudy, worst_figure, worst_studies

UNDEFINED = Estimate(float("nan"), (float("nan"), float("nan")), 0)


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        name: of its file, without the ending.
        title: above it.
        alt: what it shows, for who cannot see it.
        data: the PNG; empty where there is none.
        missing: why there is none.
    """

    name: str
    title: str
    alt: str = ""
    data: bytes = b""
    missing: str = ""


@dataclass(frozen=True)
class Gallery:
    """All pictures.

    Attributes:
        curves: per finding: ROC, precision-recall, reliability, probabilities by state.
        learning: the learning curves.
        worst: per finding the studies to look at, each with its picture.
    """

    curves: tuple[tuple[Picture, ...], ...]
    learning: Picture
    worst: tuple[tuple[tuple[WorstStudy, Picture], ...], ...]

    def pictures(self) -> Iterator[Picture]:
        """Those that are there."""
        for each in (*(one for row in self.curves for one in row), self.learning):
            if each.data:
                yield each
        for row in self.worst:
            yield from (picture for _, picture in row)


def gallery(facts: ReportFacts) -> Gallery:
    """Draw everything."""
    findings = range(len(facts.card.findings))
    return Gallery(
        curves=tuple(_curves(facts, index) for index in findings),
        learning=_learning(facts),
        worst=tuple(tuple(_worst(facts, index)) for index in findings),
    )


def _curves(facts: ReportFacts, index: int) -> tuple[Picture, ...]:
    finding = facts.card.findings[index]
    studies, states, probabilities = facts.known(index)
    figures = facts.card.metrics.get("study", {}).get(finding, {})
    auroc, auprc, error = (figures.get(name, UNDEFINED) for name in ("auroc", "auprc", "calibration_error"))
    threshold = facts.card.threshold(finding)
    one_state = _one_state(states.tolist(), finding)
    said = f"of {len(studies)} validation studies for {finding}"
    titles = {
        "roc": ("ROC", f"ROC curve {said}: AUROC {figure_in_words(auroc)}"),
        "precision-recall": ("Precision and recall", f"Precision {said}: AUPRC {figure_in_words(auprc)}"),
        "reliability": ("Reliability", f"Reliability {said}: calibration error {figure_in_words(error)}"),
        "probabilities": ("Probabilities by state", f"Histogram of probabilities {said}, by state"),
    }
    drawn: dict[str, bytes] = {}
    if not one_state:
        patients = [study.patient for study in studies]
        drawn["roc"] = roc_figure(states, probabilities, patients, threshold, auroc)
        drawn["precision-recall"] = precision_recall_figure(states, probabilities, threshold, auprc)
    if len(studies):
        drawn["reliability"] = reliability_figure(states, probabilities, error)
        drawn["probabilities"] = histogram_figure(states, probabilities, threshold)
    return tuple(
        Picture(f"{finding}-{key}", title, alt, drawn[key])
        if key in drawn
        else Picture(f"{finding}-{key}", title, missing=f"n/a: {one_state}")
        for key, (title, alt) in titles.items()
    )


def _one_state(states: list[float], finding: str) -> str:
    """Why there are no curves; "" where both states are there."""
    if not states:
        return f"of no validation study it is known whether {finding} is present."
    if len(set(states)) > 1:
        return ""
    return f"all validation studies are {'present' if states[0] else 'absent'} for {finding}."


def _learning(facts: ReportFacts) -> Picture:
    if not facts.curves:
        return Picture("learning-curves", "Learning curves", missing="n/a: no epoch was recorded.")
    epochs = ", ".join(str(curve.best_epoch) for curve in facts.curves)
    alt = f"Loss and validation AUROC over the epochs; best epoch: {epochs}"
    return Picture("learning-curves", "Learning curves", alt, learning_figure(facts.curves))


def _worst(facts: ReportFacts, index: int) -> Iterator[tuple[WorstStudy, Picture]]:
    finding = facts.card.findings[index]
    for number, worst in enumerate(worst_studies(facts, index), start=1):
        data = worst_figure(worst.study, index, facts.card.threshold(finding))
        alt = f"Key slice, and the probabilities of the clips along z: {worst.kind}, {worst.probability:.3f}"
        yield worst, Picture(f"{finding}-worst-{number}", worst.study.name, alt, data)
