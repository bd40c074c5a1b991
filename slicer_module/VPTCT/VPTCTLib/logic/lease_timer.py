"""LeaseTimer: keeps studies for the reader while they are open and somebody sits before them."""

from __future__ import annotations

from typing import Callable

from ..contract.worklist import HeldStudy
from ..errors import LeaseError, NotThereError, VptctError
from ..i18n import tr as _
from ..jobs import Jobs
from ..ticker import Ticker
from .held import Held
from .held_studies import HeldStudies
from .messages import WARNING, Messages
from .server_link import READY, ServerLink
from .words import when_in_words

LOOK_SECONDS = 15.0
ABOUT = "lease"


class LeaseTimer:
    """Extends leases at half their time, on this computer's clock: that of the server may be another.

    Args:
        server: that keeps the studies.
        held: which ones.
        jobs: for requests.
        messages: for what is lost.
        ticker: looks every ``LOOK_SECONDS``.
        clock: seconds since 1970.
        is_open: whether a study is open here.

    Attributes:
        sign_of_reader: asked at each look: where it gives another value, such as where the mouse is, somebody
            sits before the screen.
    """

    def __init__(
        self,
        server: ServerLink,
        held: HeldStudies,
        jobs: Jobs,
        messages: Messages,
        ticker: Ticker,
        clock: Callable[[], float],
        is_open: Callable[[str], bool],
    ) -> None:
        self._server, self._held, self._jobs, self._messages = server, held, jobs, messages
        self._clock, self._is_open = clock, is_open
        self.sign_of_reader: Callable[[], object] = lambda: None
        self._last_sign: object = None
        self._since: dict[str, float] = {}
        self._asked: set[str] = set()
        self._active_at = clock()
        server.left.connect(self._on_left)
        self._timer = ticker.every(LOOK_SECONDS, self._look)

    def reader_is_here(self) -> None:
        """The reader did something: moved the mouse, scrolled, marked."""
        self._active_at = self._clock()

    def starts(self, study: str) -> None:
        """A lease began, or was extended, now."""
        self._since[study] = self._clock()
        self.reader_is_here()

    def close(self) -> None:
        """Look no more; what is held stays held until its time is over."""
        self._timer.stop()

    def _look(self) -> None:
        sign = self.sign_of_reader()
        if sign != self._last_sign:
            self._last_sign = sign
            self.reader_is_here()
        worklists = self._held.worklists
        if worklists is None or self._server.state != READY:
            return
        half_seconds = worklists.lease_minutes * 60 / 2
        for held in self._held.all:
            due = self._clock() - self._since.get(held.study, 0) >= half_seconds
            is_here = self._clock() - self._active_at < half_seconds
            if due and is_here and held.study not in self._asked and self._is_open(held.study):
                self._extend(held)

    def _extend(self, held: Held) -> None:
        client = self._server.client
        if client is None:
            return
        self._asked.add(held.study)

        def done(lease: HeldStudy) -> None:
            self._asked.discard(held.study)
            if client is self._server.client:
                self._since[held.study] = self._clock()
                self._held.extended(lease)
                self._messages.settle(ABOUT)

        def failed(error: VptctError) -> None:
            self._asked.discard(held.study)
            if client is self._server.client:
                self._failed(held, error)

        self._jobs.start(
            lambda work: client.worklist.extend(held.study, holder=held.holder, cancel=work.cancel),
            done,
            failed,
        )

    def _failed(self, held: Held, error: VptctError) -> None:
        if isinstance(error, (LeaseError, NotThereError)):
            self._messages.tell(
                WARNING,
                _("Study {study} is no longer kept for you ({why})").format(
                    study=held.study, why=error.message
                ),
                _("You can still submit your label of it; another reader may be at work on it, too."),
                about=ABOUT,
            )
            self._held.forget(held.study)
            return
        self._messages.tell(
            WARNING,
            _("Study {study} could not be kept for you longer: {why}").format(
                study=held.study, why=error.message
            ),
            _("It is tried again every {n} seconds; it is yours until {until}.").format(
                n=round(LOOK_SECONDS), until=when_in_words(held.until)
            ),
            about=ABOUT,
        )
        self._server.report(error)

    def _on_left(self) -> None:
        self._since.clear()
        self._asked.clear()
