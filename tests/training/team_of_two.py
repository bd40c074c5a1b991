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
from vpt_plugin.training.distributed import Team, joined_team


def small_network() -> nn.Module:
    return nn.Sequential(nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4), nn.ReLU(), nn.Flatten(), nn.Linear(192, 1))


def largest_difference(team: Team) -> dict[str, float]:
    """Of gradients and statistics after one step on 8 clips: together, and by one process alone."""
    generator = torch.Generator().manual_seed(1)
    clips, wanted = (torch.randn(shape, generator=generator) for shape in ((8, 1, 5, 6, 6), (8, 1)))
    torch.manual_seed(7 + team.rank)  # each begins with its own weights: prepare gives them the first one's
    together = small_network()
    team.prepare(together)
    alone = small_network()
    alone.load_state_dict(together.state_dict())
    mine = slice(4 * team.rank, 4 * team.rank + 4)
    ((together(clips[mine]) - wanted[mine]).square().sum() / 8).backward()
    team.sum_gradients(together.parameters())
    (alone(clips) - wanted).square().mean().backward()
    pairs = zip(together.named_parameters(), alone.parameters(), strict=True)
    gradients = max(_apart(one[1].grad, other.grad) for one, other in pairs)
    statistics = zip(together.buffers(), alone.buffers(), strict=True)
    return {
        "gradients": gradients,
        "statistics": max(_apart(one, other) for one, other in statistics),
        "evaluation": _apart(copy.deepcopy(together).eval()(clips), alone.eval()(clips)),
    }


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
        "apart": largest_difference(team),
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
