"""From the probabilities of the clips to the study's, and to the slice that speaks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float64]


def _top3_mean(clips: Probabilities) -> Probabilities:
    return np.asarray(np.sort(clips, axis=0)[-3:].mean(axis=0))


# The names are those of vpt_plugin.tasks.AGGREGATIONS; max is the paper's.
_RULES: MappingProxyType[str, Callable[[Probabilities], Probabilities]] = MappingProxyType(
    {
        "max": lambda clips: np.asarray(clips.max(axis=0)),
        "mean": lambda clips: np.asarray(clips.mean(axis=0)),
        "top3_mean": _top3_mean,
    }
)


def study_probability(clips: Probabilities, rule: str) -> Probabilities:
    """The study's probability per finding.

    Args:
        clips: (clips, findings), each in [0, 1].
        rule: one of ``vpt_plugin.tasks.AGGREGATIONS``.

    Returns:
        (findings,).
    """
    return _RULES[rule](clips)


def study_probabilities(clips: Probabilities, studies: NDArray[np.int64], rule: str) -> Probabilities:
    """The probabilities of several studies.

    Args:
        clips: (clips, findings), each in [0, 1], in any order.
        studies: (clips,), the number of the study each clip is of, from 0 and without a gap.
        rule: one of ``vpt_plugin.tasks.AGGREGATIONS``.

    Returns:
        (studies, findings).
    """
    ends = np.cumsum(np.bincount(studies))[:-1]
    own = np.split(clips[np.argsort(studies, kind="stable")], ends)
    return np.stack([study_probability(each, rule) for each in own])


def slice_evidence(
    clips: NDArray[np.float64], starts: Sequence[int], *, length: int, slices: int
) -> Probabilities:
    """For every slice, the mean probability of the clips that see it.

    Args:
        clips: (clips,), one finding.
        starts: first slice of each clip.

    Returns:
        (slices,).
    """
    total = np.zeros(slices)
    seen = np.zeros(slices)
    for start, probability in zip(starts, clips, strict=True):
        total[start : start + length] += probability
        seen[start : start + length] += 1
    return np.asarray(total / seen)


def key_slice(evidence: Probabilities) -> int:
    """The slice to look at first: the middle of the first run of highest evidence."""
    best = np.flatnonzero(np.isclose(evidence, evidence.max(), rtol=0, atol=1e-9))
    run_end = next((i for i in range(1, len(best)) if best[i] != best[i - 1] + 1), len(best))
    return int(best[:run_end][run_end // 2])
