"""Submission: the label form becomes a label, first on this computer's disk and then on the server's."""

from __future__ import annotations

from typing import Callable

from ..contract.label import StudyLabel
from ..contract.login import ANNOTATOR
from ..i18n import tr as _
from ..kept_label import KeptLabel
from ..signal import Signal
from .adding_studies import AddingStudies
from .draft import TakenDraft
from .kept_labels import KeptLabels, Target
from .label_draft import LabelDraft
from .label_history import History
from .label_words import host_in_words, labels_in_words
from .messages import WARNING, Messages
from .questions import RememberedQuestions
from .server_link import AWAY, LOGIN, READY, ServerLink
from .study_on_screen import StudyOnScreen
from .words import time_in_words

ABOUT = "label"


class Submission:
    """Submits labels.

    Args:
        server: to which they go.
        study: that is on screen.
        draft: the form.
        history: what the reader has seen of earlier labels.
        kept: labels on their way.
        adding: adds a study that the server does not have.
        messages: say why a label cannot be submitted.
        questions: ask the reader where the views show something else than the label is for.
        label_version_of: upon which version a label of a study is meant, where it was proposed with one.

    Attributes:
        changed: any of these.
        saved: the server has a label on its disk; with the id of the study, a SavedLabel, and the task.
    """

    def __init__(
        self,
        server: ServerLink,
        study: StudyOnScreen,
        draft: LabelDraft,
        history: History,
        kept: KeptLabels,
        adding: AddingStudies,
        messages: Messages,
        questions: RememberedQuestions,
        label_version_of: Callable[[str], int | None],
    ) -> None:
        self.changed, self.saved = Signal(), kept.saved
        self._server, self._study, self._draft, self._history = server, study, draft, history
        self._kept, self._adding, self._messages = kept, adding, messages
        self._questions, self._label_version_of = questions, label_version_of
        self._keeping = False
        self._told = ""
        for each in (server, study, draft, kept, adding):
            each.changed.connect(self._on_change)

    @property
    def waiting(self) -> int:
        """How many labels of this reader wait for this server."""
        return len(self._kept.waiting)

    @property
    def refused(self) -> tuple[KeptLabel, ...]:
        """Those that the server never takes."""
        return self._kept.refused

    @property
    def sending(self) -> bool:
        """Whether labels are on their way."""
        return self._kept.sending

    @property
    def why_not(self) -> str:
        """Why the form cannot be submitted now, in words; "" where it can."""
        if self._keeping or self._adding.is_busy:
            return _("The label is being submitted.")
        return self._draft.missing or self._why_not_here()

    def submit(self) -> None:
        """Submit what the form says, or tell why that cannot be done."""
        if why := self.why_not:
            self._told = why
            self._messages.tell(WARNING, why, about=ABOUT)
            return
        self._messages.settle(ABOUT)
        if not self._is_meant():
            return
        taken, label = self._draft.taken(), self._draft.to_label(self._study.series_uid)
        if self._study.study:
            self._keep(self._target(self._study.study, label.task), taken, label)
        else:
            # The server may know the very same study, with labels that this reader has not seen: upon none.
            self._adding.add(lambda study: self._keep(Target(study, 0), taken, label))

    @property
    def status(self) -> str:
        """What became of labels, in words; "" where there is nothing to say."""
        return "\n".join(filter(None, (self._status_of_this(), self._status_of_waiting())))

    def _on_change(self) -> None:
        if self._told and self.why_not != self._told:
            # What was missing when the reader wanted to submit is there now, or it is another study's form.
            self._told = ""
            self._messages.settle(ABOUT)
        self.changed.emit()

    def _is_meant(self) -> bool:
        """Whether the label is for what the reader sees; they are asked where it is not."""
        other = self._study.is_not_seen
        return not other or self._questions.confirm(
            _("Submit for a study that is not in the views?"), other, _("Submit")
        )

    def _why_not_here(self) -> str:
        server = self._server
        if server.client is None or server.info is None:
            return _("Connect to a server first; what the form says stays with the scene.")
        if server.person is None:
            return _("Log in first: a label carries your name.")
        if not server.may(ANNOTATOR):
            return _("Your login does not allow it: labelling takes the role {role}.").format(role=ANNOTATOR)
        if self._study.place is None:
            return self._why_place_is_unknown()
        if not self._study.study and server.state != READY:
            return _("The study is not on the server yet; submit the label when the server is back.")
        return self._adding.why_not

    def _why_place_is_unknown(self) -> str:
        if self._study.refusal:
            return self._study.refusal
        if self._server.state == READY:
            return _("The server is being asked whether it has this study.")
        return _("Whether the server has this study is not known; submit the label when it is back.")

    def _keep(self, target: Target, taken: TakenDraft, label: StudyLabel) -> None:
        self._keeping = True

        def kept() -> None:
            self._keeping = False
            self._draft.kept(taken)
            self.changed.emit()

        def failed() -> None:
            self._keeping = False
            self.changed.emit()

        self._kept.keep(target, label, kept, failed)
        self.changed.emit()

    def _target(self, study: str, task: str) -> Target:
        """Upon the version of the proposal, else the newest that the reader has seen."""
        known = self._label_version_of(study)
        if known is None:
            known = self._history.newest_version
        own = self._kept.saved_here(study, task)
        if own is not None:
            # Their own label of a moment ago, which neither of the two may know yet.
            known = own.version if known is None else max(own.version, known)
        return Target(study, known)

    def _status_of_this(self) -> str:
        if self._adding.is_busy:
            return _("The study is being added to the server.")
        study, task = self._study.study, self._draft.task
        on_its_way = any(each.study == study and each.label.task == task for each in self._kept.waiting)
        if self._keeping or (on_its_way and self._kept.sending):
            return _("The label is being saved.")
        saved = self._kept.saved_here(study, task)
        if saved is None or on_its_way:
            return ""
        return _("Saved on the server as version {version}, {time}.").format(
            version=saved.version, time=time_in_words(saved.saved)
        )

    def _status_of_waiting(self) -> str:
        if not self.waiting or (self._kept.sending and self._kept.problem is None):
            return ""
        words = {"labels": labels_in_words(self.waiting), "server": host_in_words(self._server.address)}
        if self._server.state == AWAY:
            return _("Kept on this computer: {labels} for {server}, until it is back.").format(**words)
        if self._server.state == LOGIN:
            return _("Kept on this computer: {labels} for {server}, until you log in again.").format(**words)
        why = "" if self._kept.problem is None else self._kept.problem.message
        return (
            _("Kept on this computer: {labels} for {server}, which is asked again soon.").format(**words)
            + f" {why[:1].upper()}{why[1:]}"
        ).strip()
