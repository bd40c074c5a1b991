"""StudyEnds: ends a lease without a label: by a skip, or by giving the study back."""

from __future__ import annotations

from typing import Callable

from ..errors import LeaseError, UnreachableError, VptctError
from ..i18n import tr as _
from ..jobs import Jobs, Work
from ..signal import Signal
from .held import Held
from .held_studies import HeldStudies
from .messages import ERROR, INFO, Messages
from .server_link import ServerLink

ABOUT = "end of a study"


class StudyEnds:
    """One at a time.

    Args:
        server: that keeps the studies.
        held: which ones.
        jobs: for requests.
        messages: tells what became of it.

    Attributes:
        changed: ``study`` is another.
        ended: a study was skipped or given back, with its id.
        study: whose end the server is asked for; "" for none.
    """

    def __init__(self, server: ServerLink, held: HeldStudies, jobs: Jobs, messages: Messages) -> None:
        self._server, self._held, self._jobs, self._messages = server, held, jobs, messages
        self.changed, self.ended = Signal(), Signal()
        self.study = ""
        server.left.connect(lambda: self._set(""))

    def skip(self, held: Held, reason: str, comment: str = "") -> None:
        """Give a study back, never to get it again.

        Args:
            held: the study.
            reason: one of ``SKIP_REASONS``.
            comment: a line.
        """
        client = self._server.client
        if client is None or self.study:
            return
        self._ask(
            held.study,
            lambda work: client.worklist.skip(
                held.study, reason, task=held.task, comment=comment, holder=held.holder, cancel=work.cancel
            ),
            _("Study {study} was skipped: you will not get it again.").format(study=held.study),
        )

    def give_back(self, held: Held) -> None:
        """Let others have a study."""
        client = self._server.client
        if client is None or self.study:
            return
        self._ask(
            held.study,
            lambda work: client.worklist.give_back(held.study, holder=held.holder, cancel=work.cancel),
            _("Study {study} was given back: others may get it, and you, too.").format(study=held.study),
        )

    def _ask(self, study: str, call: Callable[[Work], None], good: str) -> None:
        client = self._server.client

        def done(_nothing: None) -> None:
            if client is self._server.client:
                self._messages.tell(INFO, good, about=ABOUT)
                self._over(study)

        def failed(error: VptctError) -> None:
            if client is self._server.client:
                self._failed(study, error)

        self._messages.settle(ABOUT)
        self._set(study)
        self._jobs.start(call, done, failed)

    def _failed(self, study: str, error: VptctError) -> None:
        if isinstance(error, LeaseError):
            # It was not in this reader's hands any more, which is what they wanted.
            self._messages.tell(INFO, error.message, about=ABOUT)
            self._over(study)
            return
        self._set("")
        if isinstance(error, UnreachableError):
            self._messages.tell(
                ERROR,
                _("Study {study} may still be in your hands: {why}").format(study=study, why=error.message),
                _("Try again when the server is back; it is in the list of studies that you hold."),
                about=ABOUT,
            )
        else:
            self._messages.tell_error(error, about=ABOUT)
        self._server.report(error)

    def _over(self, study: str) -> None:
        self._held.forget(study)
        self._held.refresh()
        self._set("")
        self.ended.emit(study)

    def _set(self, study: str) -> None:
        self.study = study
        self.changed.emit()
