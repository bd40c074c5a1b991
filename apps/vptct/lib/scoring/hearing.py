"""Hearing: listens to a process that scores, in a thread of its own, until it has ended."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..worker_process import Worker

_logger = logging.getLogger(__name__)
_LAST = ("result", "error")
_KILLED = -9  # SIGKILL, which Windows does not have
_TERMINATED = (-signal.SIGTERM, 128 + signal.SIGTERM)


class Hearing:
    """What a process told.

    Args:
        worker: it.
        progress: called with every ``progress`` that it tells.
    """

    def __init__(self, worker: Worker, progress: Callable[[Mapping[str, Any]], None]) -> None:
        self._worker = worker
        self._progress = progress
        self._ended = threading.Event()
        self._told: dict[str, Mapping[str, Any]] = {}
        self._status = 0
        threading.Thread(target=self._listen, name="vptct-scoring-hearing", daemon=True).start()

    def ended(self, wait_seconds: float) -> bool:
        """Whether it has ended, after at most so long."""
        return self._ended.wait(wait_seconds)

    @property
    def result(self) -> Mapping[str, Any] | None:
        """What it told in the end; None where it did not come to the end."""
        return self._told.get("result")

    def problem(self) -> tuple[str, str]:
        """Why it did not come to the end, and what may help."""
        if "error" in self._told:
            message, hint = (str(self._told["error"].get(key) or "") for key in ("message", "hint"))
            return message.removesuffix(";").removesuffix(".") + ".", hint
        if self._status == _KILLED:
            return (
                "the process that scores was killed from outside (signal 9), as systems do where the memory "
                "does not suffice.",
                "Where memory was short, let a smaller network choose: --conf active_model.",
            )
        if self._status in _TERMINATED:
            return "the computer told the process that scores to end.", ""
        end = f"signal {-self._status}" if self._status < 0 else f"exit status {self._status}"
        return f"the process that scores crashed ({end}).", "Its last words are in the server's log."

    def _listen(self) -> None:
        try:
            for event in self._worker.events():
                if isinstance(event.get("progress"), dict):
                    self._hear(event["progress"])
                self._told |= {name: event[name] for name in _LAST if isinstance(event.get(name), dict)}
        finally:
            self._status = self._worker.end()
            self._ended.set()

    def _hear(self, progress: Mapping[str, Any]) -> None:
        try:
            self._progress(progress)
        except (TypeError, ValueError) as error:
            # Of a worker of another version, say: how far it is is not known, but it goes on.
            _logger.warning("a scoring said what is no progress: %s", error)
