"""What an interrupted training goes on from: whole, checked, and never more than a file of numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from vpt_plugin.errors import CheckpointError
from vpt_plugin.training.checkpoints import Checkpoints, read_state, write_state

STATE = {
    "network": {"w": torch.arange(6.0).view(2, 3)},
    "optimizer": {"state": {0: {"step": 3}}},
    "losses": [0.5],
}


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def checkpoints(tmp_path: Path, told: list[str]) -> Checkpoints:
    return Checkpoints(tmp_path / "round", told.append)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a full disk: no file of this process gets larger."""
    import resource  # of POSIX alone

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    write_state(tmp_path / "a.ckpt", STATE)
    read = read_state(tmp_path / "a.ckpt")
    assert torch.equal(read["network"]["w"], STATE["network"]["w"])
    assert (read["optimizer"], read["losses"]) == (STATE["optimizer"], STATE["losses"])
    assert names(tmp_path) == ["a.ckpt"]


@pytest.mark.parametrize("place", [0, 40, 200, -1], ids=["format", "checksum", "data", "end"])
def test_a_single_changed_bit_is_found(tmp_path: Path, place: int) -> None:
    write_state(tmp_path / "a.ckpt", STATE)
    content = bytearray((tmp_path / "a.ckpt").read_bytes())
    content[place] ^= 1
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.ckpt: the checkpoint is damaged"):
        read_state(tmp_path / "a.ckpt")


@pytest.mark.parametrize("kept_bytes", [0, 10, 500])
def test_a_file_that_was_cut_off_is_found(tmp_path: Path, kept_bytes: int) -> None:
    write_state(tmp_path / "a.ckpt", STATE)
    (tmp_path / "a.ckpt").write_bytes((tmp_path / "a.ckpt").read_bytes()[:kept_bytes])
    with pytest.raises(CheckpointError, match="damaged"):
        read_state(tmp_path / "a.ckpt")


class _Command:
    """What a stranger could put into a pickle."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("made-by-the-checkpoint",)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_state(tmp_path / "a.ckpt", {"network": _Command()})
    with pytest.raises(CheckpointError, match="holds more than numbers and words"):
        read_state(tmp_path / "a.ckpt")
    assert names(tmp_path) == ["a.ckpt"]


def test_the_last_two_are_kept(checkpoints: Checkpoints, tmp_path: Path) -> None:
    for epoch in (1, 2, 3, 10):
        checkpoints.save(epoch, {"epoch": epoch})
    assert names(tmp_path / "round") == ["epoch-0003.ckpt", "epoch-0010.ckpt"]
    assert checkpoints.newest() == {"epoch": 10}


def test_a_damaged_one_is_told_and_the_one_before_is_taken(
    checkpoints: Checkpoints, tmp_path: Path, told: list[str]
) -> None:
    for epoch in (1, 2):
        checkpoints.save(epoch, {"epoch": epoch})
    (tmp_path / "round" / "epoch-0002.ckpt").write_bytes(b"")
    assert checkpoints.newest() == {"epoch": 1}
    assert len(told) == 1
    assert "epoch-0002.ckpt: the checkpoint is damaged. The one after epoch 1 is taken." in told[0]
    assert names(tmp_path / "round") == ["epoch-0001.ckpt"]


def test_where_all_are_damaged_the_round_begins_again(
    checkpoints: Checkpoints, tmp_path: Path, told: list[str]
) -> None:
    for epoch in (1, 2):
        checkpoints.save(epoch, {"epoch": epoch})
        (tmp_path / "round" / f"epoch-000{epoch}.ckpt").write_bytes(b"no checkpoint")
    assert checkpoints.newest() is None
    assert told[-1].endswith("epoch-0001.ckpt: the checkpoint is damaged. The round begins again.")


def test_where_there_is_none_nothing_is_told(checkpoints: Checkpoints, told: list[str]) -> None:
    assert checkpoints.newest() is None
    assert told == []


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are of POSIX")
def test_a_full_disk_is_told_once_and_the_training_goes_on(
    checkpoints: Checkpoints, tmp_path: Path, told: list[str]
) -> None:
    checkpoints.save(1, STATE)
    with files_of_at_most(200):
        checkpoints.save(2, STATE)
        checkpoints.save(3, STATE)
    assert len(told) == 1
    assert "the checkpoint after epoch 2 cannot be written" in told[0]
    assert "goes on after epoch 1. Make room on that disk." in told[0]
    assert names(tmp_path / "round") == ["epoch-0001.ckpt"]
    checkpoints.save(4, STATE)
    assert names(tmp_path / "round") == ["epoch-0001.ckpt", "epoch-0004.ckpt"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB; only root may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
    ) if sys.platform == "linux" else None  # fmt: skip
    if mounted is None or mounted.returncode != 0:
        pytest.skip("a tmpfs cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_on_a_disk_that_is_really_full_the_last_checkpoint_stays(small_disk: Path, told: list[str]) -> None:
    checkpoints = Checkpoints(small_disk / "round", told.append)
    state = {"network": torch.zeros(100_000)}
    for epoch in (1, 2, 3):
        checkpoints.save(epoch, state | {"epoch": epoch})
    assert "No space left on device" in told[0]
    assert names(small_disk / "round") == ["epoch-0001.ckpt", "epoch-0002.ckpt"]
    newest = checkpoints.newest()
    assert newest is not None
    assert newest["epoch"] == 2
