"""The studies a classifier is most wrong about, each with its key slice and what was said along z."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vpt_plugin.ct.aggregation import key_slice, slice_evidence
from vpt_plugin.training.report.facts import ReportFacts, ReportStudy
from vpt_plugin.training.report.style import (
    ABSENT,
    FULL_WIDTH_INCHES,
    INK,
    PRESENT,
    legend,
    new_figure,
    png,
    tidy,
)

# More than a person looks at in one sitting helps nobody.
EACH_KIND, AT_LEAST = 4, 4
_HEIGHT_INCHES = 2.35
MISSED, FALSE_ALARM = "missed", "false alarm"
UNSURE, MOST_WRONG = "on the right side, but least so", "most wrong, without a threshold"


@dataclass(frozen=True)
class WorstStudy:
    """A study to look at, and why.

    Attributes:
        study: which.
        kind: ``MISSED``, ``FALSE_ALARM``, ``UNSURE`` or ``MOST_WRONG``.
        state: ``present`` or ``absent``.
        probability: that was said.
    """

    study: ReportStudy
    kind: str
    state: str
    probability: float


def worst_studies(facts: ReportFacts, finding: int) -> list[WorstStudy]:
    """Missed studies and false alarms, the most wrong first; where there are few, also who came closest.

    Args:
        facts: of the training.
        finding: its number.
    """
    studies, states, probabilities = facts.known(finding)
    threshold = facts.card.threshold(facts.card.findings[finding])
    wrongness = np.abs(states - probabilities)
    # A comparison with nan is False: without a threshold nothing is missed and nothing a false alarm.
    kinds = {
        MISSED: (states == 1) & (probabilities < threshold),
        FALSE_ALARM: (states == 0) & (probabilities >= threshold),
    }
    rest = ~(kinds[MISSED] | kinds[FALSE_ALARM])
    order = np.argsort(-wrongness, kind="stable")
    chosen = [
        (number, kind) for kind, among in kinds.items() for number in order[among[order]][:EACH_KIND].tolist()
    ]
    if (missing := AT_LEAST - len(chosen)) > 0:
        kind = MOST_WRONG if math.isnan(threshold) else UNSURE
        chosen += [(number, kind) for number in order[rest[order]][:missing].tolist()]
    return [
        WorstStudy(
            studies[number], kind, "present" if states[number] else "absent", float(probabilities[number])
        )
        for number, kind in chosen
    ]


def looked_at_slice(study: ReportStudy, finding: int) -> int:
    """The slice that speaks most for the finding, as a reader is shown it; its number from 0."""
    first, last = study.clip_slices.T
    evidence = slice_evidence(
        study.clip_probabilities[:, finding], first.tolist(),
        length=int((last - first).max()) + 1, slices=len(study.slice_z_mm),
    )  # fmt: skip
    return key_slice(evidence)


def marked_slice(study: ReportStudy, finding: int) -> int | None:
    """The middle of the longest run of slices that readers marked; None where nothing is."""
    runs = _marked_ranges(study, finding)
    begin, end = max(runs, key=lambda run: run[1] - run[0], default=(-1, -1))
    return (begin + end + 1) // 2 if runs else None


def worst_figure(study: ReportStudy, finding: int, threshold: float) -> bytes:
    """The key slice, the slice in the middle of the longest marked range, and the clips along z, as PNG.

    Args:
        study: to be shown; its slices are opened.
        finding: its number.
        threshold: nan for none.
    """
    figure = new_figure(FULL_WIDTH_INCHES, _HEIGHT_INCHES, layout="none")
    slices, looked_at, marked = (
        study.open_slices(),
        looked_at_slice(study, finding),
        marked_slice(study, finding),
    )
    # At the same places for every study, so that pictures and strips can be compared by eye.
    first, second, strip = (_placed(figure, *each) for each in ((0.0, 2.1), (2.25, 2.1), (5.0, 3.7)))
    _picture(first, slices[looked_at], f"key slice, z {study.slice_z_mm[looked_at]:.0f} mm")
    if marked is None:
        second.set_axis_off()
        said = "no slices are marked" if study.states[finding] == 1 else "absent by the label"
        second.text(0.5, 0.5, said, ha="center", va="center", fontsize=8, color=INK)
    else:
        _picture(second, slices[marked], f"marked by a reader, z {study.slice_z_mm[marked]:.0f} mm")
    _strip(strip, study, finding, threshold)
    strip.axvline(study.slice_z_mm[looked_at], color=INK, linewidth=1.0, linestyle=":", label="key slice")
    legend(strip, "above")
    return png(figure)


def _placed(figure: Figure, left_inches: float, width_inches: float) -> Axes:
    """Axes with room for a line of text above; those of the strip leave room for their labels below."""
    below = 0.0 if width_inches < 3 else 0.42
    return figure.add_axes(
        (
            left_inches / FULL_WIDTH_INCHES,
            below / _HEIGHT_INCHES,
            width_inches / FULL_WIDTH_INCHES,
            (_HEIGHT_INCHES - below - 0.25) / _HEIGHT_INCHES,
        )
    )


def _picture(axes: Axes, pixels: NDArray[np.uint8], title: str) -> None:
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
    axes.set_title(title, fontsize=8, color=INK, loc="left")
    axes.set_axis_off()


def _strip(axes: Axes, study: ReportStudy, finding: int, threshold: float) -> None:
    """Every clip as a bar over its slices, from face to face, at the height of its probability."""
    z_mm = study.slice_z_mm
    # A clip or a mark of one slice has a width, too.
    half_mm = (z_mm[-1] - z_mm[0]) / max(1, len(z_mm) - 1) / 2
    for begin, end in _marked_ranges(study, finding):
        axes.axvspan(
            z_mm[begin] - half_mm, z_mm[end] + half_mm, color=ABSENT, alpha=0.45, linewidth=0, label="marked"
        )
    first, last = study.clip_slices.T
    axes.hlines(
        study.clip_probabilities[:, finding], z_mm[first] - half_mm, z_mm[last] + half_mm,
        color=PRESENT, linewidth=2.2, label="clips",
    )  # fmt: skip
    if not math.isnan(threshold):
        axes.axhline(threshold, color=INK, linewidth=1.0, linestyle="--", label=f"threshold {threshold:.3f}")
    tidy(axes, x="z in mm, from the feet to the head", y="probability")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlim(z_mm[0] - half_mm, z_mm[-1] + half_mm)


def _marked_ranges(study: ReportStudy, finding: int) -> list[tuple[int, int]]:
    """First and last slice of every run of marked slices."""
    edges = np.flatnonzero(np.diff(np.pad(study.positive[:, finding].astype(int), 1)))
    return [(int(begin), int(end) - 1) for begin, end in edges.reshape(-1, 2)]
