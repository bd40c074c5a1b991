"""ArchiveReports: has the answer on screen stored where the hospital keeps results, as DICOM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..contract.archive_report import ArchiveReport
from ..contract.login import ANNOTATOR
from ..errors import VptctError
from ..i18n import tr as _
from ..jobs import Job, Jobs
from ..signal import Signal
from .messages import INFO, WARNING, Messages
from .server_words import why_no_server

if TYPE_CHECKING:
    from ..client import Client
    from ..contract.result import Result
    from .choice import Choice
    from .evidence import Evidence
    from .questions import Questions
    from .server_link import ServerLink
    from .study_on_screen import StudyOnScreen

ABOUT = "archive report"
_TO_ARCHIVE = "archive"


@dataclass(frozen=True)
class _Meant:
    """What the reader is asked about: which answer, of which version, on which study, and by whose server."""

    client: Client
    model: str
    version: int
    study: str
    result: Result


class ArchiveReports:
    """Has reports sent, one at a time.

    Args:
        server: that makes and sends them.
        choice: of the network.
        study: on screen, and where the server has it.
        evidence: has the answer that the reader sees.
        jobs: for requests.
        messages: for what became of it, as ``archive report``.
        questions: before anything is written there.

    Attributes:
        changed: whether one can be sent.
        busy: whether one is on its way.
    """

    def __init__(
        self,
        server: ServerLink,
        choice: Choice,
        study: StudyOnScreen,
        evidence: Evidence,
        jobs: Jobs,
        messages: Messages,
        questions: Questions,
    ) -> None:
        self._server, self._choice, self._study, self._evidence = server, choice, study, evidence
        self._jobs, self._messages, self._questions = jobs, messages, questions
        self._job: Job[ArchiveReport] | None = None
        self.changed = Signal()
        server.left.connect(self._forget)
        for source in (server, choice, study, evidence):
            source.changed.connect(self.changed.emit)

    @property
    def busy(self) -> bool:
        """Whether one is on its way."""
        return self._job is not None

    @property
    def is_offered(self) -> bool:
        """Whether the server sends reports to the archive that its studies are from."""
        info = self._server.info
        return info is not None and info.features.report == _TO_ARCHIVE

    @property
    def why_not(self) -> str:
        """Why no report of the answer on screen can be sent, in words; "" where it can."""
        if why_not := why_no_server(self._server):
            return why_not
        if not self._server.may(ANNOTATOR):
            return _("Your login does not allow it: this takes the role {role}.").format(role=ANNOTATOR)
        if not self._study.study:
            return _("This study is not in the server's archive.")
        result, model = self._evidence.result, self._choice.model
        if result is None or model is None:
            return _("There is no answer to report yet.")
        if result.model.version != model.version:
            return _("Another version answers now: classify this study again first.")
        return _("A report is on its way.") if self.busy else ""

    def send(self) -> None:
        """Store a report of the answer on screen in the archive, if the reader confirms that."""
        meant = self._meant()
        if meant is None or self.why_not or not self._is_meant(meant.study):
            return
        # While the question was open, jobs came to their end and the reader had hold of the rest of Slicer.
        if self.why_not or self._meant() != meant:
            self._messages.tell(
                WARNING,
                _("No report on {study} was sent: what is on screen changed meanwhile.").format(
                    study=meant.study
                ),
                _("Look at the answer, and send its report where that is meant."),
                about=ABOUT,
            )
            return
        self._messages.settle(ABOUT)
        self._job = self._jobs.start(
            lambda work: meant.client.studies.report(meant.model, meant.study, work.cancel),
            self._on_sent,
            self._on_failure,
        )
        self.changed.emit()

    def _meant(self) -> _Meant | None:
        """What a report would be of now; None where something of it is not there."""
        client, model, result = self._server.client, self._choice.model, self._evidence.result
        if client is None or model is None or result is None:
            return None
        return _Meant(client, model.name, result.model.version, self._study.study, result)

    def _is_meant(self, study: str) -> bool:
        text = _(
            "A structured report of what the network says of {study} is written into the archive, beside the "
            "study, where others read it. It says that it is not for clinical use."
        ).format(study=study)
        return self._questions.confirm(_("Send a report to the archive?"), text, _("Send report"))

    def _on_sent(self, report: ArchiveReport) -> None:
        words = (
            _("The report on {study} by version {version} was in the archive already.")
            if report.already_there
            else _("The report on {study} by version {version} is in the archive.")
        )
        told = words.format(study=report.study, version=report.version)
        self._messages.tell(INFO, told, report.sop_instance_uid, about=ABOUT)
        self._job = None
        self.changed.emit()

    def _on_failure(self, error: VptctError) -> None:
        self._job = None
        self._messages.tell_error(error, about=ABOUT)
        self._server.report(error)
        self.changed.emit()

    def _forget(self) -> None:
        if self._job is not None:
            self._job.drop()
        self._job = None
        self._messages.settle(ABOUT)
