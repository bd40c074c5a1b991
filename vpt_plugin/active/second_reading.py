"""Second readings on purpose: which labelled studies another reader may read, the first label unseen."""

from __future__ import annotations

from collections.abc import Collection

from vpt_plugin.active.offers import SECOND, Wish
from vpt_plugin.active.standing import Known, in_dates
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.readings import readings
from vpt_plugin.store.worklist_history import LABELLED, OFFERED, WorklistHistory

WHY = "A second reading of a study that another reader has labelled, to see how readers agree."


def to_read_again(labels: LabelFolder, history: WorklistHistory, known: Known, wish: Wish) -> list[str]:
    """The studies with exactly one reader's label, not this reader's, that may be offered; sorted.

    A label without a name may be this reader's own, and who asks without a name may be the one who labelled
    it: neither makes a second reading. Nor is the name in a label always the one that its reader asks by, so
    whoever was offered a study counts as its reader, too, and a second reading that was labelled as one that
    was done, whatever name the label has.

    Args:
        labels: what readers said.
        history: who was offered what, and what became of it.
        known: of the studies.
        wish: whose reader and dates count.
    """
    if not wish.reader:
        return []
    readers: dict[str, set[str]] = {}
    for reading in readings(labels, wish.task):
        readers.setdefault(reading.study, set()).add(name_key(reading.annotator))
    done = _offered_to(wish, history) | _read_twice(wish.task, history)
    return [
        study
        for study in known.studies
        if len(who := readers.get(study, ())) == 1
        and name_key(wish.reader) not in who
        and study not in done
        and not _is_closed(study, known)
        and not (wish.unseen and study in known.seen)
        and in_dates((known.dates or {}).get(study, ""), wish)
    ]


def name_key(name: str) -> str:
    """A reader's name without what two spellings of it differ in: letters' case and spaces."""
    return " ".join(name.casefold().split())


def _offered_to(wish: Wish, history: WorklistHistory) -> frozenset[str]:
    """The studies that this reader was ever offered for this task, or labelled by the word of the history."""
    asks = name_key(wish.reader)
    return frozenset(
        event.study
        for event in history.events
        if event.task == wish.task and event.event in (OFFERED, LABELLED) and name_key(event.reader) == asks
    )


def _read_twice(task: str, history: WorklistHistory) -> frozenset[str]:
    """The studies of which a second reading was offered, and labelled."""
    return frozenset(
        each.offer.study
        for each in history.outcomes(task)
        if each.offer.reading == SECOND and each.how == LABELLED
    )


def _is_closed(study: str, known: Known) -> bool:
    closed: tuple[Collection[str], ...] = (known.held, known.skipped)
    return any(study in each for each in closed)
