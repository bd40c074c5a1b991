"""The time that tests of leases set, and what they order."""

from __future__ import annotations

from vpt_plugin.store.leases import LeaseBook, Order

# 2026-11-20T20:00:00Z
EIGHT = 1_795_204_800.0
MINUTE = 60.0


class Clock:
    """Seconds since 1970; it stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = EIGHT

    def __call__(self) -> float:
        """The time."""
        return self.seconds


def order(study: str, strategy: str = "typical", task: str = "pe") -> Order:
    """A study that was chosen."""
    return Order(study, task, strategy)


def happened(book: LeaseBook) -> list[tuple[str, str, str]]:
    """Event, study and reader of all that is in the history."""
    return [(each.event, each.study, each.reader) for each in book.history().events]
