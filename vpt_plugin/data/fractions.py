"""Which studies of the training side belong to a fraction of it: 10 %, 1 %, each a part of the larger one."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.errors import ConfigurationError

# What a patient is counted under of whom nothing is known.
_UNKNOWN = ""


def take_fraction(
    studies: Mapping[str, tuple[str, Collection[str]]], percent: float, seed: int = 0
) -> tuple[str, ...]:
    """The studies of one fraction, as ``take_fractions`` has them.

    Returns:
        Their names, sorted; whole patients only.

    Raises:
        ConfigurationError: ``percent`` is no share.
    """
    return take_fractions(studies, (percent,), seed)[percent]


def take_fractions(
    studies: Mapping[str, tuple[str, Collection[str]]], percents: Sequence[float], seed: int = 0
) -> dict[float, tuple[str, ...]]:
    """The studies of fractions of the patients, in which every state of every finding keeps its share.

    All patients are put into one order, of which a fraction is the beginning: so a smaller fraction is part
    of every larger one. First come patients who show each state once, the rarest first; then always one who
    brings the shares of the states nearest to those of the whole. Among patients of the same states a hash
    decides, so that nothing depends on the order of the studies.

    Args:
        studies: of the training side: patient, and strata such as ``lung_nodule=present``, by study.
        percents: of the patients, above 0 and up to 100. The nearest whole number of patients is taken; more
            where it takes more to show every state.
        seed: another one takes other patients.

    Returns:
        By percent their names, sorted; whole patients only.

    Raises:
        ConfigurationError: a percent is no share.
    """
    for percent in percents:
        if not 0 < percent <= 100:
            raise ConfigurationError(
                f"a fraction of the studies is above 0 and up to 100 %, not {percent:g} %."
            )
    strata: dict[str, set[str]] = {}
    for patient, own in studies.values():
        strata.setdefault(patient, set()).update(own)
    # As a fraction: 10 % of 15 is exactly 1.5, which is rounded up.
    wanted = {each: int(Fraction(str(each)) * len(strata) / 100 + Fraction(1, 2)) for each in percents}
    order, first = _in_order(strata, seed, max(wanted.values(), default=0))
    return {percent: _of_patients(studies, order[: max(wanted[percent], first)]) for percent in percents}


def _of_patients(
    studies: Mapping[str, tuple[str, Collection[str]]], patients: Iterable[str]
) -> tuple[str, ...]:
    taken = set(patients)
    return tuple(sorted(study for study, (patient, _) in studies.items() if patient in taken))


def _in_order(strata: Mapping[str, Collection[str]], seed: int, most: int) -> tuple[list[str], int]:
    """So many patients in the order in which they are taken, and how many of them show every state.

    It takes time by the number of patients taken and of groups of states: no more are put in order than are
    wanted, and once for all fractions.
    """
    if not strata:
        return [], 0
    alike: dict[tuple[str, ...], list[str]] = {}
    for patient in sorted(strata, key=lambda name: _hash(name, seed), reverse=True):
        alike.setdefault(tuple(sorted(strata[patient])) or (_UNKNOWN,), []).append(patient)
    # By their next patient, so that a tie is decided by a hash.
    groups = sorted(alike, key=lambda group: _hash(alike[group][-1], seed))
    names = sorted({stratum for group in groups for stratum in group})
    has = np.array([[name in group for name in names] for group in groups], dtype=np.float64)
    queue = _Queue(has, [len(alike[group]) for group in groups])
    while (missing := queue.rarest_missing()) is not None:
        queue.take(has[:, missing] > 0)
    first = len(queue.taken)
    while len(queue.taken) < most:
        queue.take(np.ones(len(groups), dtype=np.bool_))
    return [alike[groups[index]].pop() for index in queue.taken], first


class _Queue:
    """Takes groups of patients with the same states, one patient at a time.

    Args:
        has: (groups, states), 1 where the patients of a group show a state.
        sizes: patients per group.
    """

    def __init__(self, has: NDArray[np.float64], sizes: Collection[int]) -> None:
        self.taken: list[int] = []
        self._has = has
        self._left = np.array(list(sizes))
        self._whole = self._left @ has
        self._so_far = np.zeros(has.shape[1])
        self._patients = int(self._left.sum())

    def rarest_missing(self) -> int | None:
        """The rarest state that nobody taken shows; None where all are shown."""
        missing = np.flatnonzero(self._so_far == 0)
        return int(missing[np.argmin(self._whole[missing])]) if missing.size else None

    def take(self, allowed: NDArray[np.bool_]) -> None:
        """Take a patient of the allowed group that leaves the states nearest to their share of the whole."""
        exact = self._whole * (len(self.taken) + 1) / self._patients
        # Chi-square: a patient too many weighs more with a rare state. Rounded, or the last digit decides.
        distance = np.round(((self._so_far + self._has - exact) ** 2 / self._whole).sum(axis=1), 9)
        group = int(np.argmin(np.where(allowed & (self._left > 0), distance, np.inf)))
        self.taken.append(group)
        self._left[group] -= 1
        self._so_far += self._has[group]


def _hash(patient: str, seed: int) -> bytes:
    return hashlib.sha256(f"vptct.fraction/1\n{seed}\n{patient}".encode()).digest()
