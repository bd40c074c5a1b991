"""Leases whose files were damaged, deleted, or could not be written: the history knows who had what."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from pathlib import Path

import pytest
from lease_clock import MINUTE, Clock, order

from vpt_plugin.errors import LeaseError
from vpt_plugin.store.history_file import HistoryFile
from vpt_plugin.store.lease import utc_text
from vpt_plugin.store.lease_file import LeaseFile
from vpt_plugin.store.leases import LeaseBook, Order


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(tmp_path: Path, clock: Clock) -> LeaseBook:
    return LeaseBook(tmp_path / "worklist", clock=clock)


def test_damaged_leases_are_set_aside_and_begin_again_from_the_history(
    book: LeaseBook, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    (lease,) = book.offer([order("p01", "random")], "anna")
    book.offer([order("p02")], "otto")
    book.give_back("p02", "otto")
    clock.seconds += 10 * MINUTE
    for damage in ('{"schema', '{"schema": "vptct.leases/1", "leases": [{"study": "p01"}]}', "[]", "\0" * 50):
        (book.folder / "leases.json").write_text(damage)
        assert list(book.held()) == ["p01"]
        caplog.clear()
        with pytest.raises(LeaseError):
            book.offer([order("p01")], "otto")
        assert "leases.json was damaged" in caplog.text
        assert (book.folder / f"damaged-leases-{int(clock.seconds)}.json").read_text() == damage
        found = book.held()["p01"]
        assert (found.offer, found.holder, found.strategy) == (lease.offer, "anna", "random")
        assert found.until == utc_text(clock.seconds + 30 * MINUTE)
    book.labelled("p01", "anna", "pe")
    assert book.history().outcomes("pe")[0].how == "labelled"


class Killed(BaseException):
    """Stands for kill -9."""


@pytest.mark.parametrize("dying", ["as it is given", "as it is given back"])
def test_a_lease_that_outlived_a_crash_is_in_the_history_once_it_is_extended(
    book: LeaseBook, monkeypatch: pytest.MonkeyPatch, dying: str
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    chosen = Order("p01", "pe", "random", probabilities={"pe": 0.5}, model="tiny", version=1)
    if dying == "as it is given":
        with monkeypatch.context() as crash:
            crash.setattr(HistoryFile, "add", killed)
            with pytest.raises(Killed):
                book.offer([chosen], "")
    else:
        book.offer([chosen], "")
        (lease,) = book.held().values()
        with monkeypatch.context() as crash:
            crash.setattr(LeaseFile, "write", killed)
            with pytest.raises(Killed):
                book.give_back("p01", lease.holder)
    before = book.held()["p01"]
    again = book.extend("p01", before.holder)
    assert again.holder == before.holder
    assert book.history().is_open(again.offer)
    assert book.history().outcomes("pe")[-1].offer.probabilities == {"pe": 0.5}
    (book.folder / "leases.json").write_text("damaged")
    assert book.held()["p01"].offer == again.offer


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="asks Linux which file is written")
@pytest.mark.parametrize("file", ["leases.json", "history.jsonl"])
def test_on_a_full_disk_nobody_is_given_a_study_and_nothing_is_lost(
    book: LeaseBook, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    book.offer([order("p01")], "anna")
    before = book.held(), book.history(), {path.name: path.read_bytes() for path in book.folder.iterdir()}
    fsync = os.fsync

    def full(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if file in name:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr("vpt_plugin.durable.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        book.offer([order("p02")], "otto")
    assert (book.held(), book.history()) == before[:2]
    assert {path.name: path.read_bytes() for path in book.folder.iterdir()} == before[2]
    with pytest.raises(OSError, match="No space left"):
        book.skip("p01", "anna", "unsure")
    assert list(book.held()) == ["p01"]
    monkeypatch.undo()
    book.offer([order("p02")], "otto")
    assert list(book.held()) == ["p01", "p02"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told_with_the_way_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(LeaseError, match="Let this program's user write there"):
        LeaseBook(tmp_path / "worklist").offer([order("p01")], "anna")
    assert LeaseBook(tmp_path / "worklist").held() == {}


def test_a_file_in_the_place_of_the_folder_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "worklist").write_text("a film")
    with pytest.raises(LeaseError, match=r"cannot be kept in .*worklist"):
        LeaseBook(tmp_path / "worklist").offer([order("p01")], "anna")


def test_a_restored_backup_without_the_leases_gives_nobody_what_another_has(
    tmp_path: Path, book: LeaseBook, clock: Clock
) -> None:
    (lease,) = book.offer([order("p01", "random")], "anna")
    book.offer([order("p02")], "otto")
    book.give_back("p02", "otto")
    (tmp_path / "restored").mkdir()
    shutil.copy(book.folder / "history.jsonl", tmp_path / "restored")
    clock.seconds += 10 * MINUTE
    again = LeaseBook(tmp_path / "restored", clock=clock)
    assert [(each.study, each.offer) for each in again.held().values()] == [("p01", lease.offer)]
    with pytest.raises(LeaseError, match="somebody else has it"):
        again.offer([order("p01")], "otto")
    assert again.extend("p01", "anna").until == utc_text(clock.seconds + 30 * MINUTE)
    assert again.history() == book.history()


def test_of_lost_leases_those_are_over_that_nothing_was_noted_of_for_as_long_as_a_lease_lasts(
    book: LeaseBook, clock: Clock
) -> None:
    book.offer([order("p01")], "anna")
    clock.seconds += 25 * MINUTE
    book.extend("p01", "anna")
    clock.seconds += 25 * MINUTE
    book.offer([order("p02")], "otto")  # p01 is alive, or it would be noted as expired
    (book.folder / "leases.json").unlink()
    assert sorted(book.held()) == ["p01", "p02"]
    clock.seconds += 30 * MINUTE
    assert book.held() == {}
    book.offer([order("p01"), order("p02")], "eve")
    assert {each.reader for each in book.held().values()} == {"eve"}


def test_a_computer_whose_clock_differs_from_the_disks_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for ahead_minutes, told in ((0, 0), (40, 1), (-40, 1)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            ahead_seconds = ahead_minutes * MINUTE
            book = LeaseBook(tmp_path / str(ahead_minutes), clock=lambda: time.time() + ahead_seconds)  # noqa: B023
            book.offer([order("p01")], "anna")
            book.offer([order("p02")], "anna")
        assert caplog.text.count("set the clocks") == told
        side = "ahead of" if ahead_minutes > 0 else "behind"
        assert told == 0 or f"the clock of this computer is 40 minutes {side} that of the disk" in caplog.text
