"""Who is held out and who may be chosen, drawn anew for every seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.errors import TrainingError

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Sides:
    """Rows of the studies; no patient is on both sides.

    Attributes:
        pool: that may be chosen.
        test: that the network is measured on and never learns from.
    """

    pool: Rows
    test: Rows


def draw_sides(
    studies: Sequence[LabelledStudy], seed: int, *, test_share: float, prevalence: float | None = None
) -> Sides:
    """The sides of one seed.

    Patients with a finding and patients without any are drawn apart, so that the share of both held out is
    the same for every seed.

    Args:
        studies: all that are labelled.
        seed: of what is drawn.
        test_share: of the patients, to hold out.
        prevalence: as of ``SimulationSettings``.

    Raises:
        TrainingError: of a finding there is no held-out study with it or without it, or none to choose from.
    """
    rng = np.random.default_rng((seed, 0))
    shows = np.array([bool((study.states == 1).any()) for study in studies])
    with_finding = {study.patient for study, shown in zip(studies, shows, strict=True) if shown}
    held_out: set[str] = set()
    for group in (with_finding, {study.patient for study in studies} - with_finding):
        order = rng.permutation(np.array(sorted(group), dtype=object))
        held_out.update(order[: round(len(order) * test_share)])
    of_test = np.array([study.patient in held_out for study in studies])
    pool = np.flatnonzero(~of_test)
    if prevalence is not None:
        pool = _thinned(pool, shows, prevalence, rng)
    sides = Sides(pool, np.flatnonzero(of_test))
    _require_both_states(studies, sides)
    return sides


def _thinned(pool: Rows, shows: NDArray[np.bool_], prevalence: float, rng: np.random.Generator) -> Rows:
    """The pool without as many studies of one state as make that share."""
    present, absent = rng.permutation(pool[shows[pool]]), rng.permutation(pool[~shows[pool]])
    wanted = round(len(absent) * prevalence / (1 - prevalence))
    if wanted <= len(present):
        present = present[:wanted]
    else:
        absent = absent[: round(len(present) * (1 - prevalence) / prevalence)]
    return np.sort(np.concatenate([present, absent]))


def _require_both_states(studies: Sequence[LabelledStudy], sides: Sides) -> None:
    for rows, which in ((sides.test, "held out"), (sides.pool, "left to choose from")):
        states = np.array([studies[row].states for row in rows]).reshape(len(rows), len(studies[0].states))
        present, absent = ((states == state).sum(axis=0) for state in (1, 0))
        if not ((present > 0) & (absent > 0)).all():
            counts = "; ".join(
                f"{shown} present, {free} absent" for shown, free in zip(present, absent, strict=True)
            )
            raise TrainingError(
                f"of {len(studies)} labelled studies {len(rows)} are {which}, and of some finding one state "
                f"is missing there ({counts}).",
                "Take another share to hold out (test_share) or another prevalence, or label more studies.",
            )
