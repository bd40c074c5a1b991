"""A look at the network that folds publish: trained on all studies, it was never validated.

How good it is cannot be measured on what it learned from. Whether its answers are all the same can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.data.clip_dataset import ClipShape, LabelledStudy
from vpt_plugin.data.splits import hash_order
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.answers import answers
from vpt_plugin.training.collapse import has_collapsed
from vpt_plugin.training.metrics import bootstrap_auroc
from vpt_plugin.training.outcome import Outcome
from vpt_plugin.training.placement import Placement
from vpt_plugin.words import in_a_sentence

_PER_STATE = 10


def look_at_final(
    outcome: Outcome,
    classifier: Classifier,
    studies: Sequence[LabelledStudy],
    shape: ClipShape,
    *,
    task: ReadingTask,
    placement: Placement,
    told: Callable[[int, int], None] = lambda done, clips: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Outcome:
    """The outcome of folds, collapsed and with a warning where the network gives its own studies one answer.

    Args:
        outcome: as the folds have it.
        classifier: the network that is published.
        studies: that it was trained on; it is asked about a few of each state.
        shape: of the clips.
        task: that it reads for.
        placement: of the network.
        told, cancelled: as of ``clip_logits``, with its errors.
    """
    asked = few_of_each_state(studies)
    said = answers(
        classifier, asked, shape,
        task=task, temperature=1.0, placement=placement, told=told, cancelled=cancelled,
    )  # fmt: skip
    warnings = [
        warning for index, name in enumerate(task.findings) if (warning := _warning(name, asked, said, index))
    ]
    if not warnings:
        return outcome
    return replace(outcome, collapsed=True, warnings=(*warnings, *outcome.warnings))


def few_of_each_state(studies: Sequence[LabelledStudy]) -> tuple[LabelledStudy, ...]:
    """Up to ten studies of each state of each finding, the same ones every time; in their order."""
    order = hash_order([study.study for study in studies])
    by_name = {study.study: study for study in studies}
    chosen: set[str] = set()
    for finding in range(len(studies[0].states)):
        for state in (1.0, 0.0):
            of_state = [name for name in order if by_name[name].states[finding] == state]
            chosen.update(of_state[:_PER_STATE])
    return tuple(study for study in studies if study.study in chosen)


def _warning(finding: str, asked: Sequence[LabelledStudy], said: NDArray[np.float64], index: int) -> str:
    """What is to be said where the answers are constant; "" where they are not."""
    known = [n for n, study in enumerate(asked) if not np.isnan(study.states[index])]
    probabilities = said[known, index]
    states = [asked[n].states[index] for n in known]
    auroc = bootstrap_auroc(states, probabilities, [asked[n].patient for n in known])
    if not has_collapsed(probabilities, auroc):
        return ""
    name = in_a_sentence(finding)
    return (
        f"The training has collapsed: the network trained on all studies after the folds gives {name} "
        f"nearly the same probability in {len(known)} studies that it learned from "
        f"({probabilities.min():.4f} to {probabilities.max():.4f}). The figures are those of the folds and "
        "do not hold for it. Try a lower learning rate or another seed."
    )
