"""StudyOnScreen: the volume that the reader works on, and where its study is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import slicer

from ..client import Client
from ..contract.info import StudiesState
from ..errors import UnreachableError, VptctError
from ..i18n import tr as _
from ..jobs import Job, Jobs, Work
from ..scene.jump import put_into_views, set_window_once
from ..scene.origin import mark_origin
from ..scene.parameters import Parameters, scene_of
from ..scene.refusal import refusal_of
from ..scene.volume_watch import VolumeWatch, can_be_read
from ..signal import Signal
from ..ticker import Ticker
from ..which_study import OnServer, Origin, ToUpload, which_study
from .choice import Choice
from .messages import Messages
from .server_link import READY, ServerLink

ABOUT = "study"


@dataclass(frozen=True)
class _Question:
    """What is asked of whom; of another login it is another question."""

    client: Client
    origin: Origin
    server_id: str


class StudyOnScreen:
    """One volume, or none.

    Args:
        server: may have the study.
        choice: of the task, in whose HU window the volume is shown.
        jobs: ask the server.
        messages: tell what went wrong, as ``study``.
        ticker: of the main thread.
        origin_of: where a volume came from; asks Slicer's DICOM database.

    Attributes:
        changed: any of these.
        watch: of all volumes of the scene.
        volume: the chosen one; None where none is.
        place: where its study is; None where that is not known yet.
        refusal: why it cannot be classified; "" where it can.
        origin_of: as given.
    """

    def __init__(
        self,
        server: ServerLink,
        choice: Choice,
        jobs: Jobs,
        messages: Messages,
        ticker: Ticker,
        origin_of: Callable[[slicer.vtkMRMLScalarVolumeNode], Origin],
    ) -> None:
        self._server, self._choice, self._jobs, self._messages = server, choice, jobs, messages
        self.origin_of = origin_of
        self._parameters: Parameters | None = None
        self._question: _Question | None = None
        self._job: Job[OnServer | ToUpload] | None = None
        self.changed = Signal()
        self.volume: slicer.vtkMRMLScalarVolumeNode | None = None
        self.place: OnServer | ToUpload | None = None
        self.refusal = ""
        self.watch = VolumeWatch(ticker)
        self.watch.came.connect(self._on_came)
        self.watch.turned.connect(self._on_turned)
        self.watch.went.connect(self._on_went)
        self.watch.changed.connect(self._on_volume_changed)
        server.ready.connect(self._ask)
        server.left.connect(self._on_left)

    @property
    def study(self) -> str:
        """Its id on the server; "" where it is not there, or where that is not known yet."""
        return self.place.study if isinstance(self.place, OnServer) else ""

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID of the DICOM series that it was loaded from; "" where that is not known."""
        there = self.volume is not None and not self.refusal
        return self.origin_of(self.volume).series_uid if there else ""

    @property
    def is_not_seen(self) -> str:
        """That the views show another image than the volume, or none, in words; "" where they show it."""
        if self.volume is None or not self.watch.has_views:
            return ""
        seen = self.watch.seen()
        if seen is self.volume:
            return ""
        name = self.volume.GetName()
        if seen is None:
            return _("The views show no image; the label is for “{name}”.").format(name=name)
        return _("The views show “{seen}”; the label is for “{name}”.").format(seen=seen.GetName(), name=name)

    def use(self, parameters: Parameters) -> None:
        """Work on the CT that a scene shows, else on the volume that it remembers."""
        self.watch.use(scene_of(parameters))
        self._parameters = parameters
        seen, remembered = self.watch.seen(), parameters.volume
        if _is_ct(seen):
            self._take(seen)
        else:
            self._take(remembered if can_be_read(remembered) else self.watch.shown())

    def leave(self) -> None:
        """The scene closes: none of its volumes is worked on."""
        self._parameters = None
        self._take(None)
        self._messages.settle(ABOUT)
        self.watch.leave()

    def select(self, volume: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Work on this volume, and show it."""
        self._take(volume)
        if can_be_read(volume):
            self._set_window()
            put_into_views(volume)

    def named(self, study: str) -> None:
        """The study of the volume was added to the server, under this id."""
        if self.volume is None:
            return
        server_id = self._server.info.server_id if self._server.info is not None else ""
        mark_origin(self.volume, server=self._server.address, study=study, server_id=server_id)
        self._forget_place()
        self._ask()
        self.changed.emit()

    def look_again(self) -> None:
        """Ask anew where the study is: the server does not have it any more."""
        self._forget_place()
        self._ask()
        self.changed.emit()

    def _take(self, volume: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        if self._parameters is not None and self._parameters.volume is not volume:
            self._parameters.volume = volume
        if volume is not self.volume:
            self.volume = volume
            self.watch.follow(volume)
            self._on_volume_changed()

    def _on_came(self, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
        if self.volume is None:
            self.select(volume)

    def _on_turned(self, seen: slicer.vtkMRMLNode | None) -> None:
        """The label is for what the reader sees; where that is no CT, they are told."""
        if seen is not self.volume and (_is_ct(seen) or (self.volume is None and can_be_read(seen))):
            self._take(seen)
            self._set_window()
        else:
            self.changed.emit()

    def _set_window(self) -> None:
        task = self._choice.task
        if self.volume is not None and task is not None:
            set_window_once(self.volume, window_centre_hu=task.hu_centre, window_width_hu=task.hu_width)

    def _on_went(self, volume_id: str) -> None:
        if self.volume is not None and self.volume.GetScene() is None:
            self._take(None)

    def _on_volume_changed(self) -> None:
        # First: whatever happens next, no volume has the study of the one before.
        self._forget_place()
        self.refusal = refusal_of(self.volume) if self.volume is not None else ""
        self._messages.settle(ABOUT)
        self._ask()
        self.changed.emit()

    def _on_left(self) -> None:
        self._forget_place()
        self.changed.emit()

    def _forget_place(self) -> None:
        if self._job is not None:
            self._job.drop()
        self.place = self._question = self._job = None

    def _ask(self) -> None:
        """Find out where the study is, where that is not known or being asked."""
        client, info = self._server.client, self._server.info
        if self.volume is None or self.refusal or client is None or info is None:
            return
        question = _Question(client, self.origin_of(self.volume), info.server_id)
        if question == self._question or self._server.state != READY:
            return
        self._forget_place()
        self._question = question
        studies = info.studies
        self._job = self._jobs.start(
            lambda work: _where(question, studies, work), self._is_known, self._is_not_known
        )

    def _is_known(self, place: OnServer | ToUpload) -> None:
        self.place, self._job = place, None
        self._messages.settle(ABOUT)
        self.changed.emit()

    def _is_not_known(self, error: VptctError) -> None:
        self._question = self._job = None
        if not isinstance(error, UnreachableError):
            # That a server cannot be reached is told, and looked after, by the link to it.
            self._messages.tell_error(error, about=ABOUT)
        self._server.report(error, self._ask)


def _is_ct(node: slicer.vtkMRMLNode | None) -> bool:
    return can_be_read(node) and not refusal_of(node)


def _where(question: _Question, studies: StudiesState, work: Work) -> OnServer | ToUpload:
    return which_study(question.origin, question.client, studies, work.cancel, server_id=question.server_id)
