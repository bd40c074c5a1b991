"""Canvas: pixmaps to paint on, as sharp as the screen is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import qt


def clear_pixmap(label: Any, width_px: int, height_px: int) -> Any:
    """A pixmap with nothing on it.

    Args:
        label: that is to show it, on whichever screen.
        width_px, height_px: in pixels of the panel, of which each may be several of the screen.
    """
    ratio = float(label.devicePixelRatioF())
    pixmap = qt.QPixmap(round(width_px * ratio), round(height_px * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(qt.QColor(0, 0, 0, 0))
    return pixmap


@contextmanager
def painter_on(pixmap: Any, font: Any = None) -> Iterator[Any]:
    """A painter, which ends with the block: a pixmap that is still painted on cannot be shown."""
    painter = qt.QPainter(pixmap)
    painter.setRenderHint(qt.QPainter.Antialiasing, True)
    if font is not None:
        painter.setFont(font)
    try:
        yield painter
    finally:
        painter.end()


def smaller(font: Any, share: float) -> Any:
    """A copy of a font; one whose size is in pixels stays as it is."""
    made = qt.QFont(font)
    if made.pointSizeF() > 0:
        made.setPointSizeF(made.pointSizeF() * share)
    return made
