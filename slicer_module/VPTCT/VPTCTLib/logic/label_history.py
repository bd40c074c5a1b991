"""History: what was said about the study on screen before, by whom, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from ..client import Client
from ..contract.label import LabelHistory, SavedLabel, SetAsideLabel, StudyLabel
from ..errors import NotThereError, UnreachableError, VptctError
from ..i18n import tr as _
from ..jobs import Job, Jobs
from ..signal import Signal
from .choice import Choice
from .kept_labels import KeptLabels
from .messages import Messages
from .server_link import READY, ServerLink
from .study_on_screen import StudyOnScreen

ABOUT = "history"


@dataclass(frozen=True)
class _Question:
    """Of which study and task whom is asked."""

    client: Client
    study: str
    task: str


@dataclass(frozen=True)
class HistoryRow:
    """One line for the reader, of a version, of a label that was set aside, or of a damaged one.

    Attributes:
        version: its number; None for one that was set aside.
        annotator: who; "" where it is not known.
        saved: when, by the server's clock; "" where it is not known.
        label: what it says; None where it cannot be read.
        seconds_spent: on it; None where it cannot be read.
        counts: whether it is the one that counts.
        note: what else there is to say of it; "" for nothing.
    """

    version: int | None
    annotator: str
    saved: str
    label: StudyLabel | None
    seconds_spent: float | None
    counts: bool
    note: str = ""


def history_rows(labels: LabelHistory) -> tuple[HistoryRow, ...]:
    """Versions, readable or not, newest first; then what was set aside."""
    newest = labels.newest_version
    versions = [
        HistoryRow(
            each.version,
            each.annotator,
            each.saved,
            each.label,
            each.label.seconds_spent,
            counts=each.version == newest,
        )
        for each in labels.versions
    ]
    damaged = [
        HistoryRow(each.version, "", "", None, None, counts=each.version == newest, note=each.problem)
        for each in labels.damaged
    ]
    rows = sorted(versions + damaged, key=lambda row: row.version or 0, reverse=True)
    return (*rows, *(_row_of_set_aside(each) for each in reversed(labels.set_aside)))


def _row_of_set_aside(each: SetAsideLabel) -> HistoryRow:
    note = _("Set aside: meant upon version {expected}, when version {newest} was there.").format(
        expected=each.expected_version, newest=each.newest_version
    )
    return HistoryRow(
        None, each.annotator, each.saved, each.label, each.label.seconds_spent, counts=False, note=note
    )


class History:
    """Labels of the study on screen for the chosen task, as the server told them last.

    Args:
        server: has them.
        study: that is on screen.
        choice: of the task.
        kept: tells when a label was saved.
        jobs: ask the server.
        messages: tell what went wrong, as ``history``.
        is_blind: whether they are hidden from the reader at the moment: for a second reading nobody may see
            the first one. They are then not even asked for.

    Attributes:
        changed: any of these.
        labels: what the server told; None where it has told nothing yet, or where it is hidden.
        hidden: whether it is hidden.
    """

    def __init__(
        self,
        server: ServerLink,
        study: StudyOnScreen,
        choice: Choice,
        kept: KeptLabels,
        jobs: Jobs,
        messages: Messages,
        is_blind: Callable[[], bool],
    ) -> None:
        self.changed = Signal()
        self._server, self._study, self._choice = server, study, choice
        self._jobs, self._messages, self._is_blind = jobs, messages, is_blind
        self._question: _Question | None = None
        self._job: Job[LabelHistory] | None = None
        self.labels: LabelHistory | None = None
        self.hidden = False
        for each in (study, choice):
            each.changed.connect(self.follow)
        server.ready.connect(self.refresh)
        server.left.connect(self.follow)
        kept.saved.connect(self._on_saved)

    @property
    def rows(self) -> tuple[HistoryRow, ...]:
        """For a table, newest first."""
        return history_rows(self.labels) if self.labels is not None else ()

    @property
    def newest_version(self) -> int | None:
        """The newest version that this reader could see; 0 for none there; None where it is not known."""
        return self.labels.newest_version if self.labels is not None else None

    def follow(self) -> None:
        """Look which study and task there are, and whether they are hidden."""
        client = self._server.client
        task = self._choice.task.name if self._choice.task is not None else ""
        hidden = self._is_blind()
        question = None
        if client is not None and self._study.study and task and not hidden:
            question = _Question(client, self._study.study, task)
        if question == self._question and hidden == self.hidden:
            return
        self._forget()
        self._question, self.hidden = question, hidden
        self.refresh()
        self.changed.emit()

    def refresh(self) -> None:
        """Ask again; what is known stays until the answer comes."""
        question = self._question
        if question is None or self._server.state != READY:
            return
        if self._job is not None:
            self._job.drop()
        self._job = self._jobs.start(
            lambda work: question.client.labels.history(question.study, question.task, work.cancel),
            self._is_known,
            self._is_not_known,
        )

    def _is_known(self, labels: LabelHistory) -> None:
        self._job, self.labels = None, labels
        self._messages.settle(ABOUT)
        self.changed.emit()

    def _is_not_known(self, error: VptctError) -> None:
        self._job = None
        # What the link to the server, or the study on screen, tells already is not told twice.
        if not isinstance(error, (UnreachableError, NotThereError)):
            self._messages.tell_error(error, about=ABOUT)
        self._server.report(error, self.refresh)
        self.changed.emit()

    def _on_saved(self, study: str, saved: SavedLabel, task: str) -> None:
        self.follow()
        if self._question is not None and study == self._question.study:
            self.refresh()

    def _forget(self) -> None:
        if self._job is not None:
            self._job.drop()
        self._job = self._question = self.labels = None
