"""Plain text: words of servers, studies and readers are shown as they are, and never taken for markup."""

from __future__ import annotations

import html
from typing import Any

import qt


def plain_label(words: str = "", *, bold: bool = False) -> Any:
    """A label that is made by hand; all of them come from here. It wraps."""
    label = qt.QLabel(words)
    label.setTextFormat(qt.Qt.PlainText)
    label.setWordWrap(True)
    if bold:
        font = qt.QFont(label.font)
        font.setBold(True)
        label.setFont(font)
    return label


def put(label: Any, text: str) -> None:
    """Show a text; a label without one takes no room."""
    label.text = text
    label.visible = bool(text)


def plain_tip(text: str) -> str:
    """A tool tip that shows this text: what looks like markup to Qt is made a text by markup of our own."""
    if "<" not in text and "&" not in text:
        return text
    return f'<p style="white-space: pre-wrap">{html.escape(text)}</p>'
