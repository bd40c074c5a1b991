"""What clients are told of trainings: the block ``training`` of ``GET /info/``, and ``GET /train/``."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from vpt_plugin.training.config import FinetuneConfig

from ..plain import Plain, plain_json
from .record import DONE, FAILED, INTERRUPTED, QUEUED, RUNNING, SCHEMA, STOPPED, Record

_LAST = 5
# Their progress counts no epochs.
_AFTER_EPOCHS = ("comparing", "publishing", "done")
# MONAI Label's words, which its clients look for.
_STATUS = MappingProxyType(
    {
        QUEUED: "SUBMITTED", RUNNING: "RUNNING", DONE: "DONE",
        STOPPED: "STOPPED", FAILED: "ERROR", INTERRUPTED: "ERROR",
    }
)  # fmt: skip
# Where a worker of another version says less; tests/contract/training.json has the whole of it.
_OUTCOME = ("version", "served", "decision", "validation_auroc", "comparison", "warnings", "report")


def training_info(
    records: Sequence[Record], *, problem: str, plain: Plain, all_of_them: bool = False
) -> dict[str, Any]:
    """What runs, what waits, and how the last ones ended.

    Args:
        records: by their numbers.
        problem: why trainings are not offered; "" where they are.
        plain: takes the server's folders out of a text.
        all_of_them: tell all that ended, not only the last.
    """
    waiting = [each for each in records if each.state == QUEUED]
    running = next((each for each in records if each.state == RUNNING), None)
    past = [each for each in reversed(records) if not each.waits_or_runs]
    return {
        "schema": SCHEMA,
        "offered": not problem,
        "problem": plain(problem) or None,
        "running": None if running is None else record_info(running, plain),
        "queue": [record_info(each, plain) for each in waiting],
        "last": [record_info(each, plain) for each in (past if all_of_them else past[:_LAST])],
    }


def record_info(record: Record, plain: Plain) -> dict[str, Any]:
    """One training, for a client."""
    outcome = {name: record.outcome.get(name) for name in _OUTCOME} if record.outcome else None
    failure = record.failure
    return {
        "id": record.number,
        "name": record.name,
        "task": record.job.task,
        "network": record.job.model,
        "state": record.state,
        "settings": dict(record.job.settings),
        "by": record.job.by,
        "created": record.created,
        "started": record.started or None,
        "ended": record.ended or None,
        "progress": plain_json(dict(record.progress), plain) or None,
        "notes": [plain(note) for note in record.notes],
        "outcome": plain_json(outcome, plain),
        "error": None
        if failure is None
        else {
            "detail": plain(failure.detail),
            "hint": plain(failure.hint),
            "last_words": [plain(line) for line in failure.last_words],
        },
        # For MONAI Label's clients.
        "model": record.name,
        "status": _STATUS[record.state],
        "start_ts": record.started or record.created,
    }


def train_stats(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """What MONAI Label's clients draw their bars from: the running training, else the last one that ran.

    They look at the first entry only, so there is but one.
    """
    ran = [each for each in records if each.started]
    if not ran:
        return {}
    record = next((each for each in ran if each.state == RUNNING), ran[-1])
    progress = record.progress
    total = progress.get("epochs") or record.job.settings.get("epochs", FinetuneConfig.epochs)
    stats: dict[str, Any] = {
        "epoch": total if progress.get("state") in _AFTER_EPOCHS else progress.get("epoch") or 0,
        "total_epochs": total,
        "best_metric": progress.get("best_auroc") or 0,
        "start_ts": record.started,
    }
    # They take its presence for the end.
    return {record.name: stats if record.waits_or_runs else {**stats, "total_time": record.ended}}
