"""ProbabilityBar: a probability from 0 to 1 as a bar, with the threshold marked on it."""

from __future__ import annotations

from typing import Any

import qt

from .canvas import clear_pixmap, painter_on
from .inks import Inks, clear

_HEIGHT_PX = 18
_NOTCH_PX = 5
_CORNER_PX = 3.0


class ProbabilityBar(qt.QObject):  # type: ignore[misc]
    """Paints on a label, as wide as it is.

    Args:
        label: shows it.
        probability: its length.
        threshold: where the mark is; None for none.
    """

    def __init__(self, label: Any, probability: float, threshold: float | None) -> None:
        qt.QObject.__init__(self)
        self._label, self._probability, self._threshold = label, probability, threshold
        label.setMinimumSize(60, _HEIGHT_PX)
        label.setMaximumHeight(_HEIGHT_PX)
        label.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Fixed)
        label.installEventFilter(self)

    def eventFilter(self, _watched: Any, event: Any) -> bool:  # noqa: N802 - Qt's name
        """Paint anew when the label is made wider, or the panel dark."""
        if event.type() in (qt.QEvent.Resize, qt.QEvent.PaletteChange):
            self.paint()
        return False

    def paint(self) -> None:
        """Paint it."""
        width = max(60, self._label.width)
        pixmap = clear_pixmap(self._label, width, _HEIGHT_PX)
        with painter_on(pixmap) as painter:
            self._draw(painter, width, Inks.of(self._label.palette))
        self._label.setPixmap(pixmap)

    def _draw(self, painter: Any, width: int, inks: Inks) -> None:
        track = qt.QPainterPath()
        box = qt.QRectF(0.5, _NOTCH_PX + 0.5, width - 1, _HEIGHT_PX - _NOTCH_PX - 2)
        track.addRoundedRect(box, _CORNER_PX, _CORNER_PX)
        painter.fillPath(track, qt.QBrush(inks.paper))
        painter.save()
        painter.setClipPath(track)
        filled = qt.QRectF(box.x(), box.y(), box.width() * self._probability, box.height())
        painter.fillRect(filled, qt.QBrush(clear(inks.curve, 190)))
        painter.restore()
        painter.strokePath(track, qt.QPen(clear(inks.ink, 90), 1.0))
        if self._threshold is not None:
            self._notch(painter, box.x() + box.width() * self._threshold, inks)

    def _notch(self, painter: Any, x: float, inks: Inks) -> None:
        """A line across the bar with a triangle on top: no colour is needed to see it."""
        painter.setPen(qt.QPen(inks.ink, 1.6))
        painter.drawLine(qt.QPointF(x, _NOTCH_PX), qt.QPointF(x, _HEIGHT_PX - 1))
        triangle = qt.QPainterPath()
        triangle.moveTo(x - _NOTCH_PX, 0)
        triangle.lineTo(x + _NOTCH_PX, 0)
        triangle.lineTo(x, _NOTCH_PX + 1)
        triangle.closeSubpath()
        painter.fillPath(triangle, qt.QBrush(inks.ink))
