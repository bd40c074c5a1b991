"""Classification: what the network says of the volume on screen, and how one gets it to say it.

One volume is classified at a time. Another one that the reader wants classified meanwhile waits in line, also
when they look at yet another one; each answer goes to the volume that it was asked for.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Callable

import slicer

from ..contract.result import Result
from ..errors import VptctError
from ..i18n import tr as _
from ..jobs import Jobs
from ..scene.fingerprint import revision
from ..scene.results import KeptResult, keep_result, result_of, results_of
from ..settings import Settings
from ..signal import Signal
from ..ticker import Ticker
from .answer_words import note_beside
from .asking import Answer
from .choice import Choice
from .classify_order import Bench, NotAgreedError, Order
from .classify_run import IDLE, WAITING, ClassifyRun
from .messages import INFO, WARNING, Messages
from .questions import Questions
from .server_link import ServerLink
from .study_on_screen import StudyOnScreen
from .unsuitable import offer_anyway
from .upload_sessions import Uploaded, UploadSessions
from .why_not import why_not

ABOUT = "classification"


class Classification:
    """Classifies volumes.

    Args:
        server: that does it.
        choice: of the task and the network.
        study: the volume on screen.
        jobs, ticker: for all that takes time.
        messages: tell what went wrong, as ``classification``.
        questions: before anything is uploaded.
        settings: whether studies are uploaded whole.
        scratch_folder: for files on their way.
        clock: seconds since 1970.

    Attributes:
        changed: anything below but progress, or what is on screen.
        progressed: it goes on; many times a second.
        finished: an answer came; the volume and the Result are given.
    """

    def __init__(
        self,
        server: ServerLink,
        choice: Choice,
        study: StudyOnScreen,
        jobs: Jobs,
        ticker: Ticker,
        messages: Messages,
        questions: Questions,
        settings: Settings,
        scratch_folder: Path,
        clock: Callable[[], float],
    ) -> None:
        self.changed, self.progressed, self.finished = Signal(), Signal(), Signal()
        self._server, self._choice, self._study, self._messages = server, choice, study, messages
        self._clock = clock
        self._sessions = UploadSessions(clock)
        self._bench = Bench(
            jobs, ticker, questions, settings, self._sessions, scratch_folder, study.origin_of
        )
        self._runs: list[ClassifyRun] = []
        self._told_states: tuple[str, ...] = ()
        self._told_of: slicer.vtkMRMLScalarVolumeNode | None = None
        server.changed.connect(self.changed.emit)
        server.left.connect(self._on_left)
        choice.changed.connect(self.changed.emit)
        study.changed.connect(self._on_study)
        study.watch.went.connect(self._on_volume_went)

    @property
    def state(self) -> str:
        """Of the volume and the network on screen: ``idle``, ``waiting`` for another volume to be classified,
        ``asking`` where the study is, ``preparing``, ``uploading`` or ``computing``."""
        run = self._run_on_screen()
        return run.state if run is not None else IDLE

    @property
    def progress(self) -> tuple[int, int] | None:
        """Bytes sent and in all while uploading, slices while preparing; None otherwise."""
        run = self._run_on_screen()
        return run.progress if run is not None else None

    @property
    def explains(self) -> bool:
        """Whether what runs for the volume and the network on screen was asked where it looks, too."""
        run = self._run_on_screen()
        return run is not None and run.order.explain

    @property
    def ahead(self) -> int | None:
        """How many studies the server takes before this one; None where that is not known."""
        run = self._run_on_screen()
        return run.ahead if run is not None else None

    @property
    def waits_for(self) -> str:
        """The volume that is classified now, while the one on screen waits in line; "" otherwise."""
        return self._runs[0].order.volume_name if self.state == WAITING else ""

    @property
    def others(self) -> tuple[str, ...]:
        """What else is classified or waits for that: the names of the volumes."""
        on_screen = self._run_on_screen()
        return tuple(run.order.volume_name for run in self._runs if run is not on_screen)

    @property
    def can_start(self) -> str:
        """Why the volume on screen cannot be classified now, in words; "" where it can."""
        return why_not(self._server, self._study, self._choice)

    @property
    def kept(self) -> KeptResult | None:
        """The answer for the volume, task and network on screen, with where it is kept in the scene.

        Without a server, and so without a task, the newest that the volume has.
        """
        volume, task, model = self._study.volume, self._choice.task, self._choice.model
        if volume is None:
            return None
        if task is None or model is None:
            return next(iter(results_of(volume)), None)
        return result_of(volume, task.name, model.network)

    @property
    def result(self) -> Result | None:
        """The answer for the volume, task and network on screen; None where there is none."""
        kept = self.kept
        return kept.result if kept is not None else None

    @property
    def when(self) -> str:
        """When ``result`` was given, as ``2026-11-20T20:31:05Z``; "" without one."""
        kept = self.kept
        return kept.when if kept is not None else ""

    @property
    def note(self) -> str:
        """What is to be said beside the answer: that another version, or another server, would answer now."""
        return note_beside(self.kept, self._choice.model, self._server.address)

    @property
    def uploaded_until(self) -> float | None:
        """How long the server keeps an upload of the volume on screen, in the form that the chosen network
        takes (seconds since 1970); None where it would be uploaded first."""
        order = self._order()
        if order is None:
            return None
        needs, contents = self._bench.needs(order), revision(order.volume)
        return self._sessions.kept_until(Uploaded(order.client, order.volume_id, contents, needs))

    def start(self, *, explain: bool = False) -> None:
        """Classify the volume on screen, now or when it is its turn. Nothing happens where that cannot be.

        With ``explain`` the answer tells where in the volume it comes from, too, which takes longer.
        """
        order = self._order()
        if order is not None and not self.can_start and self.state == IDLE:
            self._add(replace(order, explain=explain))

    def cancel(self) -> None:
        """End what runs or waits for the volume and the network on screen."""
        run = self._run_on_screen()
        if run is not None:
            self._remove(run)

    def leave(self) -> None:
        """The scene closes: nothing of it is classified any more."""
        self._drop_all()

    def close(self) -> None:
        """The panel is going: the server removes what was uploaded."""
        self._drop_all(wait=True)

    def _order(self) -> Order | None:
        """For what is on screen and chosen; None where something of it is not there."""
        volume, task, model = self._study.volume, self._choice.task, self._choice.model
        client, info = self._server.client, self._server.info
        if volume is None or task is None or model is None or client is None or info is None:
            return None
        return Order(volume, volume.GetID(), volume.GetName(), task, model, client, info)

    def _run_on_screen(self) -> ClassifyRun | None:
        volume, model = self._study.volume, self._choice.model
        if volume is None or model is None:
            return None
        return next((run for run in self._runs if run.order.is_for(volume.GetID(), model.name)), None)

    def _add(self, order: Order) -> None:
        self._messages.settle(ABOUT)
        self._runs.append(ClassifyRun(order, self._bench, self._on_step, self._on_end))
        self._begin_next()
        self.changed.emit()

    def _begin_next(self) -> None:
        if not self._runs or self._runs[0].state != WAITING:
            return
        run = self._runs[0]
        # What is known of the volume on screen need not be asked again.
        run.begin(self._study.place if run.order.volume is self._study.volume else None)

    def _on_step(self) -> None:
        states = tuple(run.state for run in self._runs)
        if states != self._told_states:
            self._told_states = states
            self.changed.emit()
        else:
            self.progressed.emit()

    def _remove(self, run: ClassifyRun) -> None:
        run.cancel()
        self._runs.remove(run)
        self._begin_next()
        self.changed.emit()

    def _on_end(self, run: ClassifyRun, outcome: Answer | VptctError) -> None:
        self._runs.remove(run)
        if isinstance(outcome, VptctError):
            self._tell(run, outcome)
        else:
            self._keep(run, outcome)
        self._begin_next()
        self.changed.emit()

    def _keep(self, run: ClassifyRun, answer: Answer) -> None:
        order, result = run.order, answer.result
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))
        server = order.client.address
        keep_result(order.volume, result, server=server, when=when, of=run.of, maps=answer.maps)
        if order.volume is not self._study.volume:
            self._told_of = order.volume
            self._messages.tell(
                INFO,
                _("{name} is classified. Choose it to see the answer.").format(name=order.volume_name),
                about=ABOUT,
            )
        self.finished.emit(order.volume, result)

    def _tell(self, run: ClassifyRun, error: VptctError) -> None:
        if isinstance(error, NotAgreedError):
            self._messages.tell(INFO, error.message, error.hint, about=ABOUT)
            return
        self._messages.tell_error(error, about=ABOUT)
        self._server.report(error, lambda: self._again(run.order))
        if run.order.volume is self._study.volume:
            offer_anyway(run.order, error, self._bench, self._again)

    def _again(self, order: Order) -> None:
        """What the reader asked for goes on: they logged in again, or want it all the same."""
        known = any(run.order.is_for(order.volume_id, order.model.name) for run in self._runs)
        left = order.client is not self._server.client
        if order.volume.GetScene() is not None and not (known or left):
            self._add(order)

    def _on_study(self) -> None:
        if self._told_of is not None and self._told_of is self._study.volume:
            # The reader did what the message asked for.
            self._told_of = None
            self._messages.settle(ABOUT)
        self.changed.emit()

    def _on_volume_went(self, volume_id: str) -> None:
        self._sessions.forget_volume(volume_id)
        for run in [run for run in self._runs if run.order.volume_id == volume_id]:
            name = run.order.volume_name
            self._remove(run)
            self._messages.tell(
                WARNING, _("{name} is gone, so it is not classified.").format(name=name), about=ABOUT
            )

    def _on_left(self) -> None:
        self._drop_all()

    def _drop_all(self, *, wait: bool = False) -> None:
        runs, self._runs = self._runs, []
        for run in runs:
            run.cancel()
        self._told_of = None
        self._sessions.forget_all(wait=wait)
        self._messages.settle(ABOUT)
        self.changed.emit()
