"""``auto``: the strategy that goes with what is known so far, and a share by chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vpt_plugin.acquisition.chance import by_chance
from vpt_plugin.acquisition.pool import Choice
from vpt_plugin.acquisition.question import Question
from vpt_plugin.acquisition.typical import typical
from vpt_plugin.acquisition.uncertain import diverse_uncertain

# Of a finding that a site hardly has, or never, not enough will ever be labelled. After so many times
# ``min_each`` labelled studies a trained network chooses all the same.
LONG_ENOUGH = 20


def auto(question: Question) -> list[Choice]:
    """``typical`` until each state of each finding has enough labels, ``diverse-uncertain`` from then on.

    Where one state stays rare the cold start ends, too, once ``LONG_ENOUGH`` times as many studies are
    labelled as each needs, and a trained network has scored those to choose from.

    Each pick is by chance instead with the probability ``random_share``, for an estimate that the other
    strategies' taste does not bias. Where fewer studies are scored than asked for, the rest is by chance.
    """
    # Of the studies that there are: shares of more would fill a short list with chance.
    question = replace(question, n=min(question.n, int(question.pool.free.sum())))
    drawn = question.rng.random(question.n) < question.auto.random_share
    chance = by_chance(replace(question, n=int(drawn.sum()))) if drawn.any() else []
    rest = _without(question, chance, question.n - len(chance))
    chosen, phase = _by_phase(rest) if rest.n else ([], "")
    more = _without(rest, chosen, rest.n - len(chosen))
    scored = question.space.known[question.pool.free]
    unscored = f"By chance: {int(scored.sum())} of {len(scored)} studies to choose from are scored so far."
    filled = [replace(choice, why=unscored) for choice in by_chance(more)] if more.n else []
    by_taste = [replace(choice, why=f"{choice.why} {phase}".rstrip()) for choice in chosen] + filled
    return _interleaved(list(drawn), chance, by_taste)


def _by_phase(question: Question) -> tuple[list[Choice], str]:
    """The choices of the phase that the labels are in, and a sentence on it."""
    missing = _missing(question)
    if question.has_probabilities and not missing:
        return diverse_uncertain(question), ""
    labelled = len(question.labelled)
    if question.has_probabilities and labelled >= LONG_ENOUGH * question.auto.min_each:
        ended = f"The cold start ended with {labelled} labels; still missing: {missing}."
        return diverse_uncertain(question), ended
    if not question.has_embeddings:
        return [], ""
    waiting = f"Still needed: {missing}." if missing else "No trained network has scored these studies yet."
    return typical(question), waiting


def _missing(question: Question) -> str:
    """Labels without which the cold start goes on: ``nodule 3 present, 1 absent``; empty for none."""
    parts = []
    for column in question.columns:
        states = question.pool.states[:, column]
        lacking = {
            "present": question.auto.min_each - int((states == 1).sum()),
            "absent": question.auto.min_each - int((states == 0).sum()),
        }
        if wanted := ", ".join(f"{count} {state}" for state, count in lacking.items() if count > 0):
            parts.append(f"{question.pool.findings[column]} {wanted}")
    return "; ".join(parts)


def _without(question: Question, chosen: list[Choice], n: int) -> Question:
    """The question for ``n`` more, when ``chosen`` are taken."""
    free, taken = question.pool.free.copy(), question.pool.taken.copy()
    rows = np.array([choice.row for choice in chosen], dtype=np.int64)
    free[rows], taken[rows] = False, True
    return replace(question, n=n, pool=replace(question.pool, free=free, taken=taken))


def _interleaved(drawn: list[bool], chance: list[Choice], others: list[Choice]) -> list[Choice]:
    """Each pick at its place: by chance where that was drawn."""
    left, right = iter(chance), iter(others)
    places = [next(left if by_chance else right, None) for by_chance in drawn]
    return [choice for choice in places if choice is not None]
