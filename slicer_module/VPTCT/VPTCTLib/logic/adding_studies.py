"""AddingStudies: a volume that is only on this computer becomes a study of the server, to be labelled."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Callable

from ..client import Client
from ..errors import VptctError
from ..i18n import tr as _
from ..jobs import Job, Jobs, Work
from ..scene.export import VolumeSnapshot, snapshot, write_study
from ..scene.origin import mark_origin
from ..signal import Signal
from ..which_study import ToUpload
from .label_words import host_in_words
from .messages import Messages
from .questions import RememberedQuestions, check_server
from .server_link import ServerLink
from .study_on_screen import StudyOnScreen

ABOUT = "adding a study"


class AddingStudies:
    """One study at a time. The reader is asked before each.

    Args:
        server: gets the studies.
        study: that is on screen.
        questions: ask the reader.
        jobs: write and upload.
        messages: tell what went wrong.
        folder: for the file that is uploaded.

    Attributes:
        changed: any of these.
        progress: bytes so far and in all; None where nothing is on its way, or nothing was sent yet.
    """

    def __init__(
        self,
        server: ServerLink,
        study: StudyOnScreen,
        questions: RememberedQuestions,
        jobs: Jobs,
        messages: Messages,
        folder: Path,
    ) -> None:
        self.changed = Signal()
        self._server, self._study, self._questions = server, study, questions
        self._jobs, self._messages, self._folder = jobs, messages, folder
        self._job: Job[str] | None = None
        self.progress: tuple[int, int] | None = None
        server.left.connect(self._on_left)

    @property
    def is_busy(self) -> bool:
        """Whether a study is on its way."""
        return self._job is not None

    @property
    def why_not(self) -> str:
        """Why the study on screen cannot be added; "" where it can, or where it is there already."""
        if not isinstance(self._study.place, ToUpload):
            return ""
        if self._study.refusal:
            return self._study.refusal
        info = self._server.info
        if info is not None and info.uploads is not None and info.uploads.add_studies is False:
            return _("This study is not on the server, and the server takes no studies: ask who runs it.")
        return ""

    def add(self, then: Callable[[str], object]) -> None:
        """Ask the reader, and add the study on screen.

        Args:
            then: called with its id, once it is on the server.
        """
        client, place, volume = self._server.client, self._study.place, self._study.volume
        info = self._server.info
        if client is None or info is None or not isinstance(place, ToUpload) or self.is_busy or self.why_not:
            return
        if not self._agreed(client.address, place.why):
            return
        taken, server_id = snapshot(volume), info.server_id

        def done(study: str) -> None:
            self._end()
            self._messages.settle(ABOUT)
            self._name(volume, client.address, study)
            then(study)

        self._job = self._jobs.start(
            lambda work: _added(client, server_id, taken, self._folder, work),
            done,
            self._failed,
            progress=self._told,
        )
        self.changed.emit()

    def cancel(self) -> None:
        """Add it not, after all."""
        if self._job is not None:
            self._job.cancel()

    def _agreed(self, address: str, why: str) -> bool:
        what = _(
            "The whole study is copied to {server} and becomes one of its studies, for all its readers. "
            "Patient names do not go along."
        ).format(server=host_in_words(address))
        # One question, not two: the one about uploads to this server says all that the other one does.
        if not self._questions.consent(address):
            return self._questions.may_upload(address, why, what)
        return self._questions.confirm(_("Add this study to the server?"), f"{why}\n\n{what}", _("Add"))

    def _name(self, volume: Any, address: str, study: str) -> None:
        if volume is self._study.volume:
            self._study.named(study)
        elif volume.GetScene() is not None:
            info = self._server.info
            server_id = info.server_id if info is not None else ""
            mark_origin(volume, server=address, study=study, server_id=server_id)

    def _told(self, done: int, total: int) -> None:
        self.progress = (done, total)
        self.changed.emit()

    def _failed(self, error: VptctError) -> None:
        self._end()
        self._messages.tell_error(error, about=ABOUT)
        self._server.report(error)

    def _end(self) -> None:
        self._job = self.progress = None
        self.changed.emit()

    def _on_left(self) -> None:
        if self._job is not None:
            self._job.drop()
            self._end()


def _added(client: Client, server_id: str, taken: VolumeSnapshot, folder: Path, work: Work) -> str:
    """Write the study whole and send it; its id."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        file = write_study(taken, None, Path(scratch), progress=lambda done, total: None, cancel=work.cancel)
        check_server(client, server_id, work.cancel)
        return client.studies.add(file, progress=work.progress, cancel=work.cancel)
