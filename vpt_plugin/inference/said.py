"""From what a network said of clips to what is said of the findings of a study."""

from __future__ import annotations

from vpt_plugin.ct.aggregation import key_slice, slice_evidence, study_probability
from vpt_plugin.ct.reduced import ReducedStudy
from vpt_plugin.inference.coarse_to_fine import SeenClips
from vpt_plugin.inference.prediction import ClipProbability, FindingPrediction
from vpt_plugin.models.card import ModelCard
from vpt_plugin.tasks import ReadingTask

# Below what any clip says, for slices that were not looked at closely.
_NO_EVIDENCE = -1.0


def said_of_findings(
    study: ReducedStudy, seen: SeenClips, task: ReadingTask, card: ModelCard, *, length: int
) -> tuple[FindingPrediction, ...]:
    """What is said of every finding of a study, in the task's order.

    Args:
        study: the slices that the clips are of.
        seen: the clips and their probabilities.
        task: says how clips become the study's probability.
        card: has the thresholds.
        length: slices of a clip.
    """
    probabilities = study_probability(seen.probabilities, task.aggregation)
    findings = []
    for index, name in enumerate(task.findings):
        evidence = slice_evidence(
            seen.probabilities[:, index], seen.starts, length=length, slices=study.slices
        )
        evidence[~seen.closely[index]] = _NO_EVIDENCE
        findings.append(
            FindingPrediction(
                name=name,
                probability=float(probabilities[index]),
                threshold=card.threshold(name),
                key_slice_mm=float(study.slice_z_mm[key_slice(evidence)]),
                clips=_clips(study, seen, index, length),
            )
        )
    return tuple(findings)


def _clips(study: ReducedStudy, seen: SeenClips, finding: int, length: int) -> tuple[ClipProbability, ...]:
    z_mm = study.slice_z_mm
    # A study shorter than a clip was filled up with air, which the answer does not tell about.
    last = [min(start + length, study.slices) - 1 for start in seen.starts]
    return tuple(
        ClipProbability(first, end, (float(z_mm[first]), float(z_mm[end])), float(probability))
        for first, end, probability in zip(seen.starts, last, seen.probabilities[:, finding], strict=True)
    )
