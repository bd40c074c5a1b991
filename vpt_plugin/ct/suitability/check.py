"""check_suitability: all checks of a study, in their order."""

from __future__ import annotations

from vpt_plugin.ct.reduced import ReducedStudy
from vpt_plugin.ct.suitability.chest import chest_checks
from vpt_plugin.ct.suitability.lungs import find_lungs
from vpt_plugin.ct.suitability.seen import SeenInTraining
from vpt_plugin.ct.suitability.verdict import Suitability
from vpt_plugin.tasks import ReadingTask


def check_suitability(study: ReducedStudy, task: ReadingTask, seen: SeenInTraining) -> Suitability:
    """Whether an answer for a study would mean something.

    Args:
        study: reduced to any size.
        task: what is to be answered.
        seen: what the network that answers was trained on.
    """
    lungs = find_lungs(study)
    return Suitability(tuple(chest_checks(lungs)))
