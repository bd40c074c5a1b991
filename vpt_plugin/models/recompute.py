"""Gradient checkpointing: maps are computed a second time in the backward pass instead of being kept.

Chen et al., Training Deep Nets with Sublinear Memory Cost, arXiv:1604.06174 (2016), by torch's own
``torch.utils.checkpoint``. The second pass draws the same random numbers as the first, and leaves the running
statistics of batch norms alone, which have counted the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


@contextmanager
def recomputed(parts: Sequence[nn.Module]) -> Iterator[None]:
    """For forward passes within: keep of these parts the inputs and outputs only.

    Args:
        parts: of a network; none of them within another.
    """
    for part in parts:
        # On the object, over the method of its class: names in the state dict stay as they are.
        part.__dict__["forward"] = partial(call_recomputed, part, part.forward)
    try:
        yield
    finally:
        for part in parts:
            del part.__dict__["forward"]


def call_recomputed(network: nn.Module, function: Callable[..., Any], *inputs: Any) -> Any:
    """What the function gives; its inside is computed a second time in the backward pass.

    Args:
        network: what the function runs.
        function: of tensors; changes none of them.
        inputs: of the function.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(network)

    return checkpoint(function, *inputs, use_reentrant=False, context_fn=contexts)


@contextmanager
def _statistics_kept(network: nn.Module) -> Iterator[None]:
    """Batch norms compute as in training, without counting the pass.

    They go on tracking, for the first pass and the second must keep the same tensors, but with a momentum of
    0, and with a count of batches that is thrown away; ``SyncBatchNorm`` wants one.
    """
    norms = [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, momentum, count in before:
            norm.momentum, norm.num_batches_tracked = momentum, count
