"""Strategies compared: area under the learning curve, what sets it apart from chance, labels to a target."""

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


@dataclass(frozen=True)
class LabelsNeeded:
    """How many labels it took to reach the target.

    Attributes:
        median: over the seeds, where one that never reached it counts as more than all; nan where that is it.
        reached: seeds that reached it.
        seeds: that there were.
    """

    median: float
    reached: int
    seeds: int


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
        needed: labels to the target.
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
        median = self.needed.median
        return {
            "strategy": self.strategy,
            "area": self.area.to_json(),
            "difference_to_random": self.difference.to_json(),
            "final_auroc": self.final.to_json(),
            "present_at_the_end": dict(self.present),
            "labels_to_target": {
                "median": None if math.isnan(median) else median,
                "reached": self.needed.reached,
                "seeds": self.needed.seeds,
            },
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
    """The fewest labels with an AUROC of at least the target; infinite where it was not reached."""
    return float(min((each.labels for each in rounds if each.auroc >= target), default=math.inf))


def interval_over_seeds(values: Floats) -> Estimate:
    """The mean over seeds with its 95 % interval by Student's t; nan where there is one seed only.

    Not the bootstrap: of five values it draws intervals that hold the truth in about 85 of 100 cases. The
    seeds share their studies, so the interval is about other draws from this set, not about other sites.

    Source: Student, The Probable Error of a Mean, Biometrika 1908.
    """
    from scipy.stats import t

    n = len(values)
    if n == 0:
        return Estimate(math.nan, (math.nan, math.nan), 0)
    mean = float(values.mean())
    if n == 1:
        return Estimate(mean, (math.nan, math.nan), 1)
    half = float(t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n))
    return Estimate(mean, (mean - half, mean + half), n)


def _summary(
    name: str, own: Sequence[Sequence[ReplayRound]], areas: Mapping[str, Floats], target: float
) -> StrategySummary:
    labels, aurocs = _curves(own)
    compared = BASELINE in areas and name != BASELINE
    difference = areas[name] - areas[BASELINE] if compared else np.empty(0)
    needed = np.array([labels_to(target, each) for each in own])
    # Of an even number the higher one of the two in the middle: half of infinity is no number of labels.
    median = float(np.sort(needed)[len(needed) // 2])
    return StrategySummary(
        strategy=name,
        area=interval_over_seeds(areas[name]),
        difference=interval_over_seeds(difference),
        final=interval_over_seeds(aurocs[:, -1]),
        present={
            finding: float(np.mean([each[-1].present[finding] for each in own]))
            for finding in own[0][-1].present
        },
        needed=LabelsNeeded(
            median if math.isfinite(median) else math.nan, int(np.isfinite(needed).sum()), len(needed)
        ),
        labels=labels,
        auroc=aurocs,
    )


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
