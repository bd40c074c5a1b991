"""Whether a study is one for a network: looked at before it answers, refused where nothing would be meant."""

from __future__ import annotations

from types import MappingProxyType

from vpt_plugin.ct.reduced import ReducedStudy
from vpt_plugin.ct.statistics import range_warnings
from vpt_plugin.ct.suitability import UNFIT, SeenInTraining, Suitability, check_suitability
from vpt_plugin.ct.suitability.acquisition import GEOMETRY
from vpt_plugin.errors import ConfigurationError, UnsuitableStudyError
from vpt_plugin.models.card import ModelCard
from vpt_plugin.tasks import ReadingTask

REFUSE, WARN = "refuse", "warn"
UNSUITABLE: MappingProxyType[str, str] = MappingProxyType(
    {
        REFUSE: "a study for which an answer would mean nothing gets none",
        WARN: "it is answered, and the answer says so",
    }
)
ANSWERED_ANYWAY = "answered because that was asked for, although an answer about this study means nothing"
SYNTHETIC_WARNING = "this model was trained on synthetic phantoms only: for demonstration, never for patients"


def check_unsuitable(unsuitable: str) -> str:
    """What is done with a study for which an answer would mean nothing, if it is one of ``UNSUITABLE``.

    Raises:
        ConfigurationError: it is none of them.
    """
    if unsuitable not in UNSUITABLE:
        raise ConfigurationError(
            f"unknown way with unsuitable studies {unsuitable!r};", f"choose from {', '.join(UNSUITABLE)}."
        )
    return unsuitable


def fitness_of(
    study: ReducedStudy, task: ReadingTask, card: ModelCard, *, unsuitable: str = REFUSE
) -> Suitability:
    """Whether an answer for a study would mean something.

    Args:
        study: as it is shown to the network.
        task: what is to be answered.
        card: of the network.
        unsuitable: one of ``UNSUITABLE``.

    Raises:
        UnsuitableStudyError: it would mean nothing, and such studies are refused.
    """
    suitability = check_suitability(study, task, SeenInTraining(card.ranges, card.headers))
    if suitability.verdict == UNFIT and unsuitable == REFUSE:
        unfit = [check.sentence for check in suitability.checks if check.verdict == UNFIT]
        raise UnsuitableStudyError(
            study.study,
            f"{'; '.join(unfit)}.",
            "Give a CT of the chest. To have it answered all the same: --unsuitable warn on the command "
            "line; of a server, params.anyway for one question or --conf unsuitable warn for all.",
        )
    return suitability


def warnings_of(suitability: Suitability) -> tuple[str, ...]:
    """What speaks against a study, gravest first; before it, of an unfit one, that it was answered anyway."""
    anyway = [ANSWERED_ANYWAY] if suitability.verdict == UNFIT else []
    return (*anyway, *suitability.warnings)


def further_warnings(study: ReducedStudy, card: ModelCard, *, clip_slices: int) -> tuple[str, ...]:
    """What else the reader must know: of the model, of the patient's figures, and of how the study was read.

    Args:
        study: as it is shown to the network.
        card: of the network.
        clip_slices: slices of the clips that it sees.
    """
    warnings = [SYNTHETIC_WARNING] if card.synthetic else []
    if card.clip_slices != clip_slices:
        warnings.append(
            f"clips of {clip_slices} slices are not what this model was trained on "
            f"({card.clip_slices} slices)"
        )
    # How the study was taken is among the checks of its suitability.
    of_voxels = {name: ends for name, ends in card.ranges.items() if name not in GEOMETRY}
    warnings += range_warnings(study.facts, of_voxels, reduced=study.provenance.reduced_from_mm is not None)
    return (*warnings, *study.provenance.warnings)
