"""What a single number of the volume can do: a classifier that is not clearly better has learned nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from numpy.typing import ArrayLike

from vpt_plugin.training.metrics import auroc


def best_single_statistic(facts: Sequence[Mapping[str, float]], labels: ArrayLike) -> tuple[str, float]:
    """The study fact that tells present from absent best, and its AUROC.

    The direction is left open: an AUROC of 0.2 counts as 0.8. Being the best of many on the same studies, the
    figure flatters the baseline, which makes the comparison a strict one.

    Args:
        facts: per study, as ``StudyFacts.as_dict`` gives them.
        labels: (studies,), 1 present and 0 absent.

    Returns:
        Name and AUROC; ("", nan) where one of the states is missing.

    Raises:
        ValueError: no study, or no fact.
    """
    if not facts or not facts[0]:
        raise ValueError("there is no study, or no fact about it")
    figures = {name: auroc(labels, [fact[name] for fact in facts]) for name in facts[0]}
    defined = {name: max(value, 1 - value) for name, value in figures.items() if not math.isnan(value)}
    return max(defined.items(), key=lambda figure: figure[1], default=("", math.nan))
