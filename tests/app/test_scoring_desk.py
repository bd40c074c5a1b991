"""The desk that has everything scored, with processes that stand in for a scoring."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lib.device_queue import FairQueue
from lib.scoring.account import DELAYS_SECONDS
from lib.scoring.desk import ScoringDesk
from lib.scoring.job_files import JobFiles
from lib.scoring.targets import Coverage, Target
from stand_in import alive, wait_until

from vpt_plugin.active.job import ScoringJob
from vpt_plugin.errors import ArchiveUnreachableError
from vpt_plugin.models.catalog import ModelSpec, get_model
from vpt_plugin.tasks import TASKS, ReadingTask

pytestmark = pytest.mark.skipif(os.name == "nt", reason="asks /proc for processes")
FIRST, SECOND = Target("nodule", "tiny", 1), Target("nodule", "tiny", 2)
_HEAD = """
import json, os, pathlib, signal, sys, threading, time
job, paused = json.load(open(sys.argv[1])), threading.Event()
def say(**event):
    print(json.dumps(event), flush=True)
def at(done, state="scoring"):
    say(progress={"state": state, "done": done, "total": 9, "unreadable": 0, "seconds_left": None})
def note(what):
    with open(pathlib.Path(sys.argv[1]).parent / "turns", "a") as file:
        file.write(f"{what} {job['version']}\\n")
def listen():
    while heard := os.read(0, 1024):
        for word in heard.decode().split():
            at(1, "paused" if word == "pause" else "scoring")
    os._exit(1)
