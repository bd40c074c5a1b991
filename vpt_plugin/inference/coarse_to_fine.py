"""Which clips of a study are looked at: all of the task's, or first few and then more where it matters.

Coarse to fine, clips side by side are looked at first, so that every slice is seen once; then those of a
finer stride around the clips that speak most for a finding or lie near its threshold. It saves most where
the fine stride is a small part of a clip: of 300 slices there are 35 clips of 32 at stride 8, and 10 side by
side.

What is computed is another set of clips than the task's, and the study's probability another number:

- the highest clip, and the mean of the three highest, can only grow with more clips, and the clips that are
  left out lie where the network spoke least. They fall short of the answer of all clips where it overlooks
  from every coarse clip what it would have seen from one between them. This is the cost, and
  ``benchmarks/overlap.py`` measures it.
- the mean of all clips would rise with every closer look at a suspicious place. It is refused.
- the slice to look at first is one of those that were looked at closely: elsewhere the word of one clip would
  be held against the mean of several.
- the spread of the clips' probabilities is that of the clips computed, more of which lie where the network
  speaks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.clips import clip_starts
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.spec import ModelSpec
from vpt_plugin.tasks import ReadingTask

TASK_STRIDE, COARSE_TO_FINE = "task", "coarse-to-fine"
# Per finding, so many of the highest coarse clips are looked around: as many as the mean of three takes.
HIGHEST = 3
# And those whose probability is no further than this from the threshold, on either side.
NEAR_THRESHOLD = 0.1
_NUMBER = re.compile("[0-9]{1,4}")
_GROWING = ("max", "top3_mean")

Probabilities = NDArray[np.float64]
AnswerClips = Callable[[Sequence[int]], Probabilities]


@dataclass(frozen=True)
class SeenClips:
    """The clips of one study that were looked at.

    Attributes:
        starts: their first slices, ascending; together they cover the study.
        probabilities: (clips, findings).
        closely: bool (findings, slices), where the slice to look at first is looked for.
    """

    starts: list[int]
    probabilities: Probabilities
    closely: NDArray[np.bool_]


class Look(Protocol):
    """Chooses the clips of a study."""

    @property
    def note(self) -> str:
        """What a reader should know of it, one sentence; empty where it is the task's own way."""

    def look(self, slices: int, answer: AnswerClips) -> SeenClips:
        """Look at a study.

        Args:
            slices: how many it has.
            answer: from first slices of clips, ascending, to their probabilities (clips, findings).
        """


@dataclass(frozen=True)
class EveryClip:
    """The task's own way: clips of one stride.

    Attributes:
        length: slices of a clip.
        stride: slices from the start of one clip to the start of the next.
    """

    length: int
    stride: int
    note: str = ""

    def look(self, slices: int, answer: AnswerClips) -> SeenClips:
        """See ``Look``."""
        starts = clip_starts(slices, length=self.length, stride=self.stride)
        probabilities = answer(starts)
        return SeenClips(starts, probabilities, np.ones((probabilities.shape[1], slices), dtype=np.bool_))


