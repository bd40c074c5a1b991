"""The cache keeps to its limit, never at the cost of what is in use."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from archive_bench import Rude, Series, bytes_in, bytes_of, write_series

from vpt_plugin.errors import ArchiveError, ArchiveUnreachableError
from vpt_plugin.store.archive import DicomArchive

ArchiveAt = Callable[..., DicomArchive]


@pytest.fixture
def four(rude: Rude, tmp_path: Path) -> list[Series]:
    """Four series of 4 slices, in an archive."""
    rude.series = [write_series(tmp_path / "source", "a" * number, slices=4) for number in range(1, 5)]
    return rude.series


def size(series: Series) -> int:
    return sum(path.stat().st_size for path in series.files.values())


def read(archive: DicomArchive, series: Series) -> None:
    with archive.opened(series.uid) as study:
        assert bytes_in(study.path) == bytes_of(series)


def cached(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache" / "series").iterdir())


def uids(*series: Series) -> list[str]:
    return sorted(each.uid for each in series)


def test_what_was_used_least_recently_leaves(
    rude: Rude, four: list[Series], archive_at: ArchiveAt, tmp_path: Path
) -> None:
    a, b, c, d = four
    archive = archive_at(rude.url, cache_gb=2.5 * size(a) / 1e9)
    for series in (a, b, a, c):
        read(archive, series)
    assert cached(tmp_path) == uids(a, c)
    read(archive, d)
    assert cached(tmp_path) == uids(c, d)


def test_the_order_of_use_outlasts_a_restart(
    rude: Rude, four: list[Series], archive_at: ArchiveAt, tmp_path: Path
) -> None:
    a, b, c, _ = four
    for series in (a, b, a):
        read(archive_at(rude.url), series)
    read(archive_at(rude.url, cache_gb=2.5 * size(a) / 1e9), c)
    assert cached(tmp_path) == uids(a, c)


def test_what_is_read_never_leaves_and_may_be_larger_than_the_limit(
    rude: Rude, four: list[Series], archive_at: ArchiveAt, tmp_path: Path
) -> None:
    a, b, _, _ = four
    archive = archive_at(rude.url, cache_gb=0.5 * size(a) / 1e9)
    with archive.opened(a.uid) as first:
        read(archive, b)
        assert bytes_in(first.path) == bytes_of(a)
        assert cached(tmp_path) == uids(a)
    assert cached(tmp_path) == []


def test_many_readers_of_many_series_in_a_small_cache_all_read_what_they_should(
    rude: Rude, four: list[Series], archive_at: ArchiveAt
) -> None:
    archive, done = archive_at(rude.url, cache_gb=1.5 * size(four[0]) / 1e9), []

    def reader(first: int) -> None:
        for turn in range(12):
            read(archive, four[(first + turn) % 4])
            done.append(turn)

    threads = [threading.Thread(target=reader, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 5 * 12


def bytes_on_disk(folder: Path) -> int:
    used = 0
    for path in folder.glob("[0-9]*/slices/*.dcm"):
        with suppress(FileNotFoundError):  # it is evicted at this moment
            used += path.stat().st_size
    return used


def test_a_full_disk_makes_room_before_it_gives_up(
    rude: Rude, four: list[Series], archive_at: ArchiveAt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vpt_plugin.durable import write_over

    a, b, c, _ = four
    archive = archive_at(rude.url)
    read(archive, a)
    read(archive, b)

    one_writes = threading.Lock()

    def disk_for_two(path: Path, data: bytes) -> None:
        with one_writes:
            used = bytes_on_disk(tmp_path / "cache" / "series")
            if path.suffix == ".dcm" and used + len(data) > 2.5 * size(a):
                raise OSError(28, "No space left on device")
            write_over(path, data)

    monkeypatch.setattr("vpt_plugin.store.archive.cache.write_over", disk_for_two)
    read(archive, c)
    assert cached(tmp_path) == uids(b, c)


@pytest.mark.parametrize("garbage", ["", "{", "[]", "[" * 100_000, '{"schema": "vptct.archive-series/1"}'])
def test_a_damaged_list_counts_as_none(
    rude: Rude, four: list[Series], archive_at: ArchiveAt, tmp_path: Path, garbage: str
) -> None:
    series = four[0]
    read(archive_at(rude.url), series)
    (tmp_path / "cache" / "series" / series.uid / "series.json").write_text(garbage)
    rude.before = lambda path: (404, "text/html", b"<html>")
    with pytest.raises(ArchiveUnreachableError, match="not whole in the cache"):
        read(archive_at(rude.url), series)
    rude.before = lambda path: None
    rude.asked.clear()
    read(archive_at(rude.url), series)
    assert not any("/instances/" in path for path in rude.asked)  # the slices themselves were all there


def test_a_full_disk_does_not_keep_from_reading_what_is_here(
    rude: Rude, four: list[Series], archive_at: ArchiveAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(archive_at(rude.url), four[0])

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vpt_plugin.store.archive.cache.write_over", full)
    read(archive_at(rude.url), four[0])


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps rights elsewhere")
def test_others_on_this_computer_cannot_look_into_the_cache(
    rude: Rude, four: list[Series], archive_at: ArchiveAt, tmp_path: Path
) -> None:
    read(archive_at(rude.url), four[0])
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_what_cannot_be_counted_in_the_cache_does_not_cost_a_whole_series_its_answer(
    rude: Rude, four: list[Series], archive_at: ArchiveAt, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read(archive_at(rude.url), four[0])
    stray = tmp_path / "cache" / "series" / "9.9.9" / "slices"
    stray.parent.mkdir()
    stray.write_text("no folder")
    restarted = archive_at(rude.url)
    read(restarted, four[0])
    assert "the cache stays larger than it should" in caplog.text
    with pytest.raises(ArchiveError, match="the cache of the archive cannot be used: Not a directory"):
        read(restarted, four[1])


def test_what_a_killed_eviction_left_is_swept(
    rude: Rude, four: list[Series], archive_at: ArchiveAt, tmp_path: Path
) -> None:
    left = tmp_path / "cache" / "series" / ".unfinished-0a1b"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    read(archive_at(rude.url), four[0])
    assert not left.exists()


def test_what_is_read_in_passing_leaves_before_what_readers_read(
    rude: Rude, four: list[Series], archive_at: ArchiveAt, tmp_path: Path
) -> None:
    a, b, c, d = four
    readers = archive_at(rude.url)
    for series in (a, b):
        read(readers, series)
    scoring = archive_at(rude.url, cache_gb=(size(a) + size(b) + 1.5 * size(d)) / 1e9, in_passing=True)
    for series in (c, d):
        read(scoring, series)
    assert cached(tmp_path) == uids(a, b, d)
    # Having been read in passing, too, makes nothing more wanted than it was.
    read(scoring, a)
    read(archive_at(rude.url, cache_gb=(size(b) + 1.5 * size(c)) / 1e9), c)
    assert cached(tmp_path) == uids(b, c)


def test_a_reader_has_what_another_process_fetched_in_passing_leave_first(
    rude: Rude, four: list[Series], archive_at: ArchiveAt, tmp_path: Path
) -> None:
    a, b, c, d = four
    readers = archive_at(rude.url, cache_gb=2.5 * size(d) / 1e9)
    for series in (a, b):
        read(readers, series)
    read(archive_at(rude.url, in_passing=True), c)
    read(readers, d)
    assert cached(tmp_path) == uids(b, d)


def test_what_a_reader_opens_after_it_was_fetched_in_passing_stays(
    rude: Rude, four: list[Series], archive_at: ArchiveAt, tmp_path: Path
) -> None:
    a, b, c, _ = four
    read(archive_at(rude.url, in_passing=True), a)
    read(archive_at(rude.url), a)
    read(archive_at(rude.url, in_passing=True), b)
    read(archive_at(rude.url, cache_gb=2.5 * size(c) / 1e9), c)
    assert cached(tmp_path) == uids(a, c)
