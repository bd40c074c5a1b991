"""Comparison: a new version beside the served one, on the same validation studies."""

from __future__ import annotations

from dataclasses import dataclass

from .estimate import Estimate, read_estimate
from .fields import Fields


@dataclass(frozen=True)
class Comparison:
    """Two versions side by side.

    Attributes:
        figure: what was compared, such as ``auroc``; None where there were too few studies to compare on.
        served, candidate: the figure of each; None with it.
        gain: candidate minus served; None with it.
        better: whether that is enough by the rule of the training.
        sentence: the same in words.
    """

    figure: str | None
    served: Estimate | None
    candidate: Estimate | None
    gain: Estimate | None
    better: bool
    sentence: str


def read_comparison(fields: Fields) -> Comparison:
    """The comparison in an outcome, or in a version."""
    return Comparison(
        figure=fields.maybe(fields.text, "figure"),
        served=fields.part_or_none("served", read_estimate),
        candidate=fields.part_or_none("candidate", read_estimate),
        gain=fields.part_or_none("gain", read_estimate),
        better=fields.flag("better"),
        sentence=fields.text("sentence"),
    )
