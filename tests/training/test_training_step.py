from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vpt_plugin.errors import DeviceMemoryError, DivergedError
from vpt_plugin.training.distributed import Team
from vpt_plugin.training.micro_batch import clips_at_once, saved_bytes
from vpt_plugin.training.placement import MixedPrecision, Placement
from vpt_plugin.training.step import TrainingStep

CPU = Placement(torch.device("cpu"), torch.float32)
FULL = "CUDA out of memory. Tried to allocate 2.00 GiB."


def small_network(*, norm: bool = False, dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv3d(1, 3, 3, padding=1)]
    if norm:
        layers.append(nn.BatchNorm3d(3))
    return nn.Sequential(
        *layers, nn.ReLU(), nn.AdaptiveAvgPool3d(2), nn.Flatten(), nn.Dropout(dropout), nn.Linear(24, 2)
    )


def a_batch(sizes: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Clips, labels (one of them not known), and the bag of each clip."""
    generator = torch.Generator().manual_seed(1)
    clips = torch.rand(sum(sizes), 1, 4, 6, 6, generator=generator)
    labels = torch.randint(0, 2, (len(sizes), 2), generator=generator).float()
    labels[0, 1] = math.nan
    return clips, labels, torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))


def stepped(
    network: nn.Module, batch: tuple[Tensor, Tensor, Tensor], micro_batch: int | None, **facts: object
) -> tuple[float, dict[str, Tensor]]:
    """The loss of a step, and the gradients it was made with."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    step = TrainingStep(network, optimizer, MixedPrecision(CPU), pooling="lse", **facts)  # type: ignore[arg-type]
    step.micro_batch = micro_batch
    loss = step(*batch)
    return loss, {
        name: each.grad.clone() for name, each in network.named_parameters() if each.grad is not None
    }


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 5, 9, None])
@pytest.mark.parametrize("sizes", [(1,) * 9, (4, 1, 3, 1), (9,)])
def test_pieces_of_any_size_give_the_loss_and_gradients_of_the_whole_batch(
    sizes: tuple[int, ...], micro_batch: int | None
) -> None:
    loss, gradients = stepped(small_network(), a_batch(sizes), 100)
    in_pieces, added_up = stepped(small_network(), a_batch(sizes), micro_batch)
    assert in_pieces == pytest.approx(loss, abs=1e-6)
    assert gradients.keys() == added_up.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(added_up[name], gradient, atol=1e-6, rtol=1e-5)


def test_no_more_clips_than_the_micro_batch_are_in_the_network_at_once() -> None:
    seen: list[int] = []
    network = small_network()
    network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    stepped(network, a_batch((4, 1, 3, 1)), 3)
    # The bag of 4 goes in pieces of 3 and 1, and again, the last one first, for their gradients. Then those
    # of 1, 3 and 1 by themselves, for two of them together would be 4.
    assert seen == [3, 1, 1, 3, 1, 3, 1]


class FillsUp(nn.Module):
    """A network for which the memory is full with more than ``fits`` clips; it remembers what was tried."""

    def __init__(self, network: nn.Module, fits: int) -> None:
        super().__init__()
        self.network, self.fits = network, fits
        self.tried: list[int] = []

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.network(clips)
        self.tried.append(len(clips))
        if len(clips) > self.fits:
            raise torch.OutOfMemoryError(FULL)
        return logits


def test_where_memory_is_full_the_step_is_done_again_with_the_same_clips_in_halves() -> None:
    told: list[str] = []
    loss, gradients = stepped(small_network(), a_batch((1,) * 8), 8)
    network = FillsUp(small_network(), fits=3)
    again, halved = stepped(network, a_batch((1,) * 8), 8, told=told.append)
    assert network.tried == [8, 4, 2, 2, 2, 2]
    assert again == pytest.approx(loss, abs=1e-6)
    for name, gradient in gradients.items():
        torch.testing.assert_close(halved[f"network.{name}"], gradient, atol=1e-6, rtol=1e-5)
    assert told == [
        "the memory of cpu is full: from now on 4 clips at once, not 8.",
        "the memory of cpu is full: from now on 2 clips at once, not 4.",
    ]


