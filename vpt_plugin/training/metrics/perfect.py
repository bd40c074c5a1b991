"""What to think of an AUROC without an interval: few studies come into perfect order by chance, too.

A bootstrap sees no spread there. But of all orders of n studies, k of them present, one in "n over k" has all
present ones first, and a network that knows nothing gives each as often as any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from vpt_plugin.models.card import Estimate
from vpt_plugin.words import in_a_sentence

# Rarer than one time in so many, a perfect order is no chance.
_RARE = 1000


def perfect_by_chance(present: int, absent: int) -> float:
    """How often a network that knows nothing orders so many studies perfectly: from 0 to 1."""
    return 1 / math.comb(present + absent, present)


def few_studies_warning(
    finding: str, auroc: Estimate, labels: ArrayLike, patients: Sequence[str] | None = None
) -> str:
    """What is to be said of an AUROC that looks certain because there are few studies; "" where it is not so.

    Args:
        finding: whose AUROC it is.
        auroc: with its interval.
        labels: (studies,), 1 present and 0 absent.
        patients: (studies,), whose each is; studies of one patient are alike, so patients count. None makes
            each its own.
    """
    if math.isnan(auroc.value) or not math.isnan(auroc.ci95[0]):
        return ""
    states = np.asarray(labels)
    names = np.arange(len(states)).astype(str) if patients is None else np.asarray(patients)
    name = in_a_sentence(finding)
    present, absent = (len(np.unique(names[states == state])) for state in (1, 0))
    counted = ("study", "studies") if len(np.unique(names)) == len(states) else ("patient", "patients")
    of = f"The AUROC is of {present} {counted[present != 1]} with and {absent} without {name} only"
    if auroc.value not in (0.0, 1.0):
        return f"{of}, and resampling them shows no spread: how far it is from the truth is not known."
    if perfect_by_chance(present, absent) <= 1 / _RARE:
        return ""
    does = "does as well" if auroc.value else "goes as wrong"
    tries = math.comb(present + absent, present)
    return f"{of}, so few that guessing alone {does} in 1 of {tries} tries. Label more studies."
