"""Team: the processes that train one network together, started by torchrun, joined through Ignite.

Everything is shared out by number, nothing by chance: of the n-th batch each process takes its stretch of the
items, gradients are summed once per step and divided by what the whole batch knows, and the statistics of
batch norm are those of all clips together. So several processes do what one would do, but for the order in
which numbers are added. The first process alone reads studies, writes, compares, publishes and reports.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import ignite.distributed as idist
import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from torch import Tensor, nn

from vpt_plugin.errors import AnotherProcessFailedError, ConfigurationError, TrainingError, VptError
from vpt_plugin.training.shared_norm import share_batch_norm
from vpt_plugin.training.torchrun import torchrun_size

_T = TypeVar("_T")
_Number = TypeVar("_Number", bound=np.generic)
# The others wait while the first process prepares thousands of studies. That a process died is noticed by
# torchrun, not by waiting.
_WAIT = timedelta(days=3)


@dataclass(frozen=True)
class Team:
    """The processes of one training; by default this one alone, for which every call costs nothing.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
        device: on which this process computes, and through which it talks to the others.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this is the process that reads, writes and reports."""
        return self.rank == 0

    def check(self, batch: int) -> None:
        """Refuse a batch that cannot be shared out evenly.

        Raises:
            ConfigurationError: it cannot; names those that can.
        """
        if batch % self.size:
            below = batch - batch % self.size
            choices = [str(each) for each in (below, below + self.size) if each >= max(2, self.size)]
            raise ConfigurationError(
                f"a batch of {batch} cannot be shared out evenly to {self.size} processes;",
                f"choose a batch of {' or '.join(choices)}.",
            )

    def stretch(self, batch: int) -> range:
        """Which items of a batch this process takes: the first one the first ones, and so on.

        Stretches, not every second item: positive and negative ones take turns, and one process would get all
        positive ones.
        """
        self.check(batch)
        mine = batch // self.size
        return range(self.rank * mine, (self.rank + 1) * mine)

    def every(self, count: int) -> range:
        """The numbers of the clips, of so many, that this process validates: one in ``size``.

        Raises:
            ConfigurationError: there is not one for each process.
        """
        if count < self.size:
            raise ConfigurationError(
                f"{count} validation clips cannot be shared out to {self.size} processes;",
                "start fewer processes.",
            )
        return range(self.rank, count, self.size)

    def together(self, mine: NDArray[_Number]) -> NDArray[_Number]:
        """What all processes found for the clips that ``every`` shared out, in the order of the clips."""
        if self.size == 1:
            return mine
        parts = self.gathered(mine)
        rows = np.empty((sum(map(len, parts)), *mine.shape[1:]), mine.dtype)
        for rank, part in enumerate(parts):
            rows[rank :: self.size] = part
        return rows

    def from_first(self, make: Callable[[], _T]) -> _T:
        """What the first process makes, in all of them; it has to be picklable.

        Raises:
            AnotherProcessFailedError: in the others, where the first one raised a ``VptError``.
        """
        if self.size == 1:
            return make()
        told: list[Any] = [None]
        if not self.first:
            with _broken_connection():
                torch.distributed.broadcast_object_list(told, src=0)
            if told[0][0] == "failed":
                raise AnotherProcessFailedError(told[0][1])
            made: _T = told[0][1]
            return made
        try:
            made = make()
        except VptError as error:
            with _broken_connection():
                torch.distributed.broadcast_object_list([("failed", error.message)], src=0)
            raise
        with _broken_connection():
            torch.distributed.broadcast_object_list([("made", made)], src=0)
        return made

    def gathered(self, mine: _T) -> list[_T]:
        """What each process has, in their order; it has to be picklable."""
        if self.size == 1:
            return [mine]
        everyones: list[Any] = [None] * self.size
        with _broken_connection():
            torch.distributed.all_gather_object(everyones, mine)
        return everyones

    def total(self, *numbers: float) -> tuple[float, ...]:
        """The sums of some numbers over all processes."""
        if self.size == 1:
            return numbers
        return tuple(self._reduced(torch.tensor(numbers, dtype=torch.float64), "SUM").tolist())

    def most(self, number: int) -> int:
        """The largest over all processes."""
        return number if self.size == 1 else int(self._reduced(torch.tensor([number]), "MAX").item())

    def least(self, number: int) -> int:
        """The smallest over all processes."""
        return -self.most(-number)

    def any(self, flag: bool) -> bool:
        """Whether any process says so: all of them stop together, or none."""
        return bool(self.most(int(flag)))

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum what every process found for its share of the batch, once per step, after accumulation."""
        gradients = [each.grad for each in parameters if each.grad is not None]
        if self.size == 1 or not gradients:
            return
        summed = self._reduced(torch.cat([each.flatten() for each in gradients]), "SUM")
        parts = torch.split(summed, [each.numel() for each in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def agreed(self, error: VptError) -> VptError:
        """An error that all processes meet alike: the first one alone says it, the others only end."""
        return error if self.first else AnotherProcessFailedError(error.message)

    def prepare(self, network: nn.Module) -> None:
        """Begin alike: the first process's weights in all, and batch norm over the clips of all."""
        if self.size == 1:
            return
        for entry in network.state_dict().values():
            with _broken_connection():
                # What comes over the wire does not always lie in memory as the parameter does.
                entry.copy_(idist.broadcast(entry.detach().to(self.device).contiguous(), src=0))
        share_batch_norm(network, self.device)

    def require_shared(self, files: Sequence[Path], what: str) -> None:
        """Check that every process sees the first one's files.

        Raises:
            TrainingError: on this computer they are not there.
        """
        missing = next((each for each in files if not each.exists()), None)
        if missing is not None:
            raise TrainingError(
                f"process {self.rank} on {idist.hostname()} does not see {what}: {missing}.",
                "Several computers need one shared folder: set VPTCT_HOME to it on all of them.",
            )

    def _reduced(self, values: Tensor, operation: str) -> Tensor:
        with _broken_connection():
            reduced: Tensor = idist.all_reduce(values.to(self.device).clone(), operation)
        return reduced.to(values.device)


@contextmanager
def joined_team(device: torch.device, environment: Mapping[str, str] = os.environ) -> Iterator[Team]:
    """The processes that torchrun started together with this one; this one alone where it did not.

    Args:
        device: on which to compute; of several GPUs each process of a computer takes its own.
        environment: where torchrun says who is who.

    Raises:
        ConfigurationError: there are more processes than GPUs on this computer.
    """
    if torchrun_size(environment) == 1:
        yield Team(device=device)
        return
    device = _own_device(device, int(environment["LOCAL_RANK"]))
    with _broken_connection():
        idist.initialize("nccl" if device.type == "cuda" else "gloo", timeout=_WAIT)
    try:
        yield Team(idist.get_rank(), idist.get_world_size(), device)
    except BaseException:
        # NCCL would wait for the others, who may be waiting for this process in the middle of a step. They
        # notice when it ends. Gloo waits for nobody, but its threads crash a process that ends with them.
        if device.type != "cuda":
            idist.finalize()
        raise
    idist.finalize()


def _own_device(device: torch.device, local_rank: int) -> torch.device:
    if device.type != "cuda":
        return device
    if local_rank >= torch.cuda.device_count():
        raise ConfigurationError(
            f"process {local_rank + 1} of this computer finds no GPU of its own:",
            f"there are {torch.cuda.device_count()}; start torchrun with --nproc_per_node of that.",
        )
    return torch.device("cuda", local_rank)


@contextmanager
def _broken_connection() -> Iterator[None]:
    """Another process is gone: it says why itself, so here only the end is told."""
    try:
        yield
    except RuntimeError as error:
        raise AnotherProcessFailedError(
            f"another process of this training ended: {str(error).splitlines()[0]}",
            "See what it said, on its own computer if there are several.",
        ) from error
