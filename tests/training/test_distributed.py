"""Processes that train together share out the work by number, and find what one process would find."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from vpt_plugin.errors import ConfigurationError, TrainingError
from vpt_plugin.training.distributed import Team, joined_team

SCRIPT = Path(__file__).parent / "team_of_two.py"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two real processes found, see ``team_of_two.py``."""
    folder = tmp_path_factory.mktemp("team")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", SCRIPT, folder],
        capture_output=True, text=True, check=False, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


def test_each_takes_its_stretch_of_every_batch(two: list[dict[str, Any]]) -> None:
    # Every second item would be all positive ones for one of them.
    assert [each["stretch"] for each in two] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_validation_is_shared_out(two: list[dict[str, Any]]) -> None:
    assert [each["validated"] for each in two] == [[0, 2, 4], [1, 3]]


def test_all_know_what_one_knows(two: list[dict[str, Any]]) -> None:
    for each in two:
        assert each["size"] == 2
        assert each["total"] == [2.0, 1.0]
        assert each["any"] == [True, False]
        assert (each["most"], each["least"]) == (10, -3)
        assert each["from_first"] == {"rank": 0}
        assert each["gathered"] == ["rank 0", "rank 1"]


def test_a_failure_of_the_first_ends_the_others_which_say_nothing_of_their_own(
    two: list[dict[str, Any]],
) -> None:
    words = "no room for prepared studies."
    assert two[0]["failure"] == {"kind": "TrainingError", "message": words}
    assert two[1]["failure"] == {"kind": "AnotherProcessFailedError", "message": words}


def test_whoever_waits_for_a_process_that_is_gone_is_told(two: list[dict[str, Any]]) -> None:
    assert two[0]["gone"].startswith("another process of this training ended")


def test_gradients_and_batch_statistics_of_two_are_those_of_one(two: list[dict[str, Any]]) -> None:
    # What is left is the order in which float32 numbers are added. Batch norm over half the clips is 0.1 off.
    for each in two:
        assert max(each["apart"].values()) < 1e-6
        assert max(each["recomputed apart"].values()) < 1e-6


def test_bags_of_any_size_go_through_in_as_many_groups_in_all_processes(two: list[dict[str, Any]]) -> None:
    for each in two:
        assert each["step apart"]["plain"] < 1e-6
        assert each["step apart"]["gradients"] < 1e-6
        # Batch norm sees other clips together than one process would, but it does not wait for ever.
        assert each["step apart"]["batch norm"] < 0.5


def test_alone_nothing_is_shared_out_and_nothing_is_sent() -> None:
    team = Team()
    assert team.first
    assert list(team.stretch(3)) == list(team.every(3)) == [0, 1, 2]
    assert (team.total(2.0, 3.0), team.most(4), team.least(4), team.any(False)) == ((2.0, 3.0), 4, 4, False)
    assert (team.gathered("a"), team.from_first(lambda: 5)) == (["a"], 5)


@pytest.mark.parametrize(
    ("batch", "size", "choices"), [(16, 3, "15 or 18"), (2, 4, "4"), (3, 2, "2 or 4"), (7, 8, "8")]
)
def test_a_batch_that_cannot_be_shared_out_is_refused(batch: int, size: int, choices: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{size} processes; choose a batch of {choices}\."):
        Team(rank=0, size=size).check(batch)


def test_a_folder_that_only_the_first_computer_sees_is_told(tmp_path: Path) -> None:
    team = Team(rank=1, size=2)
    team.require_shared([tmp_path], "prepared studies")
    with pytest.raises(
        TrainingError, match=r"process 1 on .* does not see prepared studies: .*shared folder"
    ):
        team.require_shared([tmp_path / "away"], "prepared studies")


def test_without_torchrun_this_process_is_alone() -> None:
    with joined_team(torch.device("cpu"), {"WORLD_SIZE": "4"}) as team:
        assert (team.rank, team.size) == (0, 1)
