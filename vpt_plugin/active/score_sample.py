"""Which studies are scored, and in which order."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from vpt_plugin.active.job import DEFAULT_LIMIT


def studies_to_score(
    studies: Iterable[str], labelled: Collection[str], *, limit: int = DEFAULT_LIMIT, seed: int = 0
) -> list[str]:
    """Which studies are scored, in which order: unlabelled ones first, for they are waited for.

    The order is that of a hash: where a limit cuts it, or a scoring is looked at half way, what is scored is
    a random sample. A label changes nothing of the sample, and a study that comes later pushes few others
    out.

    Args:
        studies: ids of all studies.
        labelled: those with a label of the task.
        limit: the size of the sample; labelled studies outside it are scored, too, at most as many.
        seed: of the order.
    """
    ordered = sorted(studies, key=lambda each: hashlib.sha256(f"{seed}\n{each}".encode()).digest())
    unlabelled = [each for each in ordered[:limit] if each not in labelled]
    return [*unlabelled, *[each for each in ordered if each in labelled][:limit]]


def told_of_sample(scored: int, there: int) -> tuple[str, ...]:
    """The warning that not all studies are scored, where they are not.

    Args:
        scored: how many are.
        there: how many there are.
    """
    if scored == there:
        return ()
    return (f"the network has looked at {scored} of {there} studies, drawn at random",)
