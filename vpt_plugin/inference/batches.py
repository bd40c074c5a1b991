"""Clips of a study, so many at once as the device's memory takes, and what is done when it takes fewer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from vpt_plugin.errors import CancelledError, WeightsError
from vpt_plugin.inference.batch_size import BatchSize
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.device import out_of_memory

Computed = TypeVar("Computed")


def in_batches(
    batch: BatchSize,
    starts: Sequence[int],
    compute: Callable[[Sequence[int]], Computed],
    *,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Computed]:
    """What is computed of the clips of a study, batch by batch, in their order.

    Args:
        batch: says how many at once; told what the memory takes.
        starts: the clips' first slices.
        compute: of the clips that start there.
        progress: called after every batch with the clips done and the clips in all.
        cancelled: asked before every batch.

    Raises:
        CancelledError: ``cancelled`` said so.
        DeviceMemoryError: not even one clip fits.
    """
    done = 0
    while done < len(starts):
        if cancelled is not None and cancelled():
            raise CancelledError
        batch.before_batch()
        tried = starts[done : done + batch.clips]
        computed = _unless_out_of_memory(compute, tried)
        if computed is None:
            batch.halve(len(tried))
            continue
        batch.after_batch()
        done += len(tried)
        yield computed
        if progress is not None:
            progress(done, len(starts))


def require_numbers(logits: torch.Tensor, card: ModelCard) -> None:
    """Refuse what is no number.

    Raises:
        WeightsError: names the version that said it.
    """
    if not torch.isfinite(logits).all():
        raise WeightsError(
            f"{card.task}/{card.model} version {card.version} gave what is no number; its weights are "
            "damaged or its training went astray.",
            "Use another version, or train it again.",
        )


def _unless_out_of_memory(
    compute: Callable[[Sequence[int]], Computed], starts: Sequence[int]
) -> Computed | None:
    """What is computed of some clips; None when the memory does not take so many."""
    try:
        return compute(starts)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        # Nothing is tried again in here: as long as the exception lives, so do the tensors it failed on.
        return None
