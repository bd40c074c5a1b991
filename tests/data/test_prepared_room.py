"""How large the folder of prepared studies becomes, what leaves it, and what a full disk does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vpt_plugin.ct.volume import Provenance, Volume
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.data.prepared_room import PreparedRoom
from vpt_plugin.errors import UnreadableStudyError
from vpt_plugin.tasks import HUWindow

WINDOW = HUWindow(centre=0, width=2000)
SLICES, PIXELS = 25, 64
# 25 x 64 x 64 pixels: 102,400 bytes, and some for the header and the facts.
STUDY_GB = 1e-4


def read(path: Path, *, name: str | None, series_uid: str | None) -> Volume:
    hu = np.full((SLICES, PIXELS, PIXELS), int(path.stem) - 1000, dtype=np.int16)
    axes = np.eye(3)[::-1].copy()
    return Volume(hu, (2.5, 1.0, 1.0), (0.0, 0.0, 0.0), axes, path.stem, Provenance("nrrd"))


@pytest.fixture
def studies(tmp_path: Path) -> list[Path]:
    """Files that stand for studies."""
    paths = [tmp_path / f"{number}.nrrd" for number in range(8)]
    for path in paths:
        path.touch()
    return paths


def prepared_in(cache: Path, **facts: Any) -> PreparedStudies:
    return PreparedStudies(cache, WINDOW, pixels=PIXELS, **{"read": read, **facts})


def kept(cache: Path) -> int:
    return sum(not path.name.startswith(".") for path in cache.iterdir())


def use(cache: Path, paths: list[Path], *, order: int = 0, **facts: Any) -> PreparedStudies:
    """A training that uses these; ``order`` tells when, for the clocks of file systems are coarse."""
    prepared = prepared_in(cache, **facts)
    for number, path in enumerate(paths):
        found = prepared.get(path)
        os.utime(found.file.parent, ns=(0, 10**9 * (order + number)))
    return prepared


def test_what_was_used_least_recently_leaves_first(tmp_path: Path, studies: list[Path]) -> None:
    cache = tmp_path / "cache"
    use(cache, studies[:4]).release()
    use(cache, studies[:1], order=10).release()  # the first is used again
    use(cache, studies[4:5], order=20, limit_gb=4.5 * STUDY_GB).release()
    assert kept(cache) == 4
    again = prepared_in(cache, read=None)  # whatever is not there cannot be read: the files are empty
    assert [again.get(studies[n]).slices.shape for n in (0, 2, 3, 4)] == [(SLICES, PIXELS, PIXELS)] * 4
    with pytest.raises(UnreadableStudyError):
        again.get(studies[1])


def test_nothing_of_a_running_training_leaves_however_small_the_limit(
    tmp_path: Path, studies: list[Path]
) -> None:
    cache = tmp_path / "cache"
    running = use(cache, studies, limit_gb=2 * STUDY_GB)
    assert kept(cache) == 8
    assert running.over_limit_gb() == pytest.approx(6 * STUDY_GB, rel=0.1)
    running.release()
    use(cache, studies[:1], order=20, limit_gb=2 * STUDY_GB).release()
    assert kept(cache) == 8  # nothing had to come in
    (tmp_path / "9.nrrd").touch()
    use(cache, [tmp_path / "9.nrrd"], order=30, limit_gb=2.5 * STUDY_GB).release()
    assert kept(cache) == 2


def test_a_folder_that_is_full_of_what_is_in_use_is_not_looked_through_for_every_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    sizes = PreparedRoom._sizes

    def counted(room: PreparedRoom) -> dict[str, int]:
        looked.append(len(found := sizes(room)))
        return found

    monkeypatch.setattr(PreparedRoom, "_sizes", counted)
    ended_soon, running = PreparedRoom(tmp_path, 100), PreparedRoom(tmp_path, 100)

    def enter(room: PreparedRoom, entries: list[str]) -> None:
        """Entries of one byte each."""
        for entry in entries:
            room.claim(entry)
            room.make_for(1)
            (tmp_path / entry).mkdir()
            (tmp_path / entry / "slices.npy").write_bytes(b"0")

    enter(ended_soon, [f"a{number}" for number in range(80)])
    enter(running, [f"b{number}" for number in range(80)])
    # Each looks when it begins; from 100 on when more than 5 bytes have come, a twentieth of the limit.
    assert looked == [0, 80, *range(100, 160, 6)]
    ended_soon.release()
    enter(running, [f"b{number}" for number in range(80, 86)])
    # The first of these six could make room again, and made it down to a twentieth below the limit.
    assert kept(tmp_path) == 94 + 6


OTHER_PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_prepared_room import prepared_in
prepared = prepared_in(Path(sys.argv[2]))
print(prepared.get(Path(sys.argv[3])).file.parent.name, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path, studies: list[Path]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that trains on the first study, and what its entry is called."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS, Path(__file__).parent, tmp_path / "cache", studies[0]],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    yield process, process.stdout.readline().strip()
    process.kill()
    process.communicate()


def test_what_another_process_trains_on_stays_until_it_ends_even_by_kill_9(
    tmp_path: Path, studies: list[Path], other: tuple[subprocess.Popen[str], str]
) -> None:
    cache, (process, entry) = tmp_path / "cache", other
    use(cache, studies[1:3], order=10, limit_gb=STUDY_GB / 2).release()
    assert (cache / entry).is_dir()
    process.kill()
    process.wait()
    use(cache, studies[3:4], order=20, limit_gb=1.5 * STUDY_GB).release()
    assert not (cache / entry).exists()
    assert kept(cache) == 1
    assert list((cache / ".claims").iterdir()) == []


def test_an_entry_that_somebody_has_open_on_windows_stays_and_the_next_one_goes(
    tmp_path: Path, studies: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    with prepared_in(cache) as before:
        first = before.get(studies[0]).file.parent
    use(cache, studies[:3]).release()
    rename = Path.rename

    def refused(path: Path, target: Path) -> Path:
        if path == first:
            raise PermissionError(13, "The process cannot access the file", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    use(cache, studies[3:4], order=10, limit_gb=3.5 * STUDY_GB).release()
    assert first.is_dir()
    assert kept(cache) == 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the kernel what is open")
def test_no_lock_is_removed_while_it_is_open_as_windows_would_refuse(
    tmp_path: Path, studies: list[Path], other: tuple[subprocess.Popen[str], str], monkeypatch: Any
) -> None:
    cache, (process, entry) = tmp_path / "cache", other
    process.kill()
    process.wait()
    unlink = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if str(path) in {os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()}:
            raise PermissionError(13, "The process cannot access the file", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    use(cache, studies[1:2], order=10, limit_gb=1.5 * STUDY_GB).release()
    assert not (cache / entry).exists()
    assert list((cache / ".claims").iterdir()) == []


def test_threads_that_come_and_go_at_the_limit_never_lose_what_they_use(
    tmp_path: Path, studies: list[Path]
) -> None:
    problems: list[Exception] = []

    def train(first: int) -> None:
        try:
            for lap in range(6):
                prepared = prepared_in(tmp_path / "cache", limit_gb=2 * STUDY_GB)
                found = [prepared.get(studies[(first + lap + n) % 8]) for n in range(3)]
                for each in found:
                    assert each.slices.shape == (SLICES, PIXELS, PIXELS)
                prepared.release()
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=train, args=(2 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 kB, which takes three studies."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_is_told_and_leaves_nothing_half_written(small_disk: Path, studies: list[Path]) -> None:
    cache = small_disk / "cache"
    prepared = use(cache, studies[:3])
    with pytest.raises(OSError, match="No space left on device"):
        prepared.get(studies[3])
    assert kept(cache) == 3
    assert list(cache.glob(".writing-*")) == []
    # What is there can still be used, and its checksum is right.
    again = prepared_in(cache, read=None)
    assert [again.get(path).note for path in studies[:3]] == [""] * 3


def test_a_full_disk_makes_room_by_what_nobody_uses(small_disk: Path, studies: list[Path]) -> None:
    cache = small_disk / "cache"
    use(cache, studies[:3]).release()
    prepared = use(cache, studies[3:5], order=10)
    assert kept(cache) == 3
    assert prepared.get(studies[2]).note == ""  # the two before it had to go
