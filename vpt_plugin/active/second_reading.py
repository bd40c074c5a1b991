"""Second readings on purpose: which labelled studies another reader may read, the first label unseen."""

from __future__ import annotations

from collections.abc import Collection

from vpt_plugin.active.offers import Wish
from vpt_plugin.active.standing import Known, in_dates
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.readings import readings

WHY = "A second reading of a study that another reader has labelled, to see how readers agree."


def to_read_again(labels: LabelFolder, known: Known, wish: Wish) -> list[str]:
    """The studies with exactly one reader's label, not this reader's, that may be offered; sorted.

    A label without a name may be this reader's own, and who asks without a name may be the one who labelled
    it: neither makes a second reading.

    Args:
        labels: what readers said.
        known: of the studies.
        wish: whose reader and dates count.
    """
    if not wish.reader:
        return []
    readers: dict[str, set[str]] = {}
    for reading in readings(labels, wish.task):
        readers.setdefault(reading.study, set()).add(reading.annotator)
    return [
        study
        for study in known.studies
        if len(who := readers.get(study, ())) == 1
        and wish.reader not in who
        and not _is_closed(study, known)
        and not (wish.unseen and study in known.seen)
        and in_dates((known.dates or {}).get(study, ""), wish)
    ]


def _is_closed(study: str, known: Known) -> bool:
    closed: tuple[Collection[str], ...] = (known.held, known.skipped)
    return any(study in each for each in closed)
