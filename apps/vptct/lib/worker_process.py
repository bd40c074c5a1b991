"""Worker: a process that computes for the server; told of, heard, and ended with all that it started."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vpt_plugin.models.weights import vptct_home

_logger = logging.getLogger(__name__)
_WINDOWS = sys.platform == "win32"
# Whoever wants to do something else with the computer comes first; elsewhere the worker sees to it itself.
_BELOW_NORMAL, _NEW_GROUP = 0x4000, 0x200
# Torch's threads sleep while they wait; MLflow, which MONAI loads, tells nobody that it is used.
_SETTINGS = MappingProxyType({"OMP_WAIT_POLICY": "PASSIVE", "MLFLOW_DISABLE_TELEMETRY": "true"})

Command = Callable[[Path], Sequence[str]]


def module_command(module: str) -> Command:
    """The command that runs a module of ``vpt_plugin`` with the file of a job."""
    return lambda job_file: (sys.executable, "-m", module, str(job_file))


class Worker:
    """A process of its own, in a group of its own.

    Its standard input stays open: when this process dies, however it dies, the system closes it, and the
    worker ends. On Linux the kernel kills the worker, too, when the *thread* that started it ends: it has to
    be started by one that stays until its end.

    Args:
        command: what is run.
        log: where its standard error goes.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._writing = threading.Lock()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(  # noqa: S603  our own command, no shell
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                # Not where whoever started the server was: with -m Python looks for modules there.
                cwd=log.parent,
                # A relative VPTCT_HOME is meant from where the server was started.
                env={
                    **_SETTINGS,
                    **os.environ,
                    "VPTCT_HOME": str(vptct_home().absolute()),
                    "PYTHONIOENCODING": "utf-8",
                },
                start_new_session=not _WINDOWS,
                creationflags=_BELOW_NORMAL | _NEW_GROUP if _WINDOWS else 0,
            )

    @property
    def pid(self) -> int:
        """Its number in the system, on Unix that of its group, too."""
        return self._process.pid

    def tell(self, word: str) -> None:
        """Write a line to its standard input; one that has ended hears nothing more."""
        pipe = self._process.stdin
        assert pipe is not None  # as it was started
        with self._writing, suppress(OSError):
            if not pipe.closed:
                pipe.write(f"{word}\n".encode("ascii"))
                pipe.flush()

    def events(self) -> Iterator[dict[str, Any]]:
        """What it tells, until it has nothing more to tell."""
        assert self._process.stdout is not None  # as it was started
        for line in self._process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                _logger.warning("process %d said what is no event: %r", self.pid, line[:200])
                continue
            if isinstance(event, dict):
                yield event

    def end(self) -> int:
        """Wait for the process, end what it left behind, and tell its exit status; below 0 the signal."""
        status = self._process.wait()
        self._end_group()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with self._writing, suppress(OSError):
                    pipe.close()
        return status

    def stop(self, patience_seconds: float) -> None:
        """End it: first by asking, after the patience without."""
        if _WINDOWS:
            # There are no groups of processes to signal; taskkill walks the tree of children.
            subprocess.run(  # noqa: S603
                ["taskkill", "/PID", str(self.pid), "/T", "/F"],  # noqa: S607
                check=False,
                capture_output=True,
            )
            return
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)
        try:
            self._process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            self._end_group()

    def _end_group(self) -> None:
        if not _WINDOWS:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
