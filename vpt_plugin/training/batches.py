"""Which bags a step of a training learns from: the n-th batch is the same bags whenever it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator


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
