"""TrainingStep: one optimizer step on a batch of bags, in as many pieces as the memory asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vpt_plugin.errors import DeviceMemoryError, DivergedError, TrainingError
from vpt_plugin.models.device import out_of_memory
from vpt_plugin.models.recompute import call_recomputed, recomputed
from vpt_plugin.training.bag_loss import bag_cross_entropy
from vpt_plugin.training.distributed import Team
from vpt_plugin.training.micro_batch import clips_at_once
from vpt_plugin.training.placement import MixedPrecision

_NOT_FINITE_HINT = "Try a lower learning rate, or precision float32."


class TrainingStep:
    """One optimizer step on a batch of bags.

    Bags go through the network together as long as their clips are not more than ``micro_batch``; a bag that
    has more goes through in pieces that are computed a second time for their gradients. The gradients add up
    to those of the whole batch; only what a network does across clips (batch norm), and what it draws at
    random for each (dropout), depends on the pieces.

    Args:
        network: is trained.
        optimizer: of its parameters.
        inferer: calls the network.
        pooling: from the clips of a bag to the bag.
        recompute: parts of the network whose inside is computed a second time instead of being kept.
        told: what the user should know.
        team: the processes that do the step together, each on its share of the batch; None: this one alone.

    Attributes:
        micro_batch: clips at once at most; None measures how many fit before the next step.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        inferer: MixedPrecision,
        *,
        pooling: str,
        recompute: Sequence[nn.Module] = (),
        told: Callable[[str], None] = lambda note: None,
        team: Team | None = None,
    ) -> None:
        self.micro_batch: int | None = None
        self._network = network
        self._optimizer = optimizer
        self._inferer = inferer
        self._pooling = pooling
        self._recompute = recompute
        self._told = told
        self._team = team or Team()

    def __call__(self, clips: Tensor, labels: Tensor, bag: Tensor) -> float:
        """Do the step.

        Args:
            clips: (clips, 1, slices, rows, columns), bag after bag.
            labels: (bags, findings), 1, 0 or nan where not known.
            bag: (clips,), the number of each clip's bag, ascending from 0.

        Returns:
            The loss of the batch.

        Raises:
            DivergedError: the loss or a gradient is no finite number; the network stays as it was.
            TrainingError: a bag that several processes cannot take to pieces.
            DeviceMemoryError: not even one clip fits into the memory, or not what the optimizer keeps of each
                weight; or the memory is full in one of several processes.
        """
        self._network.train()
        loss = self._fitting_gradients(clips, labels, bag)
        if not math.isfinite(loss):
            raise DivergedError(f"the loss became {loss}", _NOT_FINITE_HINT)
        self._check_gradients()
        self._take_step(clips.device)
        return loss

    def _take_step(self, device: torch.device) -> None:
        try:
            self._optimizer.step()
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            # The first step makes Adam's moments, when nothing of the clips is kept any more: fewer clips
            # would not help. Some weights may have changed already, so that it cannot be done again.
            raise DeviceMemoryError(
                f"the memory of {device} does not take what the optimizer keeps of every weight",
                "Close other programs that use it, train the head alone, or choose a smaller network.",
            ) from error

    def _fitting_gradients(self, clips: Tensor, labels: Tensor, bag: Tensor) -> float:
        """The gradients, in smaller pieces than before where the memory is full; gives the loss."""
        while True:
            before = _Before(self._network, clips.device)
            try:
                if self.micro_batch is None:
                    self.micro_batch = self._measured(clips)
                return self._gradients(clips, labels, bag, self.micro_batch)
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                if self._team.size > 1:
                    raise self._full(clips.device) from error
            # Only here: as long as the error is handled, it holds on to the maps of the pass that failed.
            self._halve(min(self.micro_batch or 1, len(clips)), clips.device)
            before.restore()

    def _measured(self, clips: Tensor) -> int:
        # What is recomputed can be left out of the count only where the memory itself is measured.
        forward = self._logits if clips.device.type == "cuda" else self._plain_logits
        return self._team.least(clips_at_once(forward, self._network, clips[:1]))

    def _full(self, device: torch.device) -> DeviceMemoryError:
        # The others are in the middle of the step and wait for this one's share: it is too late to halve.
        if self.micro_batch is None:
            return DeviceMemoryError(
                f"the memory of {device} was full when it was measured how many clips it takes",
                "Close other programs that use it, set gradient_checkpointing, or choose a smaller network.",
            )
        if self.micro_batch == 1:
            return _not_one_clip(device)
        return DeviceMemoryError(
            f"the memory of {device} is full with {self.micro_batch} clips at once",
            f"Set micro_batch to {self.micro_batch // 2}, or use a smaller batch.",
        )

    def _halve(self, tried: int, device: torch.device) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        if tried == 1:
            raise _not_one_clip(device)
        self.micro_batch = tried // 2
        self._told(
            f"the memory of {device} is full: from now on {self.micro_batch} clips at once, not {tried}."
        )

    def _gradients(self, clips: Tensor, labels: Tensor, bag: Tensor, micro_batch: int) -> float:
        """Add up the gradients of all bags; gives the loss."""
        self._optimizer.zero_grad(set_to_none=True)
        (known,) = self._team.total(int((~labels.isnan()).sum()))
        total = torch.zeros((), device=labels.device)
        sizes = torch.bincount(bag).tolist()
        ends = [0, *accumulate(sizes)]
        for first, last in self._bags_at_once(sizes, micro_batch):
            here = slice(ends[first], ends[last])
            logits = self._logits_in_pieces(clips[here], micro_batch)
            mean = bag_cross_entropy(logits, labels[first:last], bag[here] - first, self._pooling)
            # The mean over the batch is that of its parts, each weighted by the labels that are known in it.
            loss = mean * (int((~labels[first:last].isnan()).sum()) / known)
            torch.autograd.backward(loss)
            total += loss.detach()
        self._team.sum_gradients(self._network.parameters())
        return self._team.total(float(total))[0]

    def _bags_at_once(self, sizes: Sequence[int], micro_batch: int) -> list[tuple[int, int]]:
        """Which bags go together; in all processes as many groups, for batch norm waits for all of them."""
        groups = list(_bags_at_once(sizes, micro_batch))
        if self._team.size == 1:
            return groups
        if (largest := self._team.most(max(sizes))) > micro_batch:
            raise TrainingError(
                f"several processes do not take a bag to pieces, but there is one of {largest} clips and "
                f"only {micro_batch} go at once",
                "Lower bag_clips, set gradient_checkpointing, or train in one process.",
            )
        return _split(groups, self._team.most(len(groups)))

    def _logits_in_pieces(self, clips: Tensor, micro_batch: int) -> Tensor:
        if len(clips) <= micro_batch:
            return self._logits(clips)
        pieces = [
            call_recomputed(self._network, self._logits, each) for each in torch.split(clips, micro_batch)
        ]
        return torch.cat(pieces)

    def _logits(self, clips: Tensor) -> Tensor:
        with recomputed(self._recompute):
            return self._plain_logits(clips)

    def _plain_logits(self, clips: Tensor) -> Tensor:
        return self._inferer(clips, self._network)

    def _check_gradients(self) -> None:
        named = [
            (name, each.grad) for name, each in self._network.named_parameters() if each.grad is not None
        ]
        # One number for all: to look at each would wait for the device as often.
        if torch.nn.utils.get_total_norm([gradient for _, gradient in named]).isfinite():
            return
        name = next((name for name, gradient in named if not gradient.isfinite().all()), "the whole network")
        raise DivergedError(f"the gradient of {name} is no finite number", _NOT_FINITE_HINT)


