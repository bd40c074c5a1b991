"""Figures in words, as the rest of VPTCT writes them; n/a for what is undefined."""

from __future__ import annotations

import math

from vpt_plugin.models.card import Estimate


def number_in_words(value: float) -> str:
    """Three digits after the point."""
    return "n/a" if math.isnan(value) else f"{value:.3f}"


def figure_in_words(estimate: Estimate, sign: str = "") -> str:
    """``0.912 [0.850, 0.961]``; an undefined interval is [n/a, n/a]. The sign ``+`` is for gains."""
    low, high = estimate.ci95
    if math.isnan(estimate.value):
        return "n/a"
    interval = " [n/a, n/a]" if math.isnan(low) else f" [{low:{sign}.3f}, {high:{sign}.3f}]"
    return f"{estimate.value:{sign}.3f}{interval}"


def count_in_words(number: int, one: str) -> str:
    """``1 clip``, ``2 clips``."""
    return f"{number:,} {one if number == 1 else f'{one}s'}"


def studies_in_words(number: int) -> str:
    """``1 study``, ``2 studies``."""
    return f"{number:,} {'study' if number == 1 else 'studies'}"


def finding_in_words(finding: str) -> str:
    """``Lung nodule`` of ``lung_nodule``."""
    return finding.replace("_", " ").capitalize()
