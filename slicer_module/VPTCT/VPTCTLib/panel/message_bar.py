"""MessageBar: what the reader is told, at the top of the panel, until it is over or put away."""

from __future__ import annotations

from typing import Any

import slicer

from ..logic.messages import ERROR, INFO, WARNING, Message, Messages

# Background and text of each level; they are read on light and dark panels alike.
COLOURS = {INFO: ("#e8f0fa", "#1f3d66"), WARNING: ("#fff3d6", "#5c4400"), ERROR: ("#fde7e7", "#7a1414")}

_STATUS_MS = 10_000


class MessageBar:
    """Shows the newest message; what is no good news also in Slicer's status bar.

    Args:
        messages: of the desk.
        ui: has ``messageFrame``, ``messageLabel`` and ``messageCloseButton``.
    """

    def __init__(self, messages: Messages, ui: Any) -> None:
        self._messages = messages
        self._ui = ui
        self._shown: Message | None = None
        ui.messageCloseButton.connect("clicked(bool)", self._put_away)
        messages.changed.connect(self._show)
        self._show()

    def close(self) -> None:
        """Show no more."""
        self._messages.changed.disconnect(self._show)

    def _show(self) -> None:
        message = self._messages.current
        self._ui.messageFrame.visible = message is not None
        before, self._shown = self._shown, message
        if message is None:
            return
        background, text = COLOURS[message.level]
        self._ui.messageFrame.styleSheet = (
            f"#messageFrame {{ background: {background}; border-radius: 4px; }} QLabel {{ color: {text}; }}"
        )
        words = [_sentence(message.text), *([message.hint] if message.hint else [])]
        self._ui.messageLabel.text = "\n".join(words)
        if message.level != INFO and message != before:
            # For who has scrolled down in the panel.
            slicer.util.showStatusMessage(" ".join(words), _STATUS_MS)

    def _put_away(self) -> None:
        message = self._messages.current
        if message is not None:
            self._messages.settle(message.about)


def _sentence(text: str) -> str:
    """With a capital at its beginning, unless that is the name of a study."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0].isalpha() else text
