"""TrainingWatch: ordering a training of the chosen network, and watching it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..contract.login import REVIEWER
from ..contract.training import Progress, Training, TrainingState
from ..errors import VptctError
from ..i18n import tr as _
from ..jobs import Jobs
from ..signal import Signal
from ..ticker import Ticker
from .choice import Choice
from .messages import ERROR, INFO, Messages
from .server_link import READY, ServerLink
from .server_words import why_no_server

ABOUT = "training"
LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class CurvePoint:
    """What is known of one epoch.

    Attributes:
        fold: from 1; 0 where there are none.
        epoch: from 1.
        loss: mean so far.
        auroc: after it, on the validation studies; None before that, or undefined.
    """

    fold: int
    epoch: int
    loss: float | None
    auroc: float | None


class TrainingWatch:
    """Trainings of the server, as far as the reader cares.

    Args:
        server: that trains.
        choice: of the network.
        jobs: for requests.
        messages: for what went wrong, and for what has ended.
        ticker: looks every ``LOOK_SECONDS`` while something runs or waits.

    Attributes:
        changed: anything below.
        finished: a training has come to an end, with it.
        busy: ``ordering``, ``stopping`` or "".
    """

    def __init__(
        self, server: ServerLink, choice: Choice, jobs: Jobs, messages: Messages, ticker: Ticker
    ) -> None:
        self._server, self._choice, self._jobs, self._messages = server, choice, jobs, messages
        self.changed, self.finished = Signal(), Signal()
        self.busy = ""
        self._state: TrainingState | None = None
        self._curves: dict[int, dict[tuple[int, int], CurvePoint]] = {}
        self._unfinished: set[int] = set()
        self._looks = False
        server.changed.connect(self._on_server)
        server.left.connect(self._on_left)
        choice.changed.connect(self.changed.emit)
        self._timer = ticker.every(LOOK_SECONDS, self._look)

    @property
    def current(self) -> Training | None:
        """The training to be shown for the chosen network: one that runs, or waits, or ended last."""
        model, state = self._choice.model, self._state
        if model is None or state is None:
            return None
        all_of_them = [*([state.running] if state.running else []), *state.queue, *state.last]
        return next((each for each in all_of_them if each.name == model.name), None)

    @property
    def curve(self) -> tuple[CurvePoint, ...]:
        """Of ``current``, by epoch, as far as it was watched from here."""
        current = self.current
        points = self._curves.get(current.id, {}) if current is not None else {}
        return tuple(points[key] for key in sorted(points))

    @property
    def before(self) -> int:
        """How many run or wait before ``current``, where it waits."""
        current, state = self.current, self._state
        if current is None or state is None or current not in state.queue:
            return 0
        return state.queue.index(current) + (state.running is not None)

    @property
    def why_not(self) -> str:
        """Why no training of the chosen network can be ordered now; "" where one can."""
        model, state = self._choice.model, self._state
        if why_not := why_no_server(self._server):
            return why_not
        if state is None:
            return _("Wait for the server.")
        if not state.offered:
            return state.problem or _("This server does not train.")
        if model is None:
            return _("Choose a network first.")
        if not model.settings:
            return _("This server does not train this network.")
        if not self._server.may(REVIEWER):
            return _("Your login does not allow it: ordering a training takes the role {role}.").format(
                role=REVIEWER
            )
        if self.busy:
            return _("Wait for the server's answer.")
        return ""

    @property
    def can_stop(self) -> bool:
        """Whether ``current`` runs or waits, and this reader may end it."""
        current = self.current
        return (
            current is not None
            and current.waits_or_runs
            and self._server.state == READY
            and self._server.may(REVIEWER)
            and not self.busy
        )

    def order(self, settings: Mapping[str, Any]) -> None:
        """Order a training of the chosen network.

        Args:
            settings: those that are not to be the server's default.
        """
        model, client = self._choice.model, self._server.client
        if self.why_not or model is None or client is None:
            return
        name = model.name
        self._start("ordering", lambda work: client.trainings.order(name, settings, work.cancel))

    def stop(self) -> None:
        """End ``current``. What is served does not change."""
        current, client = self.current, self._server.client
        if not self.can_stop or current is None or client is None:
            return
        number = current.id
        self._start("stopping", lambda work: client.trainings.stop(number, work.cancel))

    def close(self) -> None:
        """Look no more."""
        self._timer.stop()

    def _start(self, busy: str, call: Any) -> None:
        client = self._server.client
        self.busy = busy
        self._messages.settle(ABOUT)

        def done(training: Training) -> None:
            if client is self._server.client:
                self.busy = ""
                if training.waits_or_runs:
                    self._unfinished.add(training.id)
                self._look()
                self.changed.emit()

        def failed(error: VptctError) -> None:
            if client is self._server.client:
                self.busy = ""
                self._messages.tell_error(error, about=ABOUT)
                self._server.report(error)
                self.changed.emit()

        self._jobs.start(call, done, failed)
        self.changed.emit()

    def _on_server(self) -> None:
        info = self._server.info
        if info is None:
            self._state = None
        elif self._server.state == READY and not self._looks:
            self._take(info.trainings)
        self.changed.emit()

    def _on_left(self) -> None:
        self._state, self.busy, self._looks = None, "", False
        self._curves.clear()
        self._unfinished.clear()
        self.changed.emit()

    def _look(self) -> None:
        client = self._server.client
        idle = not self._unfinished and (self._state is None or self._state.running is None)
        if self._looks or idle or client is None or self._server.state != READY:
            return
        self._looks = True

        def done(state: TrainingState) -> None:
            if client is self._server.client:
                self._looks = False
                self._take(state)
                self.changed.emit()

        def failed(error: VptctError) -> None:
            if client is self._server.client:
                self._looks = False
                self._server.report(error)

        self._jobs.start(lambda work: client.trainings.state(work.cancel), done, failed)

    def _take(self, state: TrainingState) -> None:
        self._state = state
        live = [*([state.running] if state.running else []), *state.queue]
        for training in [*live, *state.last]:
            self._note(training)
        ended = [each for each in state.last if each.id in self._unfinished]
        self._unfinished = {each.id for each in live}
        known = {each.id for each in [*live, *state.last]}
        self._curves = {number: curve for number, curve in self._curves.items() if number in known}
        for training in reversed(ended):  # The one that ended first comes first.
            self._tell_end(training)
            self.finished.emit(training)
        if ended:
            self._server.refresh()

    def _note(self, training: Training) -> None:
        progress = training.progress
        if progress is not None and progress.epoch and progress.state in ("training", "validating"):
            _note(self._curves.setdefault(training.id, {}), progress)

    def _tell_end(self, training: Training) -> None:
        if training.outcome is not None:
            self._messages.tell(INFO, training.outcome.decision, about=ABOUT)
        elif training.failure is not None and training.state != "stopped":
            self._messages.tell(ERROR, training.failure.detail, training.failure.hint, about=ABOUT)


def _note(curve: dict[tuple[int, int], CurvePoint], progress: Progress) -> None:
    """Put what is told into the curve. Until an epoch is over, the AUROC told is of the one before."""
    here, before = (progress.fold, progress.epoch), (progress.fold, progress.epoch - 1)
    is_over = progress.step * progress.epochs >= progress.epoch * progress.steps
    auroc = progress.validation_auroc if is_over and progress.state == "training" else None
    if auroc is None and here in curve:
        auroc = curve[here].auroc
    curve[here] = CurvePoint(progress.fold, progress.epoch, progress.loss, auroc)
    if not is_over and before in curve:
        curve[before] = replace(curve[before], auroc=progress.validation_auroc)
