"""check_suitability: all checks of a study, in their order."""

from __future__ import annotations

from vpt_plugin.ct.reduced import ReducedStudy
from vpt_plugin.ct.suitability.acquisition import acquisition_checks
from vpt_plugin.ct.suitability.chest import WHOLE, chest_checks
from vpt_plugin.ct.suitability.contrast import check_contrast
from vpt_plugin.ct.suitability.header import header_checks, names_chest
from vpt_plugin.ct.suitability.lungs import find_lungs
from vpt_plugin.ct.suitability.seen import SeenInTraining
from vpt_plugin.ct.suitability.values import value_checks
from vpt_plugin.ct.suitability.verdict import FITS, Suitability
from vpt_plugin.tasks import ReadingTask


def check_suitability(study: ReducedStudy, task: ReadingTask, seen: SeenInTraining) -> Suitability:
    """Whether an answer for a study would mean something.

    Args:
        study: reduced to any size.
        task: what is to be answered.
        seen: what the network that answers was trained on.
    """
    lungs, header = find_lungs(study), study.provenance.header
    # Shifted values explain much of what else is found, and are told before it.
    checks = list(value_checks(lungs, study.levels))
    tissue = all(check.verdict == FITS for check in checks if check.name == "tissue")
    chest = list(chest_checks(lungs, a_chest_by_header=tissue and names_chest(header)))
    checks += chest
    checks += header_checks(header, chest[0], seen)
    checks += acquisition_checks(study.facts, header, seen)
    if task.contrast_phase == "pulmonary_arterial":
        whole = all(not check.warns for check in chest if check.name in WHOLE)
        checks.append(check_contrast(lungs, header, whole=whole))
    return Suitability(tuple(checks))
