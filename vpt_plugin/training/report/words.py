"""Figures in words, as the rest of VPTCT writes them; n/a for what is undefined."""

from __future__ import annotations

import math

from vpt_plugin.models.card import Estimate
from vpt_plugin.words import in_a_sentence


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


def finding_in_words(finding: str) -> str:
    """``Lung nodule`` of ``lung_nodule``."""
    return in_a_sentence(finding).capitalize()
