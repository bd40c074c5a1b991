"""WorklistHistory: what became of every study that was offered to a reader.

::

    labels/worklist/history.jsonl       an event per line, vptct.worklist-event/1; lines are only ever added

It is kept for good: who skipped what and why, what was drawn at random, and what the model said of a study
before its reader did, can be known from nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

FILE_NAME = "history.jsonl"
SCHEMA = "vptct.worklist-event/1"
OFFERED, LABELLED, SKIPPED, UNSKIPPED = "offered", "labelled", "skipped", "unskipped"
GIVEN_BACK, EXPIRED, OPEN = "given_back", "expired", "open"
EVENTS = (OFFERED, LABELLED, SKIPPED, UNSKIPPED, GIVEN_BACK, EXPIRED)
_ALWAYS = ("event", "when", "study", "task", "reader")
# Nobody is offered what so many readers skipped.
ENOUGH_SKIPS = 2
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class WorklistEvent:
    """A line of the history.

    Attributes:
        event: one of ``EVENTS``.
        when: ``2026-11-20T20:31:05.123Z``, by the clock of the computer that wrote it.
        study: its id.
        task: it was offered, labelled or skipped for; of ``unskipped`` "" for all tasks.
        reader: who; "" for a reader without a name.
        offer: the offer that it is or belongs to, 16 hexadecimal digits; "" for none.
        reason, comment: of a skip.
        strategy: that chose the study, of an offer.
        reading: ``first`` or ``second``, of an offer.
        probabilities: by finding, what the served version said when it was offered; {} for nothing.
        model, version: that said so; "" and 0 for none.
    """

    event: str
    when: str
    study: str
    task: str
    reader: str
    offer: str = ""
    reason: str = ""
    comment: str = ""
    strategy: str = ""
    reading: str = ""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    model: str = ""
    version: int = 0

    def line(self) -> bytes:
        """The event as it stands in the file; what it does not have is left out."""
        said = {
            name: value for name, value in vars(self).items() if name in _ALWAYS or value not in ("", 0, {})
        }
        return (json.dumps({"schema": SCHEMA, **said}, allow_nan=False) + "\n").encode()

    def takes_back(self, skip: WorklistEvent) -> bool:
        """Whether this, being ``unskipped``, ends a skip."""
        same_task = not self.task or self.task == skip.task or skip.reason == UNREADABLE
        return self.study == skip.study and same_task


@dataclass(frozen=True)
class Outcome:
    """What became of one offer.

    Attributes:
        offer: the event.
        how: ``labelled``, ``skipped``, ``given_back``, ``expired`` or ``open``. A label counts also when its
            reader saved it after the time was over.
        when: it ended; "" for ``open``.
    """

    offer: WorklistEvent
    how: str
    when: str


@dataclass(frozen=True)
class WorklistHistory:
    """All that happened, the oldest first.

    Attributes:
        events: that could be read.
        damaged_lines: how many lines could not.
    """

    events: tuple[WorklistEvent, ...] = ()
    damaged_lines: int = 0

    def then(self, events: Sequence[WorklistEvent], damaged_lines: int) -> WorklistHistory:
        """This history and what happened next; what is known of this one is not worked out again.

        Args:
            events: the newer ones.
            damaged_lines: among the newer ones.
        """
        later = WorklistHistory((*self.events, *events), self.damaged_lines + damaged_lines)
        # Where the cached properties keep what they found.
        vars(later)["offers"] = (*self.offers, *_offers(events))
        vars(later)["_counting"] = _counting(self._counting, events)
        return later

    @cached_property
    def offers(self) -> tuple[WorklistEvent, ...]:
        """The offers."""
        return _offers(self.events)

    @cached_property
    def skips(self) -> tuple[WorklistEvent, ...]:
        """The skips that count: those that nobody has taken back; by study, the one skipped first first."""
        return tuple(skip for skips in self._counting.values() for skip in skips)

    @cached_property
    def _counting(self) -> Mapping[str, tuple[WorklistEvent, ...]]:
        return _counting({}, self.events)

    def skipped_for(self, reader: str, task: str) -> frozenset[str]:
        """The studies that are not to be offered to this reader for this task, because they were skipped.

        By this reader; by ``ENOUGH_SKIPS`` readers; or because somebody could not read it: that is so for
        every task.
        """
        readers: dict[str, set[str]] = {}
        for skip in self.skips:
            if skip.task == task or skip.reason == UNREADABLE:
                readers.setdefault(skip.study, set()).add(skip.reader)
        closed = self.skipped_for_all(task)
        return closed | {study for study, who in readers.items() if reader in who}

    def skipped_for_all(self, task: str) -> frozenset[str]:
        """The studies that nobody is to be offered for this task, see ``skipped_for``."""
        readers: dict[str, set[str]] = {}
        unreadable = {skip.study for skip in self.skips if skip.reason == UNREADABLE}
        for skip in self.skips:
            if skip.task == task:
                readers.setdefault(skip.study, set()).add(skip.reader)
        return frozenset(unreadable | {study for study, who in readers.items() if len(who) >= ENOUGH_SKIPS})

    def seen_by(self, reader: str) -> frozenset[str]:
        """The studies that were ever offered to a reader, for whatever task."""
        return frozenset(offer.study for offer in self.offers if offer.reader == reader)

    def is_open(self, offer: str) -> bool:
        """Whether an offer of this number was made and has no end."""
        last = next((event for event in reversed(self.events) if event.offer == offer), None)
        return last is not None and last.event == OFFERED

    def labelled_after(self, offer: str) -> bool:
        """Whether anybody labelled the study of an offer, for its task, after the offer was made."""
        labelled = set()
        for event in reversed(self.events):
            if event.event == LABELLED:
                labelled.add((event.study, event.task))
            elif event.event == OFFERED and event.offer == offer:
                return (event.study, event.task) in labelled
        return False

    def last_offer(self, study: str, reader: str, task: str) -> str:
        """The number of the newest offer of a study to a reader for a task; "" for none."""
        wanted = (study, reader, task)
        found = (each for each in reversed(self.offers) if (each.study, each.reader, each.task) == wanted)
        return next((each.offer for each in found), "")

    def outcomes(self, task: str) -> tuple[Outcome, ...]:
        """What became of every offer for a task, in the order of the offers."""
        ends: dict[str, WorklistEvent] = {}
        for event in self.events:
            # A label has the last word; of other ends the first, for only that was one.
            if (
                event.offer
                and event.event != OFFERED
                and (event.event == LABELLED or event.offer not in ends)
            ):
                ends[event.offer] = event
        return tuple(
            Outcome(offer, end.event, end.when)
            if (end := ends.get(offer.offer))
            else Outcome(offer, OPEN, "")
            for offer in self.offers
            if offer.task == task
        )

    def random_picks(self, task: str) -> tuple[Outcome, ...]:
        """What became of every offer for a task that was drawn at random."""
        return tuple(each for each in self.outcomes(task) if each.offer.strategy == "random")


def _offers(events: Iterable[WorklistEvent]) -> tuple[WorklistEvent, ...]:
    return tuple(event for event in events if event.event == OFFERED)


def _counting(
    before: Mapping[str, tuple[WorklistEvent, ...]], events: Iterable[WorklistEvent]
) -> Mapping[str, tuple[WorklistEvent, ...]]:
    """The skips that count after these events, by study, from those that counted before them."""
    counting = dict(before)
    for event in events:
        skips = counting.get(event.study, ())
        if event.event == SKIPPED:
            counting[event.study] = (*skips, event)
        elif event.event == UNSKIPPED and skips:
            counting[event.study] = tuple(skip for skip in skips if not event.takes_back(skip))
    return counting
