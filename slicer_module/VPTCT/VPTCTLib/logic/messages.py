"""Messages: what the reader is told, one at a time, in one place of the panel."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import CancelledError, VptctError
from ..signal import Signal

INFO, WARNING, ERROR = "info", "warning", "error"


@dataclass(frozen=True)
class Message:
    """What is told.

    Attributes:
        level: ``INFO``, ``WARNING`` or ``ERROR``.
        text: what is, or what went wrong.
        hint: what to do; "" for nothing.
        about: what it is about, such as ``server``: the same subject's next message takes its place, and its
            good news takes it away.
    """

    level: str
    text: str
    hint: str = ""
    about: str = ""


class Messages:
    """The last message of each subject, the newest first.

    Attributes:
        changed: there is another, or one less.
    """

    def __init__(self) -> None:
        self.changed = Signal()
        self._messages: list[Message] = []

    @property
    def all(self) -> tuple[Message, ...]:
        """Newest first."""
        return tuple(self._messages)

    @property
    def current(self) -> Message | None:
        """The one to be shown: the newest; those before it are shown when it is put away or over."""
        return self._messages[0] if self._messages else None

    def tell(self, level: str, text: str, hint: str = "", *, about: str) -> None:
        """Show a message in place of the last one on its subject."""
        message = Message(level, text, hint, about)
        if message in self._messages:
            return
        self._messages = [message, *(each for each in self._messages if each.about != about)]
        self.changed.emit()

    def tell_error(self, error: VptctError, *, about: str) -> None:
        """Show what went wrong. What the reader cancelled is no error, and is not told."""
        if not isinstance(error, CancelledError):
            self.tell(ERROR, error.message, error.hint, about=about)

    def settle(self, about: str) -> None:
        """Take away what was told on a subject: it is well again."""
        left = [each for each in self._messages if each.about != about]
        if left != self._messages:
            self._messages = left
            self.changed.emit()