def test_a_pass_that_failed_is_counted_by_no_batch_norm_and_draws_no_random_number() -> None:
    def trained(fits: int, micro_batch: int) -> tuple[Tensor, Tensor]:
        network = FillsUp(small_network(norm=True, dropout=0.5), fits)
        torch.manual_seed(3)
        stepped(network, a_batch((1,) * 8), micro_batch)
        norm = network.network[1]
        assert isinstance(norm, nn.BatchNorm3d)
        assert norm.num_batches_tracked is not None
        assert norm.running_mean is not None
        assert int(norm.num_batches_tracked) == 8 // min(fits, micro_batch)
        return norm.running_mean.clone(), torch.rand(3)

    (failed, drawn_then), (never, drawn) = trained(fits=4, micro_batch=8), trained(fits=8, micro_batch=4)
    assert torch.equal(failed, never)
    assert torch.equal(drawn_then, drawn)


def test_where_not_one_clip_fits_the_way_out_is_told() -> None:
    with pytest.raises(DeviceMemoryError, match=r"does not take a single clip.*set gradient_checkpointing"):
        stepped(FillsUp(small_network(), fits=0), a_batch((1, 1)), 2)


def test_an_optimizer_that_finds_no_room_for_its_moments_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(optimizer: object, closure: object = None) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    monkeypatch.setattr(torch.optim.SGD, "step", full)
    with pytest.raises(DeviceMemoryError, match=r"memory of cpu does not take what the optimizer keeps"):
        stepped(small_network(), a_batch((1, 1)), 2)


@pytest.mark.parametrize(
    ("micro_batch", "told"),
    [
        (None, r"full when it was measured how many clips it takes Close other programs"),
        (8, r"full with 8 clips at once Set micro_batch to 4"),
        (1, r"does not take a single clip Close other programs"),
    ],
)
def test_in_one_of_several_processes_full_memory_is_told_as_it_was_met(
    micro_batch: int | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is said to the other process before the first pass.
    monkeypatch.setattr(Team, "total", lambda team, *numbers: numbers)
    monkeypatch.setattr(Team, "most", lambda team, number: number)
    monkeypatch.setattr("vpt_plugin.training.step.clips_at_once", _no_room)
    network = FillsUp(small_network(), fits=0)
    with pytest.raises(DeviceMemoryError, match=told):
        stepped(network, a_batch((1,) * 8), micro_batch, team=Team(size=2))


def _no_room(*_: object) -> int:
    raise torch.OutOfMemoryError(FULL)


def test_a_loss_or_gradient_that_is_no_number_is_told_and_changes_no_weight() -> None:
    clips, labels, bag = a_batch((1, 1, 1))
    network = small_network()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    with pytest.raises(DivergedError, match="the loss became nan"):
        stepped(network, (clips * math.nan, labels, bag), 4)
    network[0].weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(DivergedError, match=r"the gradient of 0\.weight is no finite number"):
        stepped(network, (clips, labels, bag), 4)
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())


def test_what_autograd_keeps_of_a_clip_is_counted_once() -> None:
    network = nn.Sequential(nn.Linear(10, 20), nn.Tanh(), nn.Tanh(), nn.Linear(20, 1))
    # Linear keeps its input (10), each tanh its own output (20 each), which is also the next one's input.
    assert saved_bytes(network, network, torch.rand(1, 10)) == 4 * (10 + 20 + 20)
    assert saved_bytes(network, network, torch.rand(3, 10)) == 3 * 4 * (10 + 20 + 20)


def test_clips_take_at_most_half_of_the_free_memory_and_are_a_power_of_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = nn.Sequential(nn.Linear(10, 20), nn.Tanh(), nn.Linear(20, 1))
    # A clip takes 120 bytes; of 1,780 half are for clips: 7 of them, so 4.
    monkeypatch.setattr("vpt_plugin.training.micro_batch._free_bytes", lambda kind: 2 * 120 * 7 + 100)
    assert clips_at_once(network, network, torch.rand(1, 10)) == 4
    monkeypatch.setattr("vpt_plugin.training.micro_batch._free_bytes", lambda kind: 2 * 120 * 8)
    assert clips_at_once(network, network, torch.rand(1, 10)) == 8
    monkeypatch.setattr("vpt_plugin.training.micro_batch._free_bytes", lambda kind: 10)
    assert clips_at_once(network, network, torch.rand(1, 10)) == 1
    assert network.training


def test_measuring_changes_neither_the_network_nor_the_random_numbers() -> None:
    network = small_network(norm=True, dropout=0.5).requires_grad_(False)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    torch.manual_seed(5)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    clips_at_once(network, network, torch.rand(1, 1, 4, 6, 6, generator=torch.Generator()))
    assert torch.equal(torch.rand(1), drawn)
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert not any(each.requires_grad or each.grad is not None for each in network.parameters())
