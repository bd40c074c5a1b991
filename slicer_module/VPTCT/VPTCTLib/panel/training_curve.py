"""Draws how a training goes: the validation AUROC and the loss, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt

from ..i18n import tr as _
from ..logic.trainings import CurvePoint
from .canvas import clear_pixmap, painter_on, smaller
from .inks import Inks, clear

HEIGHT = 120
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 40, 8, 34
_LEAST_WIDTH_PX = 280
_SMALLER = 0.9


def draw_curve(points: Sequence[CurvePoint], label: Any) -> Any:
    """A picture of a training.

    Args:
        points: in their order; several folds follow each other.
        label: that is to show it: the picture is as wide, as sharp, and as light or dark.
    """
    width = max(_LEAST_WIDTH_PX, label.width)
    pixmap = clear_pixmap(label, width, HEIGHT)
    with painter_on(pixmap, smaller(label.font, _SMALLER)) as painter:
        _Picture(painter, points, width, Inks.of(label.palette)).draw()
    return pixmap


class _Picture:
    """One drawing: what all its parts need."""

    def __init__(self, painter: Any, points: Sequence[CurvePoint], width: int, inks: Inks) -> None:
        self._painter, self._points = painter, points
        self._inks, self._faint = inks, clear(inks.ink, 60)
        self._left, self._right = _LEFT, width - _RIGHT
        self._top, self._bottom = _TOP, HEIGHT - _BOTTOM
        losses = [each.loss for each in points if each.loss is not None]
        self._most_loss = max(losses, default=0.0) or 1.0

    def draw(self) -> None:
        self._axes()
        self._line([each.auroc for each in self._points], 1.0, self._inks.curve, dashed=False)
        self._line([each.loss for each in self._points], self._most_loss, self._inks.cursor, dashed=True)
        self._legend()

    def _x(self, index: int) -> int:
        steps = max(1, len(self._points) - 1)
        return round(self._left + (self._right - self._left) * index / steps)

    def _y(self, share: float) -> int:
        return round(self._bottom - (self._bottom - self._top) * min(max(share, 0.0), 1.0))

    def _axes(self) -> None:
        for share in (0.0, 0.5, 1.0):
            self._painter.setPen(qt.QPen(self._faint, 1))
            self._painter.drawLine(self._left, self._y(share), self._right, self._y(share))
            self._painter.setPen(qt.QPen(self._inks.ink, 1))
            self._text(0, self._y(share) - 7, _LEFT - 5, f"{share:.1f}", qt.Qt.AlignRight)
            self._text(self._right + 5, self._y(share) - 7, _RIGHT - 5, f"{share * self._most_loss:.2f}")
        last = self._points[-1].epoch if self._points else 0
        first = self._points[0].epoch if self._points else 0
        self._text(self._left - 20, self._bottom + 2, 40, str(first or ""), qt.Qt.AlignHCenter)
        middle = (self._left + self._right) // 2
        self._text(middle - 40, self._bottom + 2, 80, _("epoch"), qt.Qt.AlignHCenter)
        if len(self._points) > 1:
            self._text(self._right - 20, self._bottom + 2, 40, str(last), qt.Qt.AlignHCenter)

    def _line(self, values: Sequence[float | None], most: float, colour: Any, *, dashed: bool) -> None:
        pen = qt.QPen(colour, 2)
        if dashed:
            pen.setStyle(qt.Qt.DashLine)
        self._painter.setPen(pen)
        known = [
            (self._x(index), self._y(value / most)) for index, value in enumerate(values) if value is not None
        ]
        for (x1, y1), (x2, y2) in zip(known, known[1:]):
            self._painter.drawLine(x1, y1, x2, y2)
        for x, y in known:
            self._painter.drawEllipse(x - 2, y - 2, 4, 4)

    def _legend(self) -> None:
        y, end = HEIGHT - 16, self._right + _RIGHT
        # Words as long as these are not cut in the narrowest panel.
        split = self._left + (end - self._left) * 3 // 5
        self._painter.setPen(qt.QPen(self._inks.curve, 1))
        self._text(self._left, y, split - self._left, _("● validation AUROC (left)"), qt.Qt.AlignLeft)
        self._painter.setPen(qt.QPen(self._inks.cursor, 1))
        self._text(split, y, end - split, _("┄ loss (right)"), qt.Qt.AlignRight)

    def _text(self, x: int, y: int, width: int, text: str, side: Any = None) -> None:
        side = qt.Qt.AlignLeft if side is None else side
        self._painter.drawText(qt.QRect(x, y, width, 14), side | qt.Qt.AlignVCenter, text)
