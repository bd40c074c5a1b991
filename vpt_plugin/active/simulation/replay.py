"""replay: one strategy with one seed, from no label to the last one that may be spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.acquisition.pool import Pool
from vpt_plugin.acquisition.strategies import STRATEGIES, choose
from vpt_plugin.active.simulation.learners import Learned, Learner
from vpt_plugin.active.simulation.settings import BASELINE, SimulationSettings
from vpt_plugin.active.simulation.sides import Sides
from vpt_plugin.training.metrics import auroc

# Whoever cannot answer can do no better than chance.
UNTRAINED_AUROC = 0.5


@dataclass(frozen=True)
class ReplayRound:
    """Where a replay stands after some labels.

    Attributes:
        labels: how many studies are labelled.
        present: how many of them show a finding, by the finding.
        auroc: of the held-out studies, mean over the findings; 0.5 where no network could be trained.
        trained: whether one could: of every finding both states are labelled.
        chosen_by: how many of the labelled studies each strategy chose; of ``auto``, the ones it took.
    """

    labels: int
    present: dict[str, int]
    auroc: float
    trained: bool
    chosen_by: dict[str, int]


def replay(
    strategy: str,
    seed: int,
    sides: Sides,
    learner: Learner,
    findings: tuple[str, ...],
    settings: SimulationSettings,
    *,
    told: Callable[[int], None] = lambda labels: None,
) -> list[ReplayRound]:
    """Choose, label, learn and measure, until the budget or the pool is used up.

    A strategy that needs probabilities cannot choose before a network is trained; until then it takes what
    ``random`` would, so that what sets the two apart is its own doing.

    Args:
        strategy: its name.
        seed: of the random order, of what strategies draw, and of the trainings.
        sides: of this seed.
        learner: makes the networks.
        findings: of the task.
        settings: of the simulation.
        told: of the labels so far.
    """
    states = np.stack([study.states for study in learner.studies])
    labelled: list[int] = []
    chosen_by: Counter[str] = Counter()
    rounds: list[ReplayRound] = []
    while True:
        trainable = _has_both_states(states[labelled])
        learned = learner.trained(sorted(labelled), seed) if trainable else learner.untrained()
        rounds.append(
            ReplayRound(
                labels=len(labelled),
                present={name: int((states[labelled, n] == 1).sum()) for n, name in enumerate(findings)},
                auroc=_measured(learned, sides.test, states) if trainable else UNTRAINED_AUROC,
                trained=trainable,
                chosen_by=dict(chosen_by),
            )
        )
        told(len(labelled))
        wanted = min(settings.batch, settings.budget - len(labelled), len(sides.pool) - len(labelled))
        if wanted < 1:
            return rounds
        needs = STRATEGIES[strategy].needs
        taken = strategy if trainable or needs != "probabilities" else BASELINE
        asked = learner.untrained() if taken == BASELINE else learned
        pool = _pool(learner, asked, sides.pool, labelled, findings, states)
        # Another generator for every round, the same for every strategy.
        rng = np.random.default_rng((seed, 1, len(rounds)))
        choices = choose(taken, pool, wanted, rng, seed=seed, auto=settings.auto)
        if not choices:
            return rounds
        chosen_by.update(choice.strategy for choice in choices)
        labelled += [int(sides.pool[choice.row]) for choice in choices]


def _has_both_states(states: NDArray[np.float64]) -> bool:
    """Whether every finding, a column, is shown by one row and not by another."""
    return bool(len(states) and ((states == 1).any(axis=0) & (states == 0).any(axis=0)).all())


def _measured(learned: Learned, test: NDArray[np.int64], states: NDArray[np.float64]) -> float:
    probabilities = learned.answers(test.tolist()).probabilities
    if probabilities is None:
        raise ValueError("a trained network has given no probabilities")
    figures = []
    for column in range(states.shape[1]):
        known = ~np.isnan(states[test, column])
        figures.append(auroc(states[test, column][known], probabilities[known, column]))
    return float(np.mean(figures))


def _pool(
    learner: Learner,
    learned: Learned,
    rows: NDArray[np.int64],
    labelled: Sequence[int],
    findings: tuple[str, ...],
    states: NDArray[np.float64],
) -> Pool:
    """The studies that may be chosen as a strategy sees them: of most of them no label is known."""
    answers = learned.answers(rows.tolist())
    known = np.isin(rows, labelled)
    return Pool(
        studies=tuple(learner.studies[row].study for row in rows),
        findings=findings,
        embeddings=answers.embeddings.astype(np.float32),
        key_embeddings=answers.key_embeddings.astype(np.float32),
        probabilities=answers.probabilities,
        disagreement=answers.disagreement,
        states=np.where(known[:, None], states[rows], np.nan),
        free=~known,
        taken=known,
    )
