"""``slicer.i18n``: English stays English, but the application is asked where there is one, as in Slicer."""

from __future__ import annotations

import slicer


def tr(text: str) -> str:
    """The text in the reader's language."""
    return translate("", text)


def translate(context: str, text: str) -> str:
    """The text of a context in the reader's language."""
    return slicer.app.translate(context, text) if hasattr(slicer, "app") else text
