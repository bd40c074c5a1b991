"""Which bags a step of a training learns from: the n-th batch is the same bags whenever it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vpt_plugin.data.bags import collate_bags
from vpt_plugin.training.distributed import Team

Clips = Dataset[dict[str, Tensor]]


class Batches:
    """The numbers of the bags of every step, from the step on that comes next.

    Args:
        next_step: from 0; asked when the batches are begun.
        steps: in all.
        batch: bags per step.
        mine: which of them this process takes, see ``Team.stretch``.
    """

    def __init__(self, next_step: Callable[[], int], steps: int, batch: int, mine: range) -> None:
        self._next_step = next_step
        self._steps = steps
        self._batch = batch
        self._mine = mine

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self._next_step(), self._steps):
            yield [step * self._batch + place for place in self._mine]


def bag_loader(bags: Clips, batches: Batches) -> DataLoader[dict[str, Tensor]]:
    """The bags of every step, put together as ``collate_bags`` does."""
    # Its own generator: the one that draws dropout would otherwise move on with every new iterator.
    return DataLoader(bags, batch_sampler=batches, collate_fn=collate_bags, generator=torch.Generator())


def clip_loader(clips: Clips, batch: int, team: Team) -> DataLoader[dict[str, Tensor]]:
    """The clips of a validation that this process takes, so many at a time."""
    share = team.every(len(clips))  # type: ignore[arg-type]
    return DataLoader(clips, batch_size=batch, sampler=share, generator=torch.Generator())
