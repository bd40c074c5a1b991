"""How a training ended: by what its process told, its exit status, and whether anybody wanted it to end."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .record import DONE, FAILED, INTERRUPTED, STOPPED, Failure, Record

GO_ON = "Order the same training again: it goes on after the last epoch that was finished."
# From the first of these on its version may be there already, and be served.
_AT_THE_END = ("publishing", "done")
_TERMINATED = (-signal.SIGTERM, 128 + signal.SIGTERM)
_KILLED = -9  # SIGKILL, which Windows does not have


def ended(
    record: Record,
    failure: Failure | None,
    *,
    status: int | None,
    told: Mapping[str, Any],
    asked: str,
    last_words: tuple[str, ...],
) -> Record:
    """The record of a training that has ended.

    Args:
        record: as it was while it ran.
        failure: of the server itself, where there was one.
        status: the process's exit status, below 0 the signal; None where there was no process.
        told: the ``result`` or the ``error`` that the process told.
        asked: the state that it was to end in; "" where nobody wanted it to end.
        last_words: the end of its log.
    """
    # Before all else: what was published is published, whatever came after.
    if "result" in told:
        return replace(record, state=DONE, outcome=told["result"])
    if failure is None:
        state, failure = _why(status, told, asked, last_words, _what_is_served(record))
    else:
        state = FAILED
    return replace(record, state=state, failure=failure)


def _what_is_served(record: Record) -> str:
    if record.progress.get("state") not in _AT_THE_END:
        return "What is served has not changed."
    return "It was publishing: the table of versions shows whether its version is there, and answers."


def _why(
    status: int | None, told: Mapping[str, Any], asked: str, last_words: tuple[str, ...], served: str
) -> tuple[str, Failure]:
    if asked == STOPPED:
        return STOPPED, Failure(f"the training was stopped. {served}", GO_ON)
    if asked == INTERRUPTED:
        return INTERRUPTED, Failure(f"the server ended while this training ran. {served}", GO_ON)
    if "error" in told:
        message, hint = (str(told["error"].get(key) or "") for key in ("message", "hint"))
        words = last_words if told["error"].get("unexpected") else ()
        return FAILED, Failure(f"{message.removesuffix(';')} {served}".strip(), hint, words)
    if status in _TERMINATED:
        return INTERRUPTED, Failure(f"the computer told the training to end. {served}", GO_ON)
    if status == _KILLED:
        return FAILED, Failure(
            "the training was killed from outside (signal 9), as systems do where the memory does not "
            f"suffice. {served}",
            f"{GO_ON} Where memory was short: a smaller micro_batch, or a smaller network.",
            last_words,
        )
    end = f"signal {-status}" if status is not None and status < 0 else f"exit status {status}"
    return FAILED, Failure(
        f"the training crashed ({end}). {served}", f"Its last words say more. {GO_ON}", last_words
    )
