"""Comparison: a new version beside the served one, on the same validation studies."""

from __future__ import annotations

from dataclasses import dataclass

from .estimate import Estimate, read_estimate
from .fields import Fields


@dataclass(frozen=True)
class Comparison:
    """Two versions side by side.

    Attributes:
        figure: what was compared, such as ``auroc``.
        served, candidate: the figure of each.
        gain: candidate minus served.
        better: whether that is enough by the rule of the training.
        sentence: the same in words.
    """

    figure: str
    served: Estimate
    candidate: Estimate
    gain: Estimate
    better: bool
    sentence: str


def read_comparison(fields: Fields) -> Comparison:
    """The comparison in an outcome, or in a version."""
    return Comparison(
        figure=fields.text("figure"),
        served=fields.part("served", read_estimate),
        candidate=fields.part("candidate", read_estimate),
        gain=fields.part("gain", read_estimate),
        better=fields.flag("better"),
        sentence=fields.text("sentence"),
    )
