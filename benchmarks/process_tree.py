"""A command with everything that it starts: its processor time and its memory, looked at while it runs."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Look:
    """What a command had taken at one moment.

    Attributes:
        seconds: since its start.
        cpu_seconds: computed by it and all that it started, until then.
        idle_seconds: of the machine's cores together, until then.
        mib: memory of all of them that is theirs alone, and their share of what they share.
        names: of the processes.
        lines: of its output so far.
    """

    seconds: float
    cpu_seconds: float
    idle_seconds: float
    mib: float
    names: frozenset[str]
    lines: int


@dataclass(frozen=True)
class Watched:
    """A command that has ended."""

    seconds: float
    looks: tuple[Look, ...]
    output: tuple[str, ...]

    @property
    def peak_mib(self) -> float:
        """The most memory that was seen."""
        return max(look.mib for look in self.looks)


def busy_per_cent(looks: Sequence[Look]) -> float:
    """How much of what the cores had left for a command it used: other programs' share is nobody's fault.

    Nan where fewer than two looks are given.
    """
    if len(looks) < 2:
        return float("nan")
    busy = looks[-1].cpu_seconds - looks[0].cpu_seconds
    idle = looks[-1].idle_seconds - looks[0].idle_seconds
    return 100 * busy / (busy + idle)


def watch(command: Sequence[str]) -> Watched:
    """Run a command to its end and look at it five times a second.

    Raises:
        RuntimeError: it ended with another code than 0; has its last words.
    """
    began = time.perf_counter()
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert running.stdout is not None
    lines: list[str] = []
    reader = threading.Thread(target=lines.extend, args=(running.stdout,))
    reader.start()
    looks: list[Look] = []
    cpu: dict[tuple[int, float], float] = {}
    while running.poll() is None:
        names, mib = _look(running.pid, cpu)
        seconds = time.perf_counter() - began
        idle = psutil.cpu_times().idle
        looks.append(Look(seconds, sum(cpu.values()), idle, mib, names, len(lines)))
        time.sleep(_LOOK_SECONDS)
    seconds = time.perf_counter() - began
    reader.join()
    if running.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {running.returncode}:\n{''.join(lines[-20:])}")
    return Watched(seconds, tuple(looks), tuple(lines))


def _look(pid: int, cpu: dict[tuple[int, float], float]) -> tuple[frozenset[str], float]:
    """Notes the processor time of every process that lives; gives their names and the memory of them all."""
    mib, names = 0.0, set()
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.Error):
                times = process.cpu_times()
                # A number may be given to another process when its first one has ended.
                cpu[process.pid, process.create_time()] = times.user + times.system
                memory = process.memory_full_info()
                mib += getattr(memory, "pss", memory.rss) / 2**20
                names.add(process.name())
    return frozenset(names), mib
