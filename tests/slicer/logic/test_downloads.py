"""Downloads: each in a folder of its own, of which nothing stays when nobody wants it any more."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from hand_ticker import HandTicker
from VPTCTLib.errors import LocalFileError
from VPTCTLib.jobs import Jobs, Work
from VPTCTLib.logic.downloads import Downloads


def started(
    folder: Path, goes_on: threading.Event, told: list[Any]
) -> tuple[HandTicker, Jobs, threading.Event, Any]:
    """A download that writes a file and comes to its end when it may."""
    ticker, written = HandTicker(), threading.Event()
    jobs = Jobs(ticker)

    def fetch(into: Path, work: Work) -> Path:
        (into / "study.nii").write_bytes(b"voxels")
        written.set()
        assert goes_on.wait(5)
        return into / "study.nii"

    download = Downloads(jobs, folder).start(fetch, told.append, told.append, lambda done, total: None)
    return ticker, jobs, written, download


def test_what_came_stays_until_it_was_read(tmp_path: Path) -> None:
    goes_on, told = threading.Event(), []
    goes_on.set()
    ticker, _, _, _ = started(tmp_path, goes_on, told)
    ticker.until(lambda: told)
    (fetched,) = told
    assert fetched.value.read_bytes() == b"voxels"
    fetched.close()
    assert list(tmp_path.iterdir()) == []


def test_what_comes_after_it_was_dropped_is_removed_by_who_fetched_it(tmp_path: Path) -> None:
    goes_on, told = threading.Event(), []
    ticker, jobs, written, download = started(tmp_path, goes_on, told)
    assert written.wait(5)
    download.drop()
    assert len(list(tmp_path.iterdir())) == 1, "it is being written"
    goes_on.set()
    ticker.until(lambda: jobs.running == 0)
    assert (list(tmp_path.iterdir()), told) == ([], [])


def test_what_came_and_was_not_handed_over_yet_is_removed_when_it_is_dropped(tmp_path: Path) -> None:
    goes_on, told = threading.Event(), []
    ticker, jobs, _, download = started(tmp_path, goes_on, told)
    goes_on.set()
    for thread in threading.enumerate():
        if thread.name == "VPTCT job":
            thread.join(5)
    download.drop()
    ticker.until(lambda: jobs.running == 0)
    assert (list(tmp_path.iterdir()), told) == ([], [])


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    told: list[Any] = []
    ticker, _, _, _ = started(tmp_path / "gone", threading.Event(), told)
    ticker.until(lambda: told)
    assert isinstance(told[0], LocalFileError)
