"""Conflict: two readers labelled a study upon the same version, and the later one has to say which counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..client import Client
from ..contract.label import LabelHistory, StudyLabel
from ..errors import LabelConflictError, VptctError
from ..kept_label import KeptLabel
from ..outbox import Sending
from ..transport.cancel import Cancel


@dataclass(frozen=True)
class Conflict:
    """Both labels.

    Attributes:
        kept: this reader's, on this computer; the server has set it aside, too.
        newest_version: the one that counts.
        theirs: what it says; None where it cannot be read.
    """

    kept: KeptLabel
    newest_version: int
    theirs: StudyLabel | None


def conflicts_told(sending: Sending) -> dict[str, Conflict | None]:
    """Of labels that were just refused, by their ids: the conflict; None where another reason was told."""
    told: dict[str, Conflict | None] = {}
    for kept, error in sending.refused:
        if not isinstance(error, LabelConflictError):
            told[kept.id] = None
        elif error.conflict is not None:
            told[kept.id] = Conflict(kept, error.conflict.newest_version, error.conflict.newest)
    return told


def conflicts_found(
    client: Client,
    refused: Iterable[KeptLabel],
    known: Mapping[str, Conflict | None],
    cancel: Cancel,
) -> dict[str, Conflict | None]:
    """The same of labels that were refused before this module was opened, from the history of their studies.

    A study whose history is not to be had is left out, and looked at another time. Asks the server, so not
    for the GUI's thread.
    """
    found: dict[str, Conflict | None] = {}
    for kept in refused:
        if kept.id in known:
            continue
        try:
            history = client.labels.history(kept.study, kept.label.task, cancel)
        except VptctError:
            cancel.check()
            continue
        found[kept.id] = _conflict(kept, history)
    return found


def _conflict(kept: KeptLabel, history: LabelHistory) -> Conflict | None:
    newest = history.newest_version
    if kept.if_version is None or newest == kept.if_version:
        return None
    theirs = next((each.label for each in history.versions if each.version == newest), None)
    return Conflict(kept, newest, theirs)
