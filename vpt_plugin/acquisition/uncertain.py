"""``uncertain`` and ``diverse-uncertain``: studies that the model is undecided about."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.acquisition.pool import Choice
from vpt_plugin.acquisition.question import Question

# Of the uncertainty, next to the entropy's 1: clips that disagree break ties, they do not outvote it.
DISAGREEMENT_WEIGHT = 0.25
# The batch is spread within so many times its size of the most uncertain, and at most this share of all.
CANDIDATES_PER_PICK = 10
CANDIDATES_SHARE = 0.1


def uncertainty(question: Question, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(rows, findings that count), 0 to 1.25: entropy in bits plus a quarter of the disagreement.

    With two states entropy, margin and least confidence rank alike, so there is one of them: the entropy of
    the calibrated probability, highest at 0.5. Not the distance from the decision threshold: a threshold is
    a choice between two kinds of mistakes, which moves with each version, and says nothing of what is
    unknown. Where all probabilities lie below 0.5 this ranks them from the highest down. It is no search for
    rare positives: trainings show positives and negatives in turn, which puts 0.5 among the odd negatives
    (docs/performance-active-learning.md has what that comes to).

    The disagreement is twice the standard deviation of the clips' probabilities, 0 to 1. It counts for
    little, because a study with one clear nodule has clips that differ and nothing that is in doubt.

    nan where a study has no probability.
    """
    from scipy.special import entr

    columns = list(question.columns)
    assert question.pool.probabilities is not None
    probabilities = question.pool.probabilities[rows][:, columns]
    bits: NDArray[np.float64] = (entr(probabilities) + entr(1 - probabilities)) / np.log(2)
    if question.pool.disagreement is None:
        return bits
    # A study of one clip has no deviation: nan, which is no disagreement.
    return bits + DISAGREEMENT_WEIGHT * np.nan_to_num(2 * question.pool.disagreement[rows][:, columns])


def most_uncertain(question: Question, n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Up to ``n`` free rows, the most uncertain first, equals in the order of the pool; and how uncertain."""
    rows = np.flatnonzero(question.pool.free & question.answered)
    scores = uncertainty(question, rows).max(axis=1)
    order = np.argsort(-scores, kind="stable")[:n]
    return rows[order], scores[order]


def uncertain(question: Question) -> list[Choice]:
    """The most uncertain ones; of several findings the largest uncertainty counts."""
    rows, scores = most_uncertain(question, question.n)
    return [
        Choice(int(row), float(score), "uncertain", f"{undecided(question, int(row))}.")
        for row, score in zip(rows, scores, strict=True)
    ]


def diverse_uncertain(question: Question) -> list[Choice]:
    """Of the most uncertain the ones farthest from each other and from what is labelled or being read.

    The most uncertain are 10 times as many as asked for (as in Zhdanov, "Diverse mini-batch Active Learning",
    2019), but at most a tenth of those to choose from: of a small pool it would be all. Among them CoreSet's
    greedy k-centre (Sener and Savarese, ICLR 2018) takes one after another. While nothing is taken the most
    uncertain one is the first.
    """
    free = int((question.pool.free & question.answered).sum())
    wanted = min(CANDIDATES_PER_PICK * question.n, max(question.n, int(CANDIDATES_SHARE * free)))
    rows, scores = most_uncertain(question, wanted)
    spread = f" Of {len(rows)} such studies, one unlike those taken." if len(rows) > 1 else ""
    return [
        Choice(
            int(rows[at]), float(scores[at]), "diverse-uncertain",
            f"{undecided(question, int(rows[at]))}.{spread}",
        )
        for at in _spread_out(question, rows)
    ]  # fmt: skip


def undecided(question: Question, row: int) -> str:
    """What the model says of the finding that it is least sure of; a sentence without its stop.

    Not "undecided": where all probabilities are low, 3 % may be the one nearest to 50 %.
    """
    column = question.columns[int(uncertainty(question, np.array([row])).argmax())]
    assert question.pool.probabilities is not None
    probability = question.pool.probabilities[row, column]
    text = f"One of the model's least sure answers: {question.pool.findings[column]} {probability:.0%}"
    if question.pool.disagreement is None or not question.pool.disagreement[row, column] > 0:
        return text
    return f"{text}, its clips differ by ±{question.pool.disagreement[row, column]:.0%}"


def _spread_out(question: Question, rows: NDArray[np.int64]) -> list[int]:
    """Positions in ``rows``: up to ``n``, each the farthest from the taken ones and those before it."""
    if len(rows) <= 1:
        return list(range(len(rows)))
    from skactiveml.pool import CoreSet

    taken = np.flatnonzero(question.pool.taken & question.space.known)
    first = [] if len(taken) else [0]
    n = min(question.n, len(rows)) - len(first)
    if not n:
        return first
    points = question.space.points[np.concatenate([rows, taken])]
    # CoreSet asks of a label only whether there is one.
    known = np.full(len(points), np.nan)
    known[len(rows) :] = 0
    known[first] = 0
    candidates = np.setdiff1d(np.arange(len(rows)), first)
    picked = CoreSet(random_state=question.random_state()).query(points, known, candidates, batch_size=n)
    return first + [int(at) for at in picked]
