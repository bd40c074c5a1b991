"""Where each study stands: labelled, in somebody's hands, skipped, unreadable, or free for this reader."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from vpt_plugin.acquisition.strategies import STRATEGIES
from vpt_plugin.active.offers import Wish
from vpt_plugin.errors import ConfigurationError

_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")


@dataclass(frozen=True)
class Known:
    """What is known of the studies of a task, apart from who wishes for what.

    Attributes:
        studies: those that are there, sorted.
        labelled: those with a label of the task, there or not.
        held: those in a reader's hands at the moment.
        skipped: those that this reader is not to be offered again.
        seen: those that this reader was ever offered.
        unreadable: those that the scoring could not read.
        dates: the StudyDate by study, as YYYYMMDD; those that are not known are "" or missing.
        again: of ``held``, those that are read a second time for this task.
    """

    studies: Sequence[str]
    labelled: Collection[str]
    held: Collection[str] = frozenset()
    skipped: Collection[str] = frozenset()
    seen: Collection[str] = frozenset()
    unreadable: Collection[str] = frozenset()
    dates: Mapping[str, str] | None = None
    again: Collection[str] = frozenset()


@dataclass(frozen=True)
class Standing:
    """Where each study stands for one wish.

    Attributes:
        free: may be proposed, in sorted order.
        held: how many without a label are in somebody's hands.
        skipped: how many without a label are not to be offered, because they were skipped.
        labelled: how many have a label of the task.
        unreadable: how many without a label cannot be read.
        seen: how many only the wish for unseen ones left out.
        outside: how many only the wish for dates left out, because theirs is another one.
        undated: those that only the wish for dates left out, because theirs is not known.
        second: how many of ``labelled`` are in somebody's hands, to be read a second time.
    """

    free: tuple[str, ...]
    held: int
    skipped: int
    labelled: int
    unreadable: int
    seen: int
    outside: int
    undated: tuple[str, ...]
    second: int

    @property
    def left_out(self) -> int:
        """How many only the wish left out."""
        return self.seen + self.outside + len(self.undated)


def standing(known: Known, wish: Wish) -> Standing:
    """Count each study once: by its label, else by who has it, else by why it is left out, else as free."""
    numbers = dict.fromkeys(("labelled", "held", "skipped", "unreadable", "seen", "outside", "second"), 0)
    free, undated = [], []
    for study in known.studies:
        if closed := _closed_by(known, wish, study):
            numbers[closed] += 1
            numbers["second"] += closed == "labelled" and study in known.again
            continue
        day = (known.dates or {}).get(study, "")
        if in_dates(day, wish):
            free.append(study)
        elif day:
            numbers["outside"] += 1
        else:
            undated.append(study)
    return Standing(tuple(free), undated=tuple(undated), **numbers)


def _closed_by(known: Known, wish: Wish, study: str) -> str:
    """Why a study is not to be offered, whatever its date is; empty where nothing speaks against it."""
    if study in known.labelled:
        return "labelled"
    if study in known.held:
        return "held"
    if study in known.skipped:
        return "skipped"
    if study in known.unreadable:
        return "unreadable"
    return "seen" if wish.unseen and study in known.seen else ""


def in_dates(day: str, wish: Wish) -> bool:
    """Whether a StudyDate is one that is wished for; where dates are wished for, an unknown one is not.

    Args:
        day: as YYYYMMDD; "" where it is not known.
        wish: its dates.
    """
    if not (wish.date_from or wish.date_to):
        return True
    return bool(day) and wish.date_from <= day <= (wish.date_to or "9")


def check_wish(wish: Wish, findings: Sequence[str]) -> None:
    """Refuse a wish that cannot be met as it is written.

    Raises:
        ConfigurationError: an unknown strategy or finding, fewer than one study, a date that is none, or
            ``unseen`` without a name.
    """
    if wish.strategy not in STRATEGIES:
        raise ConfigurationError(
            f"there is no strategy {wish.strategy[:100]!r};", f"choose from {', '.join(STRATEGIES)}."
        )
    if wish.n < 1:
        raise ConfigurationError(f"{wish.n} studies cannot be proposed;", "ask for at least one.")
    if wish.finding and wish.finding not in findings:
        raise ConfigurationError(
            f"task {wish.task} has no finding {wish.finding[:100]!r};", f"choose from {', '.join(findings)}."
        )
    for text in filter(None, (wish.date_from, wish.date_to)):
        if not _is_date(text):
            raise ConfigurationError(f"{text[:100]!r} is no date;", "write it as DICOM does: 20201231.")
    if wish.date_from and wish.date_to and wish.date_from > wish.date_to:
        raise ConfigurationError(f"there is no date from {wish.date_from} to {wish.date_to}.")
    if wish.unseen and not wish.reader:
        raise ConfigurationError(
            "what a reader has not seen is only known of readers with a name;", "say who asks."
        )


def _is_date(text: str) -> bool:
    match = _DATE.fullmatch(text)
    try:
        return match is not None and bool(date(*map(int, match.groups())))
    except ValueError:  # 20201301
        return False
