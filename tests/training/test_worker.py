"""The process of one training: what it tells, and what orders it; its manners are those of any owned one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from started_process import events, indented, started

from vpt_plugin.errors import TrainingError
from vpt_plugin.owned_process import EventLines
from vpt_plugin.training.job import ArchiveFacts, TrainingJob
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.worker import Teller

# The worker with a training that does what a test says.
SCRIPT = """
import sys, time
from vpt_plugin.training import worker
def run(job, progress):
    from vpt_plugin.training.progress import Progress
    progress(Progress("training"))
{body}
worker.run = run
worker.run_and_leave(worker.main, sys.argv[1:])
"""
JOB = TrainingJob("/studies", "", "nodule", "tiny", {"epochs": 2})


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    (tmp_path / "job.json").write_text(json.dumps(JOB.to_json()))
    with ExitStack() as stack:

        def begin(body: str) -> subprocess.Popen[bytes]:
            script = SCRIPT.format(body=indented(body))
            return stack.enter_context(started(script, str(tmp_path / "job.json")))

        yield begin


def test_an_error_is_told_with_its_hint_and_what_is_printed_goes_to_the_log(start) -> None:
    body = "print('a library says hello')\nfrom vpt_plugin.errors import TrainingError\n"
    process = start(body + "raise TrainingError('too few;', 'label more.')")
    told, log = events(process)
    assert [next(iter(each)) for each in told] == ["progress", "error"]
    assert told[-1] == {"error": {"message": "too few;", "hint": "label more."}}
    assert "a library says hello" in log
    assert process.returncode == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the kernel")
def test_it_steps_back_for_everything_else(start) -> None:
    process = start("time.sleep(60)")
    process.stdout.readline()
    assert os.getpriority(os.PRIO_PROCESS, process.pid) >= 10
    assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "500"


def test_a_job_survives_its_json() -> None:
    job = TrainingJob(
        "https://pacs.example.org/dicom-web", "/labels", "own", "swin_t", {"epochs": 3}, "/models",
        ("/own.yaml",), "/cache", 7.5, "cuda:1", "anna",
        ArchiveFacts("/archive", 20.0, "CT", "20200101", "", "Ax*"),
    )  # fmt: skip
    assert TrainingJob.from_json(json.loads(json.dumps(job.to_json()))) == job
    assert job.name == "own_swin_t"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"schema": "vptct.job/2"}', '{"schema": "vptct.job/1"}']
)
def test_what_is_no_job_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "job.json").write_text(content)
    with pytest.raises(TrainingError, match="job"):
        TrainingJob.read(tmp_path / "job.json")


def test_steps_that_come_fast_are_not_all_told_but_every_turn_and_note_is(tmp_path: Path) -> None:
    seconds = iter(x / 10 for x in range(1000))
    with (tmp_path / "out").open("w") as stream:
        teller = Teller(EventLines(stream), clock=lambda: next(seconds))
        for step in range(10):
            teller.progress(Progress("training", step=step, epoch=1))
        teller.progress(Progress("training", step=10, epoch=2))
        teller.progress(Progress("training", step=11, epoch=2, note="look"))
        teller.progress(Progress("validating", step=11, epoch=2))
    lines = [json.loads(line)["progress"] for line in (tmp_path / "out").read_text().splitlines()]
    told = [(each["state"], each["step"]) for each in lines]
    assert told[0] == ("training", 0)
    assert told[-3:] == [("training", 10), ("training", 11), ("validating", 11)]
    assert 3 < len(told) < 10
