"""Run by torchrun in two processes: each writes down what it got, as JSON, for ``test_distributed``."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vpt_plugin.errors import AnotherProcessFailedError, TrainingError
from vpt_plugin.models.recompute import call_recomputed
from vpt_plugin.training.distributed import Team, joined_team
from vpt_plugin.training.placement import MixedPrecision, Placement
from vpt_plugin.training.step import TrainingStep


def small_network(norm: nn.Module | None = None) -> nn.Module:
    norm = copy.deepcopy(norm or nn.BatchNorm3d(4))
    return nn.Sequential(nn.Conv3d(1, 4, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(192, 1))


def largest_difference(team: Team, *, recomputed: bool) -> dict[str, float]:
    """Of gradients and statistics after one pass over 8 clips: together, and by one process alone."""
    generator = torch.Generator().manual_seed(1)
    clips, wanted = (torch.randn(shape, generator=generator) for shape in ((8, 1, 5, 6, 6), (8, 1)))
    torch.manual_seed(7 + team.rank)  # each begins with its own weights: prepare gives them the first one's
    together, alone = small_network(), small_network()
    team.prepare(together)
    alone.load_state_dict(together.state_dict())
    mine = slice(4 * team.rank, 4 * team.rank + 4)
    logits = call_recomputed(together, together, clips[mine]) if recomputed else together(clips[mine])
    ((logits - wanted[mine]).square().sum() / 8).backward()
    team.sum_gradients(together.parameters())
    (alone(clips) - wanted).square().mean().backward()
    return {
        "gradients": _gradients_apart(together, alone),
        "statistics": max(map(_apart, together.buffers(), alone.buffers())),
        "evaluation": _apart(together.eval()(clips), alone.eval()(clips)),
    }


def step_apart(team: Team) -> dict[str, float]:
    """A step on bags of 4, 1, 1, 1 clips in the first process and of single ones in the second, 4 at once.

    So the first goes through its bags in two groups, the second could do with one, and batch norm would wait
    for ever. Without batch norm the gradients are those of one process.
    """
    sizes = [4, 1, 1, 1, 1, 1, 1, 1]
    bag = torch.repeat_interleave(torch.arange(8), torch.tensor(sizes))
    clips = torch.randn((11, 1, 5, 6, 6), generator=torch.Generator().manual_seed(2))
    labels = torch.tensor([[1.0], [0.0], [1.0], [float("nan")], [1.0], [0.0], [0.0], [1.0]])
    mine = (bag >= 4 * team.rank) & (bag < 4 * team.rank + 4)
    losses = {}
    for name, norm in (("plain", nn.Identity()), ("batch norm", nn.BatchNorm3d(4))):
        torch.manual_seed(3)
        networks = small_network(norm), small_network(norm)
        networks[1].load_state_dict(networks[0].state_dict())
        team.prepare(networks[0])
        steps = [_step(networks[0], team), _step(networks[1], Team())]
        together = steps[0](clips[mine], labels[4 * team.rank :][:4], bag[mine] - 4 * team.rank)
        alone = steps[1](clips, labels, bag)
        losses[name] = abs(together - alone)
        if name == "plain":
            losses["gradients"] = _gradients_apart(*networks)
    return losses


def _step(network: nn.Module, team: Team) -> TrainingStep:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    inferer = MixedPrecision(Placement(torch.device("cpu"), torch.float32))
    step = TrainingStep(network, optimizer, inferer, pooling="max", team=team)
    step.micro_batch = 4
    return step


def _gradients_apart(one: nn.Module, other: nn.Module) -> float:
    return max(_apart(a.grad, b.grad) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def _apart(one: Tensor | None, other: Tensor | None) -> float:
    assert one is not None
    assert other is not None
    return float((one - other).detach().abs().max())


def failure_of_the_first(team: Team) -> dict[str, str]:
    def fail() -> None:
        raise TrainingError("no room for prepared studies.", "Make room.")

    try:
        team.from_first(fail)
    except TrainingError as error:
        return {"kind": type(error).__name__, "message": error.message}
    raise AssertionError


def facts(team: Team) -> dict[str, Any]:
    return {
        "size": team.size,
        "stretch": list(team.stretch(8)),
        "validated": list(team.every(5)),
        "total": team.total(1.0, team.rank),
        "any": [team.any(team.rank == 1), team.any(False)],
        "most": team.most(10 * team.rank),
        "least": team.least(10 * team.rank - 3),
        "from_first": team.from_first(lambda: {"rank": team.rank}),
        "gathered": team.gathered(f"rank {team.rank}"),
        "failure": failure_of_the_first(team),
        "apart": largest_difference(team, recomputed=False),
        "recomputed apart": largest_difference(team, recomputed=True),
        "step apart": step_apart(team),
    }


def after_the_other_is_gone(team: Team) -> str:
    """What the first process is told when the second one ended in the middle of a step."""
    if not team.first:
        return ""
    try:
        team.total(1.0)
    except AnotherProcessFailedError as error:
        return error.message
    raise AssertionError


if __name__ == "__main__":
    with joined_team(torch.device("cpu")) as team:
        found = facts(team) | {"gone": after_the_other_is_gone(team)}
        (Path(sys.argv[1]) / f"{team.rank}.json").write_text(json.dumps(found))
        sys.exit()  # as after an error: nobody may be left to say good-bye to
