"""``random``: an order that depends on nothing but the studies' ids and a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.acquisition.pool import Choice
from vpt_plugin.acquisition.question import Question

WHY = "By chance, so that what is found can be told of all studies."


def random_order(studies: Sequence[str], seed: int) -> NDArray[np.int64]:
    """The positions of ``studies`` in the order in which ``random`` takes them.

    The order of SHA-256 of seed and id: the same after a restart, and of two studies the same one comes first
    when others have joined them. Since nothing of a study's content is in it, the first ``k`` of all studies
    are a random sample of them, also where some of the ``k`` were labelled for another reason: whoever
    estimates a prevalence takes the labelled ones among the first ``k``, not those alone that were chosen by
    chance, for the uncertain ones were taken out of what chance was left with.
    """
    return np.array(sorted(range(len(studies)), key=lambda row: _draw(studies[row], seed)), dtype=np.int64)


def by_chance(question: Question) -> list[Choice]:
    """The first free ones of the random order; the score falls from 1 to 0 along the order of all studies."""
    studies = question.pool.studies
    rows = np.flatnonzero(question.pool.free)
    order = rows[random_order([studies[row] for row in rows], question.seed)]
    return [
        Choice(
            int(row), 1 - int.from_bytes(_draw(studies[row], question.seed)[:8], "big") / 2**64, "random", WHY
        )
        for row in order[: question.n]
    ]


def _draw(study: str, seed: int) -> bytes:
    return hashlib.sha256(f"vptct.random-order/1\n{seed}\n{study}".encode()).digest()
