"""ReadingClock: how long the reader has looked at the study on screen, with the module open."""

from __future__ import annotations

from typing import Callable

from ..signal import Signal
from ..ticker import Ticker, Timer
from .label_draft import LabelDraft

_TICK_SECONDS = 1.0
# A computer that slept meanwhile was not read at.
_MOST_PER_TICK_SECONDS = 5.0
# Who neither scrolls nor says anything for so long is not reading.
_AWAY_AFTER_SECONDS = 180.0


class ReadingClock:
    """Counts for the label form.

    Args:
        draft: the form.
        ticker: of the main thread.
        clock: seconds since 1970.

    Attributes:
        ticked: the form's time is another.
    """

    def __init__(self, draft: LabelDraft, ticker: Ticker, clock: Callable[[], float]) -> None:
        self.ticked = Signal()
        self._draft, self._ticker, self._clock = draft, ticker, clock
        self._timer: Timer | None = None
        self._last = self._active_at = 0.0
        draft.changed.connect(self.note_activity)

    def note_activity(self) -> None:
        """The reader does something with the study."""
        self._active_at = self._clock()

    def start(self) -> None:
        """The module is open."""
        if self._timer is None:
            self._last = self._active_at = self._clock()
            self._timer = self._ticker.every(_TICK_SECONDS, self._count)

    def stop(self) -> None:
        """The module is not open any more; the scene keeps the time with the form."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
            self._draft.write()

    def _count(self) -> None:
        now = self._clock()
        passed, self._last = now - self._last, now
        if now - self._active_at <= _AWAY_AFTER_SECONDS:
            self._draft.spend(min(max(passed, 0.0), _MOST_PER_TICK_SECONDS))
            self.ticked.emit()
