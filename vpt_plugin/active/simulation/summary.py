"""Strategies compared: area under the learning curve, what sets it apart from chance, labels to a target.

A target counts as reached where the curve stays there to its end. With few held-out studies a curve goes up
and down by chance; the first time that it touches the target would reward the noisiest curve.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.active.simulation.replay import ReplayRound
from vpt_plugin.active.simulation.settings import BASELINE
from vpt_plugin.models.card import Estimate

Floats = NDArray[np.float64]
Replays = Mapping[tuple[str, int], Sequence[ReplayRound]]
"""What was found, by strategy and seed."""
FEWEST_SEEDS = 3
"""With fewer no interval is told."""


@dataclass(frozen=True)
class LabelsNeeded:
    """How many labels it took to reach the target, and to stay there with every later label.

    Attributes:
        median: the fewest labels with which at least half of all seeds were there to stay; nan where more
            than half never were.
        reached: seeds that were there to stay.
        seeds: that there were.
        of_mean: labels with which the mean curve over the seeds was there to stay; nan where it never was.
    """

    median: float
    reached: int
    seeds: int
    of_mean: float

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON; an undefined one is null."""
        return {
            "median": None if math.isnan(self.median) else self.median,
            "reached_and_kept": self.reached,
            "seeds": self.seeds,
            "of_the_mean_curve": None if math.isnan(self.of_mean) else self.of_mean,
        }


@dataclass(frozen=True)
class StrategySummary:
    """One strategy over all seeds.

    Attributes:
        strategy: its name.
        area: under the AUROC over the number of labels, as a mean AUROC: 0.5 is chance, 1 perfect from the
            first label on. The interval is over seeds.
        difference: of the area to that of ``random`` with the same seed; nan where that was not simulated,
            and for ``random`` itself.
        final: the AUROC after the last label.
        present: studies with each finding among those labelled, at the end, mean over seeds.
        needed: labels to the target, reached and kept.
        labels: (rounds,), at which AUROCs were measured.
        auroc: (seeds, rounds).
    """

    strategy: str
    area: Estimate
    difference: Estimate
    final: Estimate
    present: Mapping[str, float]
    needed: LabelsNeeded
    labels: Floats
    auroc: Floats

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON; an undefined one is null."""
        return {
            "strategy": self.strategy,
            "area": self.area.to_json(),
            "difference_to_random": self.difference.to_json(),
            "final_auroc": self.final.to_json(),
            "present_at_the_end": dict(self.present),
            "labels_to_target": self.needed.to_json(),
        }


def summarise(replays: Replays, *, target: float) -> list[StrategySummary]:
    """The strategies in the order of the replays; seeds of which one strategy has no replay count in none.

    Args:
        replays: what was found.
        target: an AUROC.
    """
    strategies = list(dict.fromkeys(strategy for strategy, _ in replays))
    seeds = sorted(
        seed for seed in {seed for _, seed in replays}
        if all((strategy, seed) in replays for strategy in strategies)
    )  # fmt: skip
    found = {name: [replays[name, seed] for seed in seeds] for name in strategies}
    areas = {name: np.array([area(each) for each in own]) for name, own in found.items()}
    return [_summary(name, own, areas, target) for name, own in found.items()]


def area(rounds: Sequence[ReplayRound]) -> float:
    """Area under the AUROC over the labels, by trapezia, as a share of the labels spent."""
    labels, aurocs = _curve(rounds)
    if len(labels) < 2:
        return math.nan
    return float(((aurocs[1:] + aurocs[:-1]) / 2 * np.diff(labels)).sum() / (labels[-1] - labels[0]))


def labels_to(target: float, rounds: Sequence[ReplayRound]) -> float:
    """The fewest labels from which on no AUROC is below the target; infinite where the last one is."""
    return _labels_to(target, *_curve(rounds))


def interval_over_seeds(values: Floats, *, low: float = -1.0, high: float = 1.0) -> Estimate:
    """The mean over seeds with its 95 % interval by Student's t; nan where there are fewer than three seeds.

    Of two values t of one degree of freedom makes an interval more than twelve times their deviation wide,
    which says nothing of an AUROC.

    Not the bootstrap: of five values it draws intervals that hold the truth in about 85 of 100 cases. The
    seeds share their studies, so the interval is about other draws from this set, not about other sites.

    Args:
        values: one per seed.
        low, high: the range that the values can have; the interval is cut there.

    Source: Student, The Probable Error of a Mean, Biometrika 1908.
    """
    from scipy.stats import t

    n = len(values)
    if n == 0:
        return Estimate(math.nan, (math.nan, math.nan), 0)
    mean = float(values.mean())
    if n < FEWEST_SEEDS:
        return Estimate(mean, (math.nan, math.nan), n)
    half = float(t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n))
    return Estimate(mean, (max(mean - half, low), min(mean + half, high)), n)


def _summary(
    name: str, own: Sequence[Sequence[ReplayRound]], areas: Mapping[str, Floats], target: float
) -> StrategySummary:
    labels, aurocs = _curves(own)
    compared = BASELINE in areas and name != BASELINE
    difference = areas[name] - areas[BASELINE] if compared else np.empty(0)
    return StrategySummary(
        strategy=name,
        area=interval_over_seeds(areas[name], low=0.0),
        difference=interval_over_seeds(difference),
        final=interval_over_seeds(aurocs[:, -1], low=0.0),
        present={
            finding: float(np.mean([each[-1].present[finding] for each in own]))
            for finding in own[0][-1].present
        },
        needed=_needed(target, own),
        labels=labels,
        auroc=aurocs,
    )


def _needed(target: float, own: Sequence[Sequence[ReplayRound]]) -> LabelsNeeded:
    each = np.sort([labels_to(target, rounds) for rounds in own])
    labels, aurocs = _curves(own)
    # Of an even number the lower one of the two in the middle: half of infinity is no number of labels.
    return LabelsNeeded(
        median=_finite(float(each[(len(each) - 1) // 2])),
        reached=int(np.isfinite(each).sum()),
        seeds=len(each),
        of_mean=_finite(_labels_to(target, labels, aurocs.mean(axis=0))),
    )


def _labels_to(target: float, labels: Floats, aurocs: Floats) -> float:
    below = np.flatnonzero(aurocs < target)
    kept = labels[below[-1] + 1 :] if len(below) else labels
    return float(kept[0]) if len(kept) else math.inf


def _finite(labels: float) -> float:
    return labels if math.isfinite(labels) else math.nan


def _curve(rounds: Sequence[ReplayRound]) -> tuple[Floats, Floats]:
    return (
        np.array([each.labels for each in rounds], dtype=np.float64),
        np.array([each.auroc for each in rounds]),
    )


def _curves(replays: Sequence[Sequence[ReplayRound]]) -> tuple[Floats, Floats]:
    """(rounds,) and (seeds, rounds), for as many rounds as all of them have: pools may differ by a study."""
    rounds = min(len(each) for each in replays)
    labels = _curve(replays[0][:rounds])[0]
    return labels, np.stack([_curve(each[:rounds])[1] for each in replays])
