"""The manners of a process that somebody owns: what it tells, and that it never outlives its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from started_process import events, indented, started

SCRIPT = """
import sys, time
from vpt_plugin.owned_process import Manners, run_and_leave, run_owned
events_of = []
def work(events):
    events.write({{"progress": {{"state": "begun"}}}})
{body}
def main(arguments):
    return run_owned(work, Manners("the work", "order it again", 10), heard={heard})
run_and_leave(main, sys.argv[1:])
"""


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    with ExitStack() as stack:

        def begin(body: str, heard: str = "None") -> subprocess.Popen[bytes]:
            return stack.enter_context(started(SCRIPT.format(body=indented(body), heard=heard)))

        yield begin


def test_an_error_is_told_with_its_hint_and_what_is_printed_goes_to_the_log(start) -> None:
    body = "print('a library says hello')\nfrom vpt_plugin.errors import VptError\n"
    process = start(body + "raise VptError('too few;', 'label more.')")
    told, log = events(process)
    assert [next(iter(each)) for each in told] == ["progress", "error"]
    assert told[-1] == {"error": {"message": "too few;", "hint": "label more."}}
    assert "a library says hello" in log
    assert process.returncode == 1


def test_a_full_disk_is_told_with_what_to_do_after(start) -> None:
    told, log = events(start("raise OSError(28, 'No space left on device')"))
    assert told[-1]["error"]["message"].startswith("the disk is full")
    assert told[-1]["error"]["hint"] == "Make room on that disk, then order it again."
    assert "Traceback" in log


def test_what_nobody_expected_is_told_in_one_line_and_goes_to_the_log(start) -> None:
    process = start("raise KeyError('surprise')")
    told, log = events(process)
    assert [next(iter(each)) for each in told] == ["progress", "error"]
    assert told[-1]["error"] == {
        "message": "the work met an error that nobody expected: KeyError: 'surprise'.",
        "hint": "The end of its log says where.",
        "unexpected": True,
    }
    assert log.rstrip().endswith("KeyError: 'surprise'")
    assert process.returncode == 1


def test_it_ends_at_once_when_its_owner_is_gone(start) -> None:
    process = start("time.sleep(60)")
    process.stdout.readline()
    began = time.monotonic()
    process.stdin.close()
    process.wait(20)
    assert time.monotonic() - began < 5
    assert process.returncode != 0


@pytest.mark.skipif(os.name == "nt", reason="sends signals")
def test_asked_to_end_it_takes_away_what_it_began(start, tmp_path: Path) -> None:
    # What Python does at its end may take longer than anybody waits.
    process = start(
        "import atexit\natexit.register(time.sleep, 60)\n"
        f"begun = __import__('pathlib').Path({str(tmp_path / 'begun')!r})\n"
        "try:\n    begun.touch()\n    time.sleep(60)\nfinally:\n    begun.unlink()"
    )
    process.stdout.readline()
    while not (tmp_path / "begun").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGTERM
    assert not (tmp_path / "begun").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the kernel")
def test_it_steps_back_for_everything_else(start) -> None:
    process = start("time.sleep(60)")
    process.stdout.readline()
    assert os.getpriority(os.PRIO_PROCESS, process.pid) >= 10
    assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "500"


def test_it_hears_every_line_of_its_owner_however_the_lines_arrive(start) -> None:
    heard = "lambda line: events_of.append(line)"
    process = start(
        "while len(events_of) < 3:\n    time.sleep(0.01)\nevents.write({'result': events_of})",
        heard=heard,
    )
    process.stdout.readline()
    for piece in (b"pau", b"se\nresume\npause", b"\n"):
        process.stdin.write(piece)
        process.stdin.flush()
        time.sleep(0.05)
    told, _log = events(process)
    assert told == [{"result": ["pause", "resume", "pause"]}]
    assert process.returncode == 0
