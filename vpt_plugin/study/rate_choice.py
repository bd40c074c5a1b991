"""Which learning rate the search cells choose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from vpt_plugin.errors import DivergedError, TrainingError
from vpt_plugin.study.cell_records import CellResult


def choose_rate(tried: Sequence[CellResult]) -> CellResult:
    """The search cell of the highest validation AUROC, of equal ones that of the lowest log loss.

    Args:
        tried: the cells of one search; their AUROC is the mean over the findings.

    Raises:
        DivergedError: no rate kept the loss a number.
        TrainingError: those that did have no AUROC to be compared by.
    """
    trained = [each for each in tried if not each.diverged]
    if not trained:
        raise DivergedError(
            f"no learning rate that was tried kept the loss a number: {_names(tried)}.",
            "Try smaller learning rates, or precision float32.",
        )
    kept = [each for each in trained if not math.isnan(_auroc(each))]
    if not kept:
        findings = [name for name, each in trained[0].validation_auroc.items() if math.isnan(each.value)]
        raise TrainingError(
            f"no learning rate can be chosen by the validation AUROC of {', '.join(findings)}, which is "
            f"undefined: {_names(trained)}. All validation studies that could be used have one and the same "
            "state.",
            "See which validation studies were left out, or label more of the other state.",
        )
    return max(kept, key=lambda each: (_auroc(each), -each.validation_log_loss))


def _auroc(result: CellResult) -> float:
    return fmean(each.value for each in result.validation_auroc.values())


def _names(results: Sequence[CellResult]) -> str:
    return ", ".join(each.cell.id for each in results)
