"""The manners of a process that does one long piece of work for an owner, such as the server that started it.

A process of its own gives all memory of CPU and GPU back when it ends, can be ended at any moment, and cannot
take a server down with it. Its owner keeps its standard input open: when that closes, the owner has died, and
the process ends at once. What happens is told on standard output, one JSON object per line, the last of::

    {"result": {...}}                               the work ended well
    {"error": {"message": "...", "hint": "..."}}    it could not; exit status 1

An error that nobody expected has ``"unexpected": true`` besides; the end of the log says where it came from.
Everything else that anything prints goes to standard error, the log.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from vpt_plugin.errors import VptError

# Of -1000 to 1000: where the memory does not suffice, the work can go on later, a server cannot.
_FIRST_TO_GO = "500"
_PR_SET_PDEATHSIG = 1
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Manners:
    """How an owned process behaves.

    Attributes:
        what: the work, in the words of an error: ``the training``.
        again: what to do after room was made on a full disk: ``train again``.
        niceness: from 0 to 19; the higher, the more processes come first.
    """

    what: str
    again: str
    niceness: int


class EventLines:
    """Writes events as lines of JSON.

    Args:
        stream: where to; nothing else may write there.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, event: dict[str, Any]) -> None:
        """One event, at once."""
        # ASCII, so that no encoding of the system matters.
        self._stream.write(json.dumps(event, ensure_ascii=True) + "\n")
        self._stream.flush()

    def error(self, message: str, hint: str, *, unexpected: bool = False) -> None:
        """Why the work did not end well."""
        told: dict[str, Any] = {"message": message, "hint": hint}
        self.write({"error": told | {"unexpected": True} if unexpected else told})


def run_owned(
    work: Callable[[EventLines], None], manners: Manners, *, heard: Callable[[str], None] | None = None
) -> int:
    """Behave as an owned process does, do the work, and tell its errors; the exit status.

    Args:
        work: tells its progress and its result itself.
        manners: of the process.
        heard: called, in a thread of its own, with every line that the owner writes to standard input.
    """
    events = EventLines(_take_over_stdout())
    _end_with_owner(heard)
    _end_at_sigterm()
    _step_back(manners.niceness)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        work(events)
    except VptError as error:
        events.error(error.message, error.hint)
        return 1
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL_DISK:
            _logger.exception("the disk is full")
            events.error(f"the disk is full: {error}.", f"Make room on that disk, then {manners.again}.")
            return 1
        words = f"{type(error).__name__}: {error}".rstrip(": .")
        events.error(
            f"{manners.what} met an error that nobody expected: {words}.",
            "The end of its log says where.",
            unexpected=True,
        )
        raise
    return 0


def run_and_leave(main: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> NoReturn:
    """Call ``main``, then end the process with its status, without taking Python apart.

    What was begun is finished or taken away when ``main`` returns, and locks are released. What Python and
    torch do after that takes 2 to 3 s, and may hang: whoever asked it to end would wait, or kill.
    """
    try:
        status: Any = main(arguments)
    except SystemExit as end:
        status = end.code
    logging.shutdown()
    sys.stderr.flush()
    os._exit(status)


def _step_back(niceness: int) -> None:
    """Let everything else on this computer come first, for the processor and, on Linux, for the memory."""
    with contextlib.suppress(OSError, AttributeError):  # Windows: whoever starts it sets the priority
        os.nice(niceness)
    with contextlib.suppress(OSError):  # only Linux has the file
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")


def _take_over_stdout() -> IO[str]:
    """Standard output for the events alone: what libraries print, in whatever language, goes to the log."""
    own = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return own


def _end_with_owner(heard: Callable[[str], None] | None) -> None:
    """End this process, and all it started, as soon as whoever started it is gone."""
    threading.Thread(target=_listen_to_the_end, args=(heard,), name="owner", daemon=True).start()
    if sys.platform == "linux":
        # The kernel's own word, should this process be too busy to read; a thread may not get its turn.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _listen_to_the_end(heard: Callable[[str], None] | None) -> None:
    # Not sys.stdin: its lock would be held when the interpreter ends.
    begun = b""
    with contextlib.suppress(OSError):
        while came := os.read(0, 1024):
            *lines, begun = (begun + came).split(b"\n")
            for line in lines:
                if heard is not None:
                    heard(line.decode("ascii", errors="replace").strip())
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _end_at_sigterm() -> None:
    """Leave at SIGTERM as at an error, so that what was begun on the disk is taken away.

    One long computation may not let Python in: whoever sent it waits a few seconds, then kills.
    """

    def leave(number: int, frame: object) -> NoReturn:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