def _not_one_clip(device: torch.device) -> DeviceMemoryError:
    return DeviceMemoryError(
        f"the memory of {device} does not take a single clip",
        "Close other programs that use it, set gradient_checkpointing, train the head alone, "
        "or choose a smaller network.",
    )


class _Before:
    """What a forward pass changes and a second try must not find changed.

    Random numbers are drawn again as they were; running statistics count the clips of a step once.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._device = device
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        self._statistics = [(each, each.clone()) for norm in norms for each in norm.buffers()]

    def restore(self) -> None:
        torch.set_rng_state(self._cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._cuda, self._device)
        for buffer, value in self._statistics:
            buffer.copy_(value)


def _split(groups: Sequence[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """As many groups of bags, made by halving the largest ones."""
    groups = list(groups)
    while len(groups) < count:
        largest = max(range(len(groups)), key=lambda number: groups[number][1] - groups[number][0])
        first, last = groups[largest]
        middle = (first + last) // 2
        groups[largest : largest + 1] = [(first, middle), (middle, last)]
    return groups


def _bags_at_once(sizes: Sequence[int], micro_batch: int) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) of bags that go together: at most ``micro_batch`` clips, or a single bag.

    Args:
        sizes: clips of each bag.
        micro_batch: clips at once.
    """
    first, clips = 0, 0
    for number, size in enumerate(sizes):
        if number > first and clips + size > micro_batch:
            yield first, number
            first, clips = number, 0
        clips += size
    yield first, len(sizes)
