"""The process of one scoring: it goes on after a kill, stands still when told to, and tells how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vpt_plugin.active import worker
from vpt_plugin.active.job import COLD_START_LIMIT, ScoringJob, ScoringProgress
from vpt_plugin.active.scoring import Watch
from vpt_plugin.active.worker import Pause, Teller
from vpt_plugin.errors import ConfigurationError, NotTrainedError
from vpt_plugin.owned_process import EventLines
from vpt_plugin.training.job import ArchiveFacts

# The worker, with shards of four studies, so that few studies make several.
SCRIPT = """
import sys
from vpt_plugin.active import scoring, worker
scoring._STUDIES_OF_A_SHARD = 4
worker._SECONDS_BETWEEN_EVENTS = 0
worker.run_and_leave(worker.main, sys.argv[1:])
"""


class Worker:
    """A process with its events."""

    def __init__(self, job: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(job)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=os.name != "nt", env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )  # fmt: skip

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first event that is wanted."""
        for line in self.process.stdout:
            if wanted(event := json.loads(line)):
                return event
        raise AssertionError(self.process.stderr.read())

    def say(self, word: str) -> None:
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    started = []

    def begin(**facts: Any) -> Worker:
        job = ScoringJob(
            studies=str(tmp_path / "studies"),
            labels_dir=str(tmp_path / "labels"),
            task="nodule",
            model="tiny",
            models_dir=str(tmp_path / "models"),
            cache=str(tmp_path / "prepared"),
            device="cpu",
            **facts,
        )
        (tmp_path / "job.json").write_text(json.dumps(job.to_json()))
        started.append(Worker(tmp_path / "job.json"))
        return started[-1]

    yield begin
    for each in started:
        each.close()


def state_is(state: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event.get("progress", {}).get("state") == state


def test_killed_in_the_middle_it_goes_on_where_it_was_and_paused_it_stands_still(pool, start) -> None:
    pool.add(*range(6, 21))
    pool.path(20).write_bytes(b"NRRD0004\nthis is none")
    first = start(version=1)
    first.until(lambda event: event.get("progress", {}).get("done", 0) >= 8)
    first.say("pause")
    paused = first.until(state_is("paused"))["progress"]
    assert 8 <= paused["done"] < 20
    # A process that is ended while it stands still is not ended by a study.
    assert not (pool.folder.path / "in-hand.json").exists()
    kept = len(pool.folder.studies())
    assert kept in (8, 12, 16)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    assert len(pool.folder.studies()) == kept
    assert not pool.folder.read().complete
    second = start(version=1)
    result = second.until(lambda event: "result" in event)["result"]
    assert (result["kept"], result["unreadable"], result["total"]) == (kept, 1, 20)
    assert second.process.wait(20) == 0
    assert pool.folder.read().complete
    assert len(pool.folder.read().studies) == 19


def test_resumed_it_comes_to_its_end(pool, start) -> None:
    process = start(version=0)
    process.say("pause")
    process.until(state_is("paused"))
    process.say("resume")
    result = process.until(lambda event: "result" in event)["result"]
    assert (result["scored"], result["total"]) == (5, 5)
    assert result["key"].startswith("nodule_tiny-v0000-")


def test_a_version_that_is_not_there_is_an_error_with_the_way_out(pool) -> None:
    job = ScoringJob(
        str(pool.root / "studies"), "", "nodule", "tiny", 7, models_dir=str(pool.root / "models")
    )
    with pytest.raises(NotTrainedError, match="version 7"):
        worker.run(job, Watch())


def test_a_job_survives_its_json() -> None:
    job = ScoringJob(
        "https://pacs.example.org/dicom-web", "/labels", "own", "swin_t", 3, "/models", ("/own.yaml",),
        "/cache", "cuda:1", 500, ArchiveFacts("/archive", 20.0, "CT", "20200101", "", "Ax*"),
    )  # fmt: skip
    assert ScoringJob.from_json(json.loads(json.dumps(job.to_json()))) == job
    assert (job.name, job.studies_at_most) == ("own_swin_t", 500)


def test_the_cold_start_scores_no_more_than_its_own_limit() -> None:
    assert ScoringJob("/s", "", "nodule", "tiny").studies_at_most == COLD_START_LIMIT == 300
    assert ScoringJob("/s", "", "nodule", "tiny", limit=20).studies_at_most == 20
    assert ScoringJob("/s", "", "nodule", "tiny", version=2).studies_at_most == 10_000


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema": "vptct.job/1"}'])
def test_what_is_no_job_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "job.json").write_text(content)
    with pytest.raises(ConfigurationError, match="job"):
        ScoringJob.read(tmp_path / "job.json")


def test_the_owner_pauses_and_resumes_and_other_words_change_nothing() -> None:
    pause = Pause()
    said = []
    for word in ("", "pause", "hello", "pause", "resume", "resume"):
        pause.heard(word)
        said.append(pause())
    assert said == [False, True, True, True, False, False]


def test_studies_that_come_fast_are_not_all_told_but_every_turn_and_note_is(tmp_path: Path) -> None:
    seconds = iter(x / 10 for x in range(1000))
    with (tmp_path / "out").open("w") as stream:
        teller = Teller(EventLines(stream), clock=lambda: next(seconds))
        for done in range(30):
            teller.progress(ScoringProgress("scoring", done=done, total=40))
        teller.progress(ScoringProgress("scoring", done=30, note="look"))
        teller.progress(ScoringProgress("paused", done=30))
        teller.progress(ScoringProgress("done", done=40, total=40))
    lines = [json.loads(line)["progress"] for line in (tmp_path / "out").read_text().splitlines()]
    told = [(each["state"], each["done"]) for each in lines]
    assert told[0] == ("scoring", 0)
    assert told[-3:] == [("scoring", 30), ("paused", 30), ("done", 40)]
    assert 5 < len(told) < 20
    assert ScoringProgress.from_json(lines[-1]) == ScoringProgress("done", done=40, total=40)
