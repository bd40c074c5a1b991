"""Lease: a study in the hands of one reader for a while; how it is made, and whether it lives."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from vpt_plugin.errors import ConfigurationError, LeaseError, StudyNotFoundError
from vpt_plugin.store.ids import is_study_id
from vpt_plugin.store.worklist_history import (
    EXPIRED,
    OFFERED,
    OPEN,
    UNREADABLE,
    WorklistEvent,
    WorklistHistory,
)

NAMELESS = "nameless-"
SKIP_REASONS = ("poor_quality", "wrong_examination", UNREADABLE, "unsure", "other")
_FOR_REPEATING = ("why", "wish")
_MAX_NAME_CHARACTERS = 200
_MAX_COMMENT_CHARACTERS = 2000
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
# Two computers on one share need not have the same time to the second.
CLOCKS_DIFFER_SECONDS = 60.0


@dataclass(frozen=True)
class Order:
    """A study that was chosen and is to be leased; the fields are those of ``Lease``."""

    study: str
    task: str
    strategy: str
    reading: str = "first"
    probabilities: Mapping[str, float] = field(default_factory=dict)
    model: str = ""
    version: int = 0
    why: str = ""
    wish: str = ""


@dataclass(frozen=True)
class Lease:
    """A study in the hands of one reader, for all tasks.

    Attributes:
        study: its id.
        task: it is to be labelled for.
        reader: who has it; "" for a reader without a name.
        strategy: that chose it; ``double-read`` for a second reading.
        since, until: ``2026-11-20T20:31:05.123Z``; at ``until`` it is over.
        reading: ``first`` or ``second``.
        probabilities: by finding, what the served version said when it was offered; {} for nothing.
        model, version: that said so; "" and 0 for none.
        offer: the number of its offer in the history, 16 hexadecimal digits.
        holder: who extends it and gives it back: the reader's name, or for a reader without one a random text
            that nobody else knows.
        minutes: how long it lasts from when it is given or extended.
        why: what the reader was told of the choice.
        wish: by which its client asked, so that it can ask once more where the answer was lost; "" for none.
    """

    study: str
    task: str
    reader: str
    strategy: str
    since: str
    until: str
    reading: str = "first"
    probabilities: Mapping[str, float] = field(default_factory=dict)
    model: str = ""
    version: int = 0
    offer: str = ""
    holder: str = ""
    minutes: float = 30.0
    why: str = ""
    wish: str = ""

    def to_json(self) -> dict[str, Any]:
        """The lease as JSON, for its holder alone: whoever knows ``holder`` may end it."""
        told = {name: value for name, value in vars(self).items() if name not in _FOR_REPEATING}
        return {**told, "probabilities": dict(self.probabilities)}

    def kept(self) -> dict[str, Any]:
        """The lease as JSON for the file; an older version reads those that no client can ask for again."""
        more = {name: getattr(self, name) for name in _FOR_REPEATING} if self.wish else {}
        return {**self.to_json(), **more}

    def lives(self, now: float) -> bool:
        """Whether it is not over yet, at a time in seconds since 1970."""
        return self.until > utc_text(now)

    def extended(self, now: float, minutes: float) -> Lease:
        """The same, for so many minutes from now; never for a shorter time than it has already."""
        until = max(self.until, utc_text(now + 60 * minutes))
        return replace(self, until=until, minutes=max(self.minutes, minutes))

    def shortened(self, now: float) -> Lease:
        """The same, no longer than it can last: where a clock was put back, it would last for hours."""
        longest = now + 60 * self.minutes
        too_long = utc_seconds(self.until) > longest + CLOCKS_DIFFER_SECONDS
        return replace(self, until=utc_text(longest)) if too_long else self

    def event(self, kind: str, now: float) -> WorklistEvent:
        """What happens to it now, for the history."""
        return WorklistEvent(kind, utc_text(now), self.study, self.task, self.reader, self.offer)

    def offered(self) -> WorklistEvent:
        """That it was given, for the history."""
        return WorklistEvent(
            OFFERED, self.since, self.study, self.task, self.reader, self.offer,
            strategy=self.strategy, reading=self.reading,
            probabilities=self.probabilities, model=self.model, version=self.version,
        )  # fmt: skip

    def taken(self) -> LeaseError:
        """The error for anybody else; it does not say who has it."""
        return LeaseError(
            f"{self.study}: somebody else has it in their hands, until {self.until[11:16]} UTC at least.",
            "Ask for the next study.",
        )


def new_lease(order: Order, reader: str, now: float, minutes: float, *, holder: str = "") -> Lease:
    """A lease from now on.

    Args:
        order: what was chosen. A probability that is no number is left out.
        reader: who gets it; "" for a reader without a name.
        now: seconds since 1970.
        minutes: how long it lasts.
        holder: "" for the reader's name; see ``new_holder``.
    """
    said = {name: float(each) for name, each in order.probabilities.items() if math.isfinite(each)}
    return Lease(
        **{**vars(order), "probabilities": said},
        reader=reader,
        since=utc_text(now),
        until=utc_text(now + 60 * minutes),
        offer=secrets.token_hex(8),
        holder=holder or reader or new_holder(),
        minutes=minutes,
    )


def new_holder() -> str:
    """What a reader without a name holds leases by."""
    return f"{NAMELESS}{secrets.token_hex(16)}"


def order_again(history: WorklistHistory, study: str, reader: str) -> Order | None:
    """What a reader held until its time was over; None where something has happened to the study since."""
    last = next((event for event in reversed(history.events) if event.study == study), None)
    if last is None or not reader or (last.event, last.reader) != (EXPIRED, reader):
        return None
    return next((order_of(offer) for offer in reversed(history.offers) if offer.offer == last.offer), None)


def open_leases(history: WorklistHistory, now: float, minutes: float) -> dict[str, Lease]:
    """A lease for each offer of the history that has no end, by study, where the leases themselves are lost.

    Whoever writes to the history notes first what is over. So what is open in it was alive at its last event,
    be it extended or new, and is over where that is longer ago than a lease lasts. How long each would have
    lived nobody knows, so they begin anew. A reader without a name has lost theirs: the study waits until its
    time is over.

    Args:
        history: all of it.
        now: seconds since 1970.
        minutes: how long a lease lasts.
    """
    last = history.events[-1].when if history.events else ""
    if last <= utc_text(now - 60 * minutes):
        return {}
    tasks = {offer.task for offer in history.offers}
    still = [each.offer for task in tasks for each in history.outcomes(task) if each.how == OPEN]
    return {
        offer.study: replace(new_lease(order_of(offer), offer.reader, now, minutes), offer=offer.offer)
        for offer in still
    }


def order_of(offer: Lease | WorklistEvent) -> Order:
    """What was chosen, from a lease or from its offer in the history."""
    return Order(
        offer.study, offer.task, offer.strategy, offer.reading,
        offer.probabilities, offer.model, offer.version,
        *((offer.why, offer.wish) if isinstance(offer, Lease) else ()),
    )  # fmt: skip


def check_asked(reader: str, studies: Sequence[str]) -> None:
    """Refuse what is no study and no name.

    Raises:
        StudyNotFoundError, ConfigurationError: it is none.
    """
    for study in studies:
        if not is_study_id(study):
            raise StudyNotFoundError(repr(study[:100]), "this is no id of a study.")
    if len(reader) > _MAX_NAME_CHARACTERS:
        raise ConfigurationError(
            f"a reader's name has {len(reader)} characters;", f"{_MAX_NAME_CHARACTERS} are the most."
        )


def check_room(reader: str, has: int, wanted: int, most: int) -> None:
    """Refuse more studies than a reader may hold.

    Args:
        reader: who asks; "" for all readers without a name.
        has: how many studies they hold.
        wanted: how many more they ask for.
        most: so many they may hold.

    Raises:
        LeaseError: it would be too many.
    """
    if has + wanted <= most:
        return
    if wanted > most:
        raise LeaseError(
            f"{wanted} studies are more than a reader may hold: {most} are the most.", "Ask for fewer."
        )
    if reader:
        raise LeaseError(
            f"{has} studies are in your hands already, and {most} are the most.",
            "Label some of them, skip them or give them back.",
        )
    raise LeaseError(
        f"{has} studies are in the hands of readers without a name, and {most} are the most.",
        "Say who reads.",
    )


def check_skip(study: str, reason: str, comment: str) -> None:
    """Refuse a skip that says what cannot be kept.

    Raises:
        ConfigurationError: the reason is none, or the comment is too long.
    """
    if reason not in SKIP_REASONS:
        raise ConfigurationError(
            f"{study} cannot be skipped for the reason {reason[:100]!r};",
            f"choose from {', '.join(SKIP_REASONS)}.",
        )
    if len(comment) > _MAX_COMMENT_CHARACTERS:
        raise ConfigurationError(
            f"the comment on {study} has {len(comment)} characters;",
            f"{_MAX_COMMENT_CHARACTERS} are the most.",
        )


def utc_text(seconds: float) -> str:
    """A time as text, to the millisecond: ``2026-11-20T20:31:05.123Z``. Texts compare as their times do."""
    moment = datetime.fromtimestamp(round(seconds, 3), timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def utc_seconds(text: str) -> float:
    """The time of such a text, in seconds since 1970.

    Raises:
        ValueError: it is none.
    """
    return datetime.strptime(text, _TIME).replace(tzinfo=timezone.utc).timestamp()