@dataclass(frozen=True)
class CoarseToFine:
    """Clips side by side, then finer ones around those that matter.

    Attributes:
        length: slices of a clip.
        stride: from one fine clip to the next.
        thresholds: of the findings, in their order.
    """

    length: int
    stride: int
    thresholds: tuple[float, ...]

    @property
    def note(self) -> str:
        """See ``Look``."""
        return (
            f"read coarse to fine: clips of {self.length} slices side by side, and every {self.stride} "
            "slices around those that matter; clips at that stride all along may give another probability"
        )

    def look(self, slices: int, answer: AnswerClips) -> SeenClips:
        """See ``Look``; ``answer`` is called twice, or once where nothing finer is left."""
        coarse = clip_starts(slices, length=self.length, stride=self.length)
        first = answer(coarse)
        chosen = self.chosen(first)
        fine = self.finer(slices, coarse, chosen)
        second = answer(fine) if fine else first[:0]
        order = np.argsort([*coarse, *fine])
        return SeenClips(
            [[*coarse, *fine][index] for index in order],
            np.concatenate([first, second])[order],
            np.stack([self._seen(slices, coarse, each) for each in chosen.T]),
        )

    def chosen(self, probabilities: Probabilities) -> NDArray[np.bool_]:
        """The coarse clips to look around, (clips, findings): the highest, and those near the threshold."""
        clips = len(probabilities)
        rank = np.argsort(np.argsort(-probabilities, axis=0, kind="stable"), axis=0)
        near = np.abs(probabilities - np.asarray(self.thresholds)) <= NEAR_THRESHOLD
        return np.asarray((rank < min(HIGHEST, clips)) | near)

    def finer(self, slices: int, coarse: Sequence[int], chosen: NDArray[np.bool_]) -> list[int]:
        """The starts of fine clips around chosen coarse ones, no further than half a clip from one.

        So, wherever in a chosen clip something lies, a fine clip has it in its middle.
        """
        around = [start for start, any_finding in zip(coarse, chosen.any(axis=1), strict=True) if any_finding]
        return [
            start
            for start in clip_starts(slices, length=self.length, stride=self.stride)
            if start not in coarse and any(2 * abs(start - each) <= self.length for each in around)
        ]

    def _seen(self, slices: int, coarse: Sequence[int], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The slices of the chosen clips."""
        seen = np.zeros(slices, dtype=np.bool_)
        for start in np.asarray(coarse)[chosen]:
            seen[start : start + self.length] = True
        return seen


def choose_look(stride: str, task: ReadingTask, spec: ModelSpec, card: ModelCard) -> Look:
    """How the studies of a task are looked at by a network.

    Args:
        stride: ``task``; ``coarse-to-fine``, whose fine stride is the task's, or a quarter of a clip where
            the task's clips overlap by less than half, which are few anyway; ``coarse-to-fine:8`` for
            another one.
        task: says how a study is cut and how clips become the study's probability.
        spec: of the network; one that sees single slices has nothing between them.
        card: has the thresholds.

    Raises:
        ConfigurationError: as ``check_stride``, or the fine stride is not finer than a clip.
    """
    finer = check_stride(stride, task)
    numbers = spec.clip_numbers(task.clips)
    if stride == TASK_STRIDE or spec.shape_rule.single_slice:
        return EveryClip(numbers.length, numbers.stride)
    quarter = max(1, numbers.length // 4)
    fine = finer or (numbers.stride if 2 * numbers.stride <= numbers.length else quarter)
    if fine >= numbers.length:
        raise ConfigurationError(
            f"the stride {stride} is not finer than a clip of {spec.name}, which has {numbers.length} "
            "slices: nothing would be looked at closer.",
            f"Give a smaller one, such as {COARSE_TO_FINE}:{quarter}.",
        )
    return CoarseToFine(numbers.length, fine, tuple(map(card.threshold, task.findings)))


def check_stride(stride: str, task: ReadingTask) -> int | None:
    """Refuse a stride that means nothing, or gives no answer that can be compared; the number in it.

    Args:
        stride: as of ``choose_look``.
        task: whose studies are to be read.

    Raises:
        ConfigurationError: names what there is.
    """
    name, colon, number = stride.partition(":")
    finer = int(number) if _NUMBER.fullmatch(number) else 0
    if stride not in (TASK_STRIDE, COARSE_TO_FINE) and not (name == COARSE_TO_FINE and finer):
        raise ConfigurationError(
            f"unknown stride {stride[:50]!r};",
            f"choose from {TASK_STRIDE}, {COARSE_TO_FINE}, {COARSE_TO_FINE}:8 (or another number of slices).",
        )
    if name == COARSE_TO_FINE and task.aggregation not in _GROWING:
        raise ConfigurationError(
            f"the stride {stride} does not go with the task {task.name}: its probability is the "
            f"{task.aggregation} of all clips, which every closer look at a suspicious place would raise.",
            f"Use the stride {TASK_STRIDE}; coarse to fine goes with {' and '.join(_GROWING)}.",
        )
    return finer if colon else None
