"""A Python script in a process of its own, whose owner the test is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def indented(body: str) -> str:
    """Lines of a test's own for the place of a function's body in a script."""
    return "\n".join(f"    {line}" for line in body.split("\n"))


@contextmanager
def started(script: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The process, ended when the block is left; its input stays open as long as nobody closes it."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=os.name != "nt",
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def events(process: subprocess.Popen[bytes]) -> tuple[list[dict[str, object]], str]:
    """What it told until its end, and its log."""
    # Not ``communicate``: that closes the input, which ends the process.
    told = [json.loads(line) for line in process.stdout]
    log = process.stderr.read().decode()
    process.wait(20)
    return told, log
