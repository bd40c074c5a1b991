"""Which learning rate the search cells choose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from vpt_plugin.errors import DivergedError
from vpt_plugin.study.results import CellResult


def choose_rate(tried: Sequence[CellResult]) -> CellResult:
    """The search cell of the highest validation AUROC, of equal ones that of the lowest log loss.

    Args:
        tried: the cells of one search; their AUROC is the mean over the findings.

    Raises:
        DivergedError: no rate kept the loss a number.
    """
    kept = [each for each in tried if not each.diverged and not math.isnan(_auroc(each))]
    if not kept:
        names = ", ".join(each.cell.id for each in tried)
        raise DivergedError(
            f"no learning rate that was tried kept the loss a number: {names}.",
            "Try smaller learning rates, or precision float32.",
        )
    return max(kept, key=lambda each: (_auroc(each), -each.validation_log_loss))


def _auroc(result: CellResult) -> float:
    return fmean(each.value for each in result.validation_auroc.values())