threading.Thread(target=listen, daemon=True).start()
note("begin")
"""
COMPLETE = 'at(9); note("end"); say(result={"scored": 9, "kept": 0, "warnings": []})'
ENDLESS = "at(1); time.sleep(60)"
CRASH = "at(0); print('the last words', file=sys.stderr); sys.exit(7)"


class Site:
    """What the desk looks at, as a test sets it."""

    def __init__(self, models: Path) -> None:
        self.models = models
        self.served: tuple[Target, ...] = (FIRST,)
        self.covered: dict[Target, Coverage] = {}
        self.problem = ""
        self.looks = 0
        self.deleted = False

    def wanted(self) -> tuple[Target, ...]:
        return self.served

    def of(self, task: ReadingTask, spec: ModelSpec) -> Target:
        return self.served[0]

    def job(self, target: Target) -> ScoringJob:
        return ScoringJob("/studies", "/labels", target.task, target.model, target.version)

    def away(self) -> str:
        return self.problem

    def coverage(self, target: Target) -> Coverage:
        self.looks += 1
        complete = f"end {target.version}" in self.turns()
        found = Coverage(complete, done=9 if complete else 0, total=9, unreadable=0)
        return self.covered.get(target, found)

    def are_deleted(self, target: Target) -> bool:
        return self.deleted

    def turns(self) -> list[str]:
        """What processes did, in its order."""
        path = self.models / ".scoring" / "turns"
        return path.read_text().splitlines() if path.exists() else []


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(site: Site, clock: Clock) -> Iterator[Callable[..., ScoringDesk]]:
    """Opens desks whose processes do what they are given; they are closed in the end."""
    made: list[ScoringDesk] = []

    def make(body: str, **options: Any) -> ScoringDesk:
        def command(job_file: Path) -> Sequence[str]:
            return (sys.executable, "-c", f"{_HEAD}\n{body}", str(job_file))

        options = {"command": command, "look_seconds": 0.05, "clock": clock, **options}
        made.append(ScoringDesk(site, site.models, **options))  # type: ignore[arg-type]
        made[-1].open()
        return made[-1]

    yield make
    for each in made:
        each.close()


def info(desk: ScoringDesk) -> dict[str, Any]:
    return desk.info("nodule", lambda text: text)


def reaches(desk: ScoringDesk, state: str) -> dict[str, Any]:
    wait_until(lambda: info(desk)["state"] == state)
    return info(desk)


def pid_of(desk: ScoringDesk) -> int:
    reaches(desk, "scoring")
    return desk._worker.pid


def later(site: Site, looks: int = 5) -> None:
    """Until the desk has looked so many more times."""
    before = site.looks
    wait_until(lambda: site.looks >= before + looks)


def test_what_is_served_is_scored_once_however_often_it_is_asked_for(opened, site: Site) -> None:
    desk = opened(COMPLETE, new_studies_seconds=0.0)
    reaches(desk, "done")
    for _ in range(5):
        later(site, 1)
        assert info(desk)["starts"] == 1
    assert site.turns() == ["begin 1", "end 1"]


def test_nothing_is_begun_where_everything_has_scores(opened, site: Site) -> None:
    site.covered[FIRST] = Coverage(complete=True, done=9, total=9, unreadable=2)
    desk = opened(COMPLETE, new_studies_seconds=0.0)
    assert reaches(desk, "done") == {
        "offered": True, "state": "done", "starts": 0, "problem": None, "running": None,
    }  # fmt: skip
    later(site)
    assert site.turns() == []


def test_a_version_that_is_served_instead_ends_the_scoring_of_the_one_before(opened, site: Site) -> None:
    desk = opened(f"if job['version'] == 2:\n    {COMPLETE}\nelse:\n    {ENDLESS}")
    first = pid_of(desk)
    site.served = (SECOND,)
    assert reaches(desk, "done")["starts"] == 1
    assert not alive(first)
    assert site.turns() == ["begin 1", "begin 2", "end 2"]


def test_tasks_take_turns(opened, site: Site) -> None:
    site.served = (FIRST, Target("pe", "tiny", 5))
    desk = opened(COMPLETE)
    reaches(desk, "done")
    wait_until(lambda: desk.info("pe", str)["state"] == "done")
    assert site.turns() == ["begin 1", "end 1", "begin 5", "end 5"]


def test_a_killed_scoring_is_begun_again_after_a_while(opened, site: Site, clock: Clock) -> None:
    desk = opened(ENDLESS)
    pid = pid_of(desk)
    os.kill(pid, signal.SIGKILL)
    told = reaches(desk, "queued")
    assert told["problem"].startswith("the process that scores was killed from outside (signal 9)")
    assert site.turns() == ["begin 1"]
    clock.now += DELAYS_SECONDS[0]
    assert pid_of(desk) != pid
    assert site.turns() == ["begin 1", "begin 1"]


def test_one_that_crashes_each_time_is_given_up_and_begins_again_every_hour_and_when_it_is_ordered(
    opened, site: Site, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    desk = opened(CRASH)
    for tries, delay in enumerate(DELAYS_SECONDS, start=1):
        wait_until(lambda tries=tries: (info(desk)["starts"], info(desk)["state"]) == (tries, "queued"))
        clock.now += delay
    told = reaches(desk, "failed")
    assert (told["starts"], told["problem"][:44]) == (4, "the process that scores crashed (exit status")
    # The log is written after the state.
    wait_until(lambda: caplog.text.count("the last words") == 4)
    clock.now += 3000
    later(site, 1)
    assert site.turns() == ["begin 1"] * 4
    clock.now += 600
    wait_until(lambda: (info(desk)["starts"], info(desk)["state"]) == (5, "failed"))
    assert desk.order(TASKS["nodule"], get_model("tiny"), by="anna", plain=str)["state"] == "queued"
    wait_until(lambda: info(desk)["starts"] == 6)


def test_an_error_that_the_process_tells_is_told_to_clients_without_the_servers_folders(opened) -> None:
    desk = opened("say(error={'message': 'no room in /srv/models;', 'hint': 'Make room.'}); sys.exit(1)")
    wait_until(lambda: info(desk)["problem"] is not None)
    told = desk.info("nodule", lambda text: text.replace("/srv/models", "the models"))
    assert told["problem"] == "no room in the models. Make room."


def test_while_studies_are_away_nothing_is_begun_and_nothing_is_given_up(
    opened, site: Site, clock: Clock
) -> None:
    site.problem = "the archive does not answer."
    desk = opened(COMPLETE)
    for _ in range(5):
        wait_until(lambda: info(desk)["problem"] == "the archive does not answer.")
        clock.now += 60
        later(site, 1)
    assert (info(desk)["state"], site.turns()) == ("queued", [])
    site.problem = ""
    clock.now += 60
    assert reaches(desk, "done")["problem"] is None


def test_an_archive_that_never_answered_is_waited_for(
    opened, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(target: Target) -> Coverage:
        raise ArchiveUnreachableError("nobody answers at that address;", "see whether it runs.")

    monkeypatch.setattr(site, "coverage", fail)
    desk = opened(COMPLETE)
    wait_until(lambda: info(desk)["problem"] == "nobody answers at that address;")
    assert (info(desk)["state"], site.turns()) == ("queued", [])


def test_new_studies_begin_a_scoring_but_not_at_once(opened, site: Site, clock: Clock) -> None:
    site.covered[FIRST] = Coverage(complete=True, done=9, total=9, unreadable=0)
    desk = opened(COMPLETE, new_studies_seconds=600.0)
    reaches(desk, "done")
    looks = site.looks
    site.covered[FIRST] = Coverage(complete=True, done=9, total=10, unreadable=0)
    clock.now += 599
    threading.Event().wait(0.3)
    assert (site.looks, site.turns()) == (looks, [])
    clock.now += 1
    wait_until(lambda: site.turns() == ["begin 1", "end 1"])
    # It could not score the tenth: that is no reason to begin again.
    reaches(desk, "done")
    clock.now += 600
    later(site, 1)
    assert len(site.turns()) == 2


def test_deleted_scores_are_computed_again_at_the_next_look(opened, site: Site) -> None:
    site.covered[FIRST] = Coverage(complete=True, done=9, total=9, unreadable=0)
    reaches(opened(COMPLETE, new_studies_seconds=600.0), "done")
    assert site.turns() == []
    del site.covered[FIRST]
    site.deleted = True
    wait_until(lambda: "end 1" in site.turns())


def test_an_inference_has_the_process_stand_aside(opened) -> None:
    desk = opened(ENDLESS)
    pid_of(desk)
    with FairQueue(2, busy=desk.aside.busy).turn():
        reaches(desk, "paused")
    reaches(desk, "scoring")


def test_closing_leaves_no_process_and_begins_none(opened, site: Site) -> None:
    desk = opened(ENDLESS)
    pid = pid_of(desk)
    desk.close()
    assert not alive(pid)
    wait_until(lambda: info(desk)["state"] == "queued")
    assert site.turns() == ["begin 1"]


def test_nothing_is_scored_where_that_is_switched_off(opened, site: Site) -> None:
    desk = opened(COMPLETE, on=False)
    threading.Event().wait(0.2)
    assert (info(desk)["state"], site.turns(), site.looks) == ("off", [], 0)


def test_a_full_disk_is_told_and_the_desk_goes_on(
    opened, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lib.scoring.job_files.write_over", full)
    desk = opened(COMPLETE)
    wait_until(lambda: "No space left on device" in (info(desk)["problem"] or ""))
    monkeypatch.undo()
    clock.now += DELAYS_SECONDS[0]
    assert reaches(desk, "done")["problem"] is None


def test_a_look_that_fails_is_logged_and_the_next_one_finds_what_there_is(
    opened, site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> tuple[Target, ...]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(site, "wanted", fail)
    desk = opened(COMPLETE)
    wait_until(lambda: "Permission denied" in caplog.text)
    monkeypatch.undo()
    reaches(desk, "done")


def test_the_process_is_told_its_job_in_a_file(opened, site: Site) -> None:
    desk = opened(COMPLETE)
    reaches(desk, "done")
    (file,) = (site.models / ".scoring").glob("nodule_tiny-*.job.json")
    written = json.loads(file.read_text())
    assert ScoringJob.from_json(written) == site.job(FIRST)


def test_what_is_no_progress_is_passed_over_and_a_look_that_fails_forgets_no_process(
    opened, site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk = opened(f"say(progress={{'done': 1}}); print('no event', flush=True)\n{ENDLESS}")
    pid = pid_of(desk)
    assert "no progress" in caplog.text

    def fail() -> tuple[Target, ...]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(site, "wanted", fail)
    wait_until(lambda: "what is served cannot be looked at" in caplog.text)
    assert (alive(pid), site.turns()) == (True, ["begin 1"])
    desk.close()
    assert not alive(pid)


def test_servers_over_other_studies_that_share_the_models_do_not_take_each_others_job(site: Site) -> None:
    files, ours = JobFiles(site.models), site.job(FIRST)
    theirs = replace(ours, studies="/other/studies")
    written = {files.write(ours): ours, files.write(theirs): theirs}
    assert {path: ScoringJob.from_json(json.loads(path.read_text())) for path in written} == written
