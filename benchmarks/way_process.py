"""A way in a process of its own, with an allocator, threads, an environment and a peak memory of its own.

    with WayProcess("peers.paper:ClipForward", {"network": "slow_r50"}, TUNED_ALLOCATOR) as theirs:
        theirs()                     # Done(seconds=1.73, answer={"probability": 0.51})

The process imports the class or function behind ``module:name`` from this folder, makes the way with the
settings, and then calls it once for every line of JSON on its standard input; each answer is a line of JSON
with the seconds that the call took in there, so that neither the start nor the protocol counts. What the way
prints goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from side_by_side import Done

# What a person who sets nothing has of the allocator and the pages. How threads wait is the same for all
# ways: spinning costs nothing on a quiet machine, and slows a peer tenfold on one that others use.
_NOT_INHERITED = ("MALLOC_", "THP_", "VPT_")
# Freed memory stays with the process: no page of it is faulted in a second time.
TUNED_ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "1073741824",
}


class WayFailedError(Exception):
    """A way raised, or its process ended; the message has its last words."""


@dataclass(frozen=True)
class DoneInProcess(Done):
    """What a call in another process gave.

    Attributes:
        cpu_seconds: what all of its threads computed during the call.
        peak_mib: the most memory its process ever took until then, libraries included.
    """

    cpu_seconds: float = 0.0
    peak_mib: float = 0.0


class WayProcess:
    """A way that lives in another process; calling it is calling the way there.

    Args:
        way: ``module:name`` of what makes it, found from this folder.
        settings: what that is called with, as JSON can carry it.
        environment: on top of what a person has who sets nothing.
        plain: whether allocator and pages are left at their defaults, as they are for who sets nothing; else
            they are as in this process.

    Raises:
        WayFailedError: it could not be made.
    """

    def __init__(
        self,
        way: str,
        settings: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        plain: bool = True,
    ) -> None:
        self._way = way
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not (plain and name.startswith(_NOT_INHERITED))
        }
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), way, json.dumps(dict(settings or {}))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**inherited, **(environment or {})},
        )
        self.made = self._answer()

    def __call__(self, **arguments: Any) -> DoneInProcess:
        """Call the way once, there.

        Raises:
            WayFailedError: it raised, or its process ended.
        """
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(arguments) + "\n")
            stdin.flush()
        except BrokenPipeError:
            pass  # its last words, or that there are none, come with the answer
        return self._answer()

    def close(self) -> None:
        """End the process; it has nothing to save."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> WayProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self) -> DoneInProcess:
        stdout = self._process.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            code = self._process.wait()
            self.close()
            raise WayFailedError(f"{self._way}: its process ended with {code}; what it said is above.")
        said = json.loads(line)
        if "error" in said:
            self.close()
            raise WayFailedError(f"{self._way}: {said['error']}")
        return DoneInProcess(**said)


def serve(way: str, settings: Mapping[str, Any], requests: IO[str], answers: IO[str]) -> None:
    """Make the way, then answer every line of ``requests`` with a line."""
    module, _, name = way.partition(":")
    try:
        made, done = _timed(getattr(importlib.import_module(module), name), settings)
        # The way itself stays here.
        _say(answers, {**done, "answer": None})
        for line in requests:
            _, done = _timed(made, json.loads(line))
            _say(answers, done)
    except Exception:
        _say(answers, {"error": traceback.format_exc()})


def peak_mib() -> float:
    """The most memory that this process ever took, in 2^20 bytes."""
    # Counted in KiB, on macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _timed(call: Any, arguments: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    began, began_cpu = time.perf_counter(), time.process_time()
    answer = call(**arguments)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
    done = {"seconds": seconds, "answer": answer, "cpu_seconds": cpu_seconds, "peak_mib": peak_mib()}
    return answer, done


def _say(answers: IO[str], content: Mapping[str, Any]) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


def main() -> None:
    """The other process."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Whatever the way and its libraries print must not get between the answers.
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    serve(sys.argv[1], json.loads(sys.argv[2]), sys.stdin, answers)


if __name__ == "__main__":
    main()
