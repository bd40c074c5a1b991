"""VersionsOfModel: which version of the chosen network answers, and making another one answer."""

from __future__ import annotations

from typing import Callable

from ..contract.login import REVIEWER
from ..contract.training import Training
from ..contract.versions import Version, Versions
from ..errors import VptctError
from ..i18n import tr as _
from ..jobs import Jobs, Work
from ..signal import Signal
from .choice import Choice
from .messages import INFO, Messages
from .server_link import READY, ServerLink
from .server_words import why_no_server
from .trainings import TrainingWatch

ABOUT = "versions"
# How a version comes to answer by its training alone.
PUBLISHED = "published"


class VersionsOfModel:
    """The versions of the chosen network.

    Args:
        server: that has them.
        choice: of the network.
        trainings: whose end brings another version.
        jobs: for requests.
        messages: for what went wrong.

    Attributes:
        changed: anything below.
        versions: None where they are not known yet.
        busy: whether another version is being made to answer.
    """

    def __init__(
        self, server: ServerLink, choice: Choice, trainings: TrainingWatch, jobs: Jobs, messages: Messages
    ) -> None:
        self._server, self._choice, self._jobs, self._messages = server, choice, jobs, messages
        self.changed = Signal()
        self.versions: Versions | None = None
        self.busy = False
        self._known: tuple[str, int | None] | None = None
        server.changed.connect(self._follow)
        server.left.connect(self._forget)
        choice.changed.connect(self._follow)
        trainings.finished.connect(lambda training: self.look())

    @property
    def newest_first(self) -> tuple[Version, ...]:
        """All versions."""
        if self.versions is None:
            return ()
        return tuple(sorted(self.versions.versions, key=lambda each: each.version, reverse=True))

    @property
    def why_not(self) -> str:
        """Why nothing can be changed now; "" where it can."""
        if why_not := why_no_server(self._server):
            return why_not
        if not self._server.may(REVIEWER):
            return _("Your login does not allow it: this takes the role {role}.").format(role=REVIEWER)
        return _("Wait for the server's answer.") if self.busy else ""

    def why_no_promotion(self, version: int | None) -> str:
        """Why this version cannot be made to answer; "" where it can."""
        if version is None or self.versions is None:
            return _("Choose a version in the table first.")
        if version == self.versions.served:
            return _("This version answers already.")
        return self.why_not

    @property
    def why_no_rollback(self) -> str:
        """Why there is no way back; "" where there is."""
        if self.versions is None or self.versions.before is None:
            return _("No other version answered before.")
        return self.why_not

    def chosen_since(self, training: Training) -> int | None:
        """The version that answers because a person chose it after this training had ended; None for none."""
        versions = self.versions
        if versions is None or versions.name != training.name or training.ended is None:
            return None
        last = versions.changes[-1] if versions.changes else None
        # Both are UTC to the second: a choice is a person's, and comes after the end that they read.
        if last is None or last.how == PUBLISHED or last.when < training.ended:
            return None
        return versions.served

    def promote(self, version: int, why: str = "") -> None:
        """Let this version answer from now on."""
        client, model = self._server.client, self._choice.model
        if self.why_no_promotion(version) or client is None or model is None:
            return
        name = model.name
        self._change(lambda work: client.versions.promote(name, version, why=why, cancel=work.cancel))

    def roll_back(self, why: str = "") -> None:
        """Let the version answer that did so before."""
        client, model = self._server.client, self._choice.model
        if self.why_no_rollback or client is None or model is None:
            return
        name = model.name
        self._change(lambda work: client.versions.rollback(name, why=why, cancel=work.cancel))

    def look(self) -> None:
        """Ask the server."""
        client, model = self._server.client, self._choice.model
        if client is None or model is None or self._server.state != READY:
            return
        name = model.name

        def current() -> bool:
            chosen = self._choice.model
            return client is self._server.client and chosen is not None and chosen.name == name

        def done(versions: Versions) -> None:
            if current():
                self.versions = versions
                self.changed.emit()

        def failed(error: VptctError) -> None:
            if current():
                self._known = None  # Asked again at the next look at the server.
                self._messages.tell_error(error, about=ABOUT)
                self._server.report(error)

        self._jobs.start(lambda work: client.versions.of(name, work.cancel), done, failed)

    def _change(self, call: Callable[[Work], int]) -> None:
        client = self._server.client
        self.busy = True
        self._messages.settle(ABOUT)

        def done(served: int) -> None:
            if client is self._server.client:
                self.busy = False
                self._messages.tell(
                    INFO, _("Version {number} answers from now on.").format(number=served), about=ABOUT
                )
                self.look()
                self._server.refresh()
                self.changed.emit()

        def failed(error: VptctError) -> None:
            if client is self._server.client:
                self.busy = False
                self._messages.tell_error(error, about=ABOUT)
                self._server.report(error)
                self.changed.emit()

        self._jobs.start(call, done, failed)
        self.changed.emit()

    def _follow(self) -> None:
        """Ask where another network is chosen, or another version answers than before."""
        model = self._choice.model
        wanted = (model.name, model.version) if model is not None and self._server.state == READY else None
        if wanted is None and model is None:
            self._forget()
        elif wanted is not None and wanted != self._known:
            if self._known is None or self._known[0] != wanted[0]:
                self.versions = None
            self._known = wanted
            self.look()
        self.changed.emit()

    def _forget(self) -> None:
        self.versions, self._known, self.busy = None, None, False
        self.changed.emit()
