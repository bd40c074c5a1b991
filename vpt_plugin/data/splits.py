"""Which side of the split a patient is on: a hash's order, and shares of every state of every finding."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

SPLITS = ("train", "validation", "test")
# Every patient counts here, whatever is known of his findings.
_ALL = ""


@dataclass(frozen=True)
class SplitShares:
    """How much of the patients goes to each side; the shares add up to 1. The default is the paper's."""

    train: float = 0.70
    validation: float = 0.15
    test: float = 0.15

    def __post_init__(self) -> None:
        shares = (self.train, self.validation, self.test)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
            raise ValueError(f"the shares must be at least 0 and add up to 1, not {shares}")


def patient_key(patient: str) -> str:
    """Tells patients apart without saying who they are: no PatientID is written down of a split."""
    return hashlib.sha256(f"vptct.patient/1\n{patient}".encode()).hexdigest()


def hash_order(patients: Collection[str]) -> list[str]:
    """Patients in an order that their names alone decide, as good as drawn."""
    return sorted(patients, key=lambda name: hashlib.sha256(f"vptct.split/1\n{name}".encode()).digest())


def divide(
    patients: Mapping[str, Collection[str]],
    shares: Mapping[str, float],
    given: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Sides for the patients who have none, so that every stratum is divided in these shares.

    The rarest stratum is shared out first, its patients in the order of their hash, each to the side that
    lacks most of it. A stratum with as many patients as there are sides is on every side, unless too many of
    its patients went elsewhere for the sake of a rarer one, or have their side already.

    Args:
        patients: their strata, such as ``lung_nodule=present``; also of those whose side is given.
        shares: of the sides; they add up to 1.
        given: the side of those who have one.

    Returns:
        The sides of the others.

    Source: Sechidis, Tsoumakas and Vlahavas, On the Stratification of Multi-Label Data, ECML PKDD 2011.
    """
    given = given or {}
    strata = {patient: (*dict.fromkeys(own), _ALL) for patient, own in patients.items()}
    whole = _counts(strata, strata)
    wanted = {stratum: _parts(count, shares) for stratum, count in whole.items()}

    def put(patient: str, side: str) -> None:
        for stratum in strata[patient]:
            wanted[stratum][side] -= 1

    for patient, side in given.items():
        put(patient, side)
    sides: dict[str, str] = {}
    waiting = hash_order(patients.keys() - given.keys())
    while waiting:
        rarest = _rarest(_counts(strata, waiting), whole)
        for patient in (each for each in waiting if rarest in strata[each]):
            lacking = wanted[rarest]
            sides[patient] = max(shares, key=lambda side: (round(lacking[side], 9), wanted[_ALL][side]))
            put(patient, sides[patient])
        waiting = [each for each in waiting if each not in sides]
    return sides


def _counts(strata: Mapping[str, Collection[str]], patients: Iterable[str]) -> Counter[str]:
    """How many of these patients each stratum has."""
    return Counter(stratum for patient in patients for stratum in strata[patient])


def _parts(count: int, shares: Mapping[str, float]) -> dict[str, float]:
    parts = {side: share * count for side, share in shares.items()}
    if count >= len(shares):
        largest = max(parts, key=lambda side: parts[side])
        for side in parts:
            missing = max(0.0, 1 - parts[side])
            parts[side] += missing
            parts[largest] -= missing
    return parts


def _rarest(waiting: Mapping[str, int], whole: Mapping[str, int]) -> str:
    """The stratum with fewest patients left; of several the one that was rarest from the beginning.

    The last four patients with any embolism may be the only ones with a chronic one: these are to be shared.
    """
    return min(waiting, key=lambda stratum: (waiting[stratum], stratum == _ALL, whole[stratum], stratum))
