"""Whether a study is one that an answer means something for: looked at before a network does.

    suitability = check_suitability(study, task, SeenInTraining(card.ranges, card.headers))
    suitability.verdict     # fits, doubtful, unfit
    suitability.warnings    # in words

Everything is found in the reduced slices and in what the header says; torch is not needed.
"""

from vpt_plugin.ct.suitability.check import check_suitability
from vpt_plugin.ct.suitability.seen import SeenInTraining, headers_seen
from vpt_plugin.ct.suitability.verdict import (
    DOUBTFUL,
    FITS,
    UNFIT,
    UNKNOWN,
    Check,
    Distance,
    Suitability,
)

__all__ = [
    "DOUBTFUL",
    "FITS",
    "UNFIT",
    "UNKNOWN",
    "Check",
    "Distance",
    "SeenInTraining",
    "Suitability",
    "check_suitability",
    "headers_seen",
]
