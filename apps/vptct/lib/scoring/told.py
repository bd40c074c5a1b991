"""What clients are told of a scoring."""

from __future__ import annotations

from typing import Any

from ..plain import Plain
from .account import LOADING, QUEUED, RUNNING, Account

OFF = "off"


def scoring_info(account: Account | None, *, on: bool, plain: Plain) -> dict[str, Any]:
    """How the scoring of a task goes.

    Args:
        account: of it; None where none was needed so far.
        on: whether this server scores at all.
        plain: takes the server's folders out of a text.

    Returns:
        ``state`` is ``off``; ``queued``; of a process that runs ``loading``, ``scoring``, ``paused`` (for an
        inference) or ``waiting`` (for studies that are away); ``done``; or ``failed``: given up. ``starts``
        is how many processes it took.
    """
    if account is None or not on:
        state = QUEUED if on else OFF
        return {"offered": on, "state": state, "starts": 0, "problem": None, "running": None}
    progress, runs = account.progress, account.state == RUNNING
    problem = f"{account.problem} {account.hint}".strip()
    return {
        "offered": True,
        "state": (progress.state if progress else LOADING) if runs else account.state,
        "starts": account.starts,
        "problem": plain(problem) or None,
        "running": _running(account) if runs else None,
    }


def _running(account: Account) -> dict[str, Any]:
    progress = account.progress
    return {
        "name": account.target.name,
        "version": account.target.version,
        "state": progress.state if progress else LOADING,
        "done": progress.done if progress else 0,
        "total": progress.total if progress else None,
        "unreadable": progress.unreadable if progress else 0,
        "seconds_left": progress.seconds_left if progress else None,
    }
