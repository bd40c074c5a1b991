"""Does a conformal decision keep its promise? How often is the true state left in?

Of n + 1 exchangeable studies each has any rank with equal chance, so how many of m more are left in is
beta-binomially distributed, whatever the network is worth (Angelopoulos & Bates, Found Trends Mach Learn
2023, section 3.2). Over random splits of studies that are there this is exact: a mean below its interval is a
mistake in the computation. That the studies chose the network's epoch and temperature, splits
among them cannot show; a locked test set does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom

from vpt_plugin.inference.conformal import p_values
from vpt_plugin.models.conformal_record import (
    ConformalRecord,
    ConformalScores,
    MeasuredCoverage,
    StateCoverage,
)
from vpt_plugin.training.validation_record import ValidatedStudy

SPLITS = 200
ERROR_RATES = (0.05, 0.1, 0.2)
_SEED = 0
# Of the studies of a state so many decide about the rest: nearly as many as decide in use, so that the share
# of unsure ones is nearly that in use.
_DECIDING = 0.8

Floats = NDArray[np.float64]
Sides = tuple[Floats, Floats]


def conformal_record(
    findings: Sequence[str], validated: Sequence[ValidatedStudy], *, folds: bool
) -> ConformalRecord:
    """What a card keeps for conformal decisions, with its coverage over random splits.

    Args:
        findings: in their order.
        validated: studies with what networks said that never saw them.
        folds: see ``ConformalRecord``.
    """
    scores = {name: _scores(validated, name) for name in findings}
    measured = {name: coverage_over_splits(each) for name, each in scores.items()}
    return ConformalRecord(scores, folds, measured)


def coverage_over_splits(
    scores: ConformalScores,
    error_rates: Sequence[float] = ERROR_RATES,
    *,
    splits: int = SPLITS,
    seed: int = _SEED,
) -> tuple[MeasuredCoverage, ...]:
    """The coverage where four fifths of the studies of each state decide about the rest, over random splits.

    Args:
        scores: of studies of different patients.
        error_rates: of the decisions.
        splits: how many.
        seed: of the splits.

    Returns:
        Per error rate.
    """
    rng = np.random.default_rng(seed)
    both = np.array(scores.present), np.array(scores.absent)
    shares = np.stack(
        [_shares(_divided(rng, both[0]), _divided(rng, both[1]), error_rates) for _ in range(splits)]
    )
    sizes = [(deciding, len(each) - deciding) for each in both for deciding in [_deciding(len(each))]]
    return _measured(shares.mean(axis=0), sizes, error_rates, splits)


def coverage_on(
    scores: ConformalScores, tested: ConformalScores, error_rates: Sequence[float] = ERROR_RATES
) -> tuple[MeasuredCoverage, ...]:
    """The coverage of a version's decisions about studies that nothing was chosen by, per error rate.

    Args:
        scores: by which it decides.
        tested: what it says of the others, of different patients.
        error_rates: of the decisions.
    """
    sides = [
        (np.array(own), np.array(asked))
        for own, asked in ((scores.present, tested.present), (scores.absent, tested.absent))
    ]
    sizes = [(len(own), len(asked)) for own, asked in sides]
    return _measured(_shares(sides[0], sides[1], error_rates), sizes, error_rates, 1)


def one_per_patient(
    patients: Sequence[str], order: Sequence[str], probabilities: Sequence[float]
) -> list[float]:
    """The probabilities of studies of one state, one per patient: studies of one patient are too alike.

    Args:
        patients: whose each is.
        order: of a patient's studies the one whose text comes first counts. It must not have to do with the
            probabilities.
        probabilities: of the studies.
    """
    chosen: dict[str, tuple[str, float]] = {}
    for patient, text, probability in zip(patients, order, probabilities, strict=True):
        if patient not in chosen or text < chosen[patient][0]:
            chosen[patient] = (text, probability)
    return [probability for _, probability in chosen.values()]


def state_coverage(
    coverage: float, calibrating: int, tested: int, error_rate: float, *, sets: int
) -> StateCoverage:
    """A mean share over so many sets of tested studies, with what exchangeable studies would give."""
    ruled_out = sum(rank / (calibrating + 1) <= error_rate for rank in range(1, calibrating + 2))
    left_in = calibrating + 1 - ruled_out
    expected = left_in / (calibrating + 1)
    if not ruled_out:
        return StateCoverage(coverage, 1.0, (1.0, 1.0), (1.0, 1.0), calibrating, tested)
    one = betabinom(tested, left_in, ruled_out)
    low, high = (float(each) / tested for each in one.interval(0.95))
    if sets == 1:
        return StateCoverage(coverage, expected, (low, high), (low, high), calibrating, tested)
    apart = 1.96 * float(one.std()) / tested / math.sqrt(sets)
    around = (max(0.0, expected - apart), min(1.0, expected + apart))
    return StateCoverage(coverage, expected, around, (low, high), calibrating, tested)


def _scores(validated: Sequence[ValidatedStudy], finding: str) -> ConformalScores:
    states = []
    for state in (1.0, 0.0):
        of_state = [each for each in validated if each.states[finding] == state]
        states.append(
            one_per_patient(
                [each.seen.patient for each in of_state],
                [each.seen.scan for each in of_state],
                [each.probabilities[finding] for each in of_state],
            )
        )
    return ConformalScores.of(*states)


def _deciding(studies: int) -> int:
    return int(_DECIDING * studies)


def _divided(rng: np.random.Generator, scores: Floats) -> Sides:
    shuffled, deciding = rng.permutation(scores), _deciding(len(scores))
    return np.sort(shuffled[:deciding]), shuffled[deciding:]


def _shares(present: Sides, absent: Sides, error_rates: Sequence[float]) -> Floats:
    """What comes of deciding about studies of both states; nan where there are none of a state.

    Args:
        present, absent: the probabilities that decide, ascending, and those decided about.

    Returns:
        (error rates, 4): the share of present and of absent studies whose own state is left in, and the
        share of unsure ones among either.
    """
    rates = np.asarray(error_rates)[:, np.newaxis]
    kept, unsure = [], []
    for number, asked in enumerate((present[1], absent[1])):
        left = [each > rates for each in p_values(present[0], absent[0], asked)]
        kept.append(_mean(left[number]))
        unsure.append(_mean(left[0] == left[1]))
    return np.stack([*kept, *unsure], axis=1)


def _mean(found: NDArray[np.bool_]) -> Floats:
    """Per row; nan, and no warning, of none."""
    return found.mean(axis=1) if found.shape[1] else np.full(len(found), math.nan)


def _measured(
    shares: Floats, sizes: Sequence[tuple[int, int]], error_rates: Sequence[float], splits: int
) -> tuple[MeasuredCoverage, ...]:
    measured = []
    for rate, row in zip(error_rates, shares, strict=True):
        present, absent = (
            state_coverage(float(share), own, asked, rate, sets=splits) if own and asked else None
            for share, (own, asked) in zip(row[:2], sizes, strict=True)
        )
        # Both states weigh the same: how rare a finding is says nothing of the network.
        unsure = float(row[2:].mean())
        measured.append(
            MeasuredCoverage(rate, splits, present, absent, None if math.isnan(unsure) else unsure)
        )
    return tuple(measured)
