"""Paints the evidence strip: once what stays, then what moves on top of a copy of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt

from ..i18n import tr as _
from ..logic.curve import Curve
from ..logic.draft import Range
from ..logic.profile import Profile
from .inks import Inks, clear
from .strip_scale import StripScale

_CLIPS_SHOWN_APART = 120


def number(value: float, digits: int = 0) -> str:
    """A coordinate with a minus sign that is as long as a plus sign."""
    return f"{value:.{digits}f}".replace("-", "\u2212")


class StripPainter:
    """Paints one strip on one pixmap.

    Args:
        painter: of the pixmap, with its font.
        scale: where things are.
        inks: the colours.
    """

    def __init__(self, painter: Any, scale: StripScale, inks: Inks) -> None:
        self._painter, self._scale, self._inks = painter, scale, inks

    def backdrop(self, profile: Profile, note: str) -> None:
        """What stays while the reader scrolls and drags: plot, axes, threshold, key slice.

        Args:
            profile: what is shown.
            note: stands where the curve would be.
        """
        scale = self._scale
        frame = qt.QRectF(
            scale.left_px, scale.top_px, scale.right_px - scale.left_px, scale.bottom_px - scale.top_px
        )
        self._painter.fillRect(frame, qt.QBrush(self._inks.paper))
        self._grid()
        if profile.curve is not None:
            self._clips(profile)
            self._curve(profile.curve, profile.threshold)
        else:
            self._words(frame, note, clear(self._inks.ink, 130), qt.Qt.AlignCenter)
        self._outline(frame, 90)
        if profile.threshold is not None:
            self._threshold(profile, profile.threshold)
        if profile.key_slice_mm is not None:
            self._key_slice(profile.key_slice_mm)
        self._axes()
        self._lane()

    def marks(self, ranges: Sequence[Range], chosen: int | None, hint: str) -> None:
        """The reader's ranges, the chosen one with its ends; a hint where there are none."""
        scale = self._scale
        height = scale.lane_bottom_px - scale.lane_top_px
        if not ranges and hint:
            lane = qt.QRectF(scale.left_px, scale.lane_top_px, scale.right_px - scale.left_px, height)
            self._words(lane, hint, clear(self._inks.ink, 150), qt.Qt.AlignCenter)
        for index, each in enumerate(ranges):
            left, right = scale.span_of(each)
            wide = max(3.0, right - left)
            plot = qt.QRectF(left, scale.top_px, wide, scale.bottom_px - scale.top_px)
            self._painter.fillRect(plot, qt.QBrush(clear(self._inks.mark, 34)))
            bar = qt.QRectF(left, scale.lane_top_px + 2, wide, height - 4)
            self._painter.fillRect(bar, qt.QBrush(clear(self._inks.mark, 225 if index == chosen else 150)))
            for x in (left, left + wide):
                self._line(x, scale.lane_top_px, x, scale.lane_bottom_px, self._inks.mark, 2.5)

    def focus(self) -> None:
        """The keys are for the strip: a frame around the plot, as around any field that has them."""
        scale = self._scale
        path = qt.QPainterPath()
        path.addRect(
            qt.QRectF(
                scale.left_px, scale.top_px, scale.right_px - scale.left_px, scale.bottom_px - scale.top_px
            )
        )
        self._painter.strokePath(path, qt.QPen(self._inks.focus, 1.5))

    def pointer(self, z_mm: float) -> None:
        """Where the mouse is."""
        x = self._scale.x_of(z_mm)
        self._line(x, self._scale.top_px, x, self._scale.lane_bottom_px, clear(self._inks.ink, 70), 1.0)

    def cursor(self, z_mm: float | None) -> None:
        """The slice on screen, with its z among the round ones, of which it hides none by half."""
        scale = self._scale
        left, right = (0.0, 0.0) if z_mm is None else self._pill(z_mm)
        soft = clear(self._inks.ink, 190)
        for tick in scale.ticks_mm():
            x, text = scale.x_of(tick), number(tick)
            wide = self._width(text) + 4
            at = min(max(x - wide / 2, 0.0), scale.width_px - wide)
            self._line(x, scale.lane_bottom_px, x, scale.lane_bottom_px + 3, soft, 1.0)
            if at + wide < left or at > right:
                box = qt.QRectF(at, scale.lane_bottom_px + 4, wide, scale.text_px)
                self._words(box, text, soft, qt.Qt.AlignCenter)

    def _pill(self, z_mm: float) -> tuple[float, float]:
        """Paint the line and the number of the slice on screen. Where the number begins and ends."""
        scale = self._scale
        x, text = scale.x_of(z_mm), number(z_mm, 1)
        self._line(x, scale.top_px, x, scale.lane_bottom_px + 3, self._inks.cursor, 2.0)
        wide = self._width(text) + 12
        left = min(max(x - wide / 2, 1.0), scale.width_px - wide - 1.0)
        pill = qt.QRectF(left, scale.lane_bottom_px + 3, wide, scale.text_px + 1)
        path = qt.QPainterPath()
        path.addRoundedRect(pill, 4.0, 4.0)
        self._painter.fillPath(path, qt.QBrush(self._inks.cursor))
        self._words(pill, text, self._inks.paper, qt.Qt.AlignCenter)
        return left, left + wide

    def _grid(self) -> None:
        scale, faint = self._scale, clear(self._inks.ink, 26)
        for probability in (0.25, 0.5, 0.75):
            y = scale.y_of(probability)
            self._line(scale.left_px, y, scale.right_px, y, faint, 1.0)
        for z in scale.ticks_mm():
            x = scale.x_of(z)
            self._line(x, scale.top_px, x, scale.bottom_px, faint, 1.0)

    def _clips(self, profile: Profile) -> None:
        """Each clip as a line over its slices: where lines lie apart, clips disagree."""
        path, (x_of, y_of) = qt.QPainterPath(), self._scale.quick()
        half = profile.axis.step_mm / 2
        for clip in profile.clips:
            y = y_of(clip.probability)
            path.moveTo(x_of(clip.z_mm[0] - half) + 1, y)
            path.lineTo(x_of(clip.z_mm[1] + half) - 1, y)
        alpha = 110 if len(profile.clips) <= _CLIPS_SHOWN_APART else 45
        self._painter.strokePath(path, qt.QPen(clear(self._inks.curve, alpha), 1.0))

    def _curve(self, curve: Curve, threshold: float | None) -> None:
        """The mean of the clips, filled, and more so where it is above the threshold."""
        scale, painter = self._scale, self._painter
        stairs, (x_of, y_of) = curve.stairs(), scale.quick()
        line = qt.QPainterPath()
        line.moveTo(x_of(stairs[0][0]), y_of(stairs[0][2]))
        for low, high, probability in stairs:
            y = y_of(probability)
            line.lineTo(x_of(low), y)
            line.lineTo(x_of(high), y)
        area = qt.QPainterPath(line)
        area.lineTo(x_of(stairs[-1][1]), y_of(0))
        area.lineTo(x_of(stairs[0][0]), y_of(0))
        area.closeSubpath()
        painter.fillPath(area, qt.QBrush(clear(self._inks.curve, 60)))
        if threshold is not None:
            painter.save()
            painter.setClipRect(qt.QRectF(0, 0, scale.width_px, scale.y_of(threshold)))
            painter.fillPath(area, qt.QBrush(clear(self._inks.curve, 110)))
            painter.restore()
        painter.strokePath(line, qt.QPen(self._inks.curve, 2.0))

    def _threshold(self, profile: Profile, threshold: float) -> None:
        scale = self._scale
        y = scale.y_of(threshold)
        pen = qt.QPen(clear(self._inks.ink, 190), 1.2)
        pen.setStyle(qt.Qt.DashLine)
        self._painter.setPen(pen)
        self._painter.drawLine(qt.QPointF(scale.left_px, y), qt.QPointF(scale.right_px, y))
        text = _("threshold {value:.2f}").format(value=threshold)
        wide = self._width(text) + 8
        left = self._free_side(profile, wide)
        above = y - scale.text_px - 2 > scale.top_px
        box = qt.QRectF(left, y - scale.text_px - 2 if above else y + 2, wide, scale.text_px)
        self._painter.fillRect(box, qt.QBrush(clear(self._inks.paper, 190)))
        self._words(box, text, self._inks.ink, qt.Qt.AlignCenter)

    def _free_side(self, profile: Profile, wide: float) -> float:
        """The left end of a label: on the side where it hides less of the curve."""
        scale = self._scale
        left, right = scale.left_px + 4.0, scale.right_px - wide - 4.0
        if profile.curve is None:
            return right
        heights = [
            max(profile.curve.at(scale.z_of(x + share * wide)) for share in (0.0, 0.25, 0.5, 0.75, 1.0))
            for x in (left, right)
        ]
        return left if heights[0] < heights[1] else right

    def _key_slice(self, z_mm: float) -> None:
        scale = self._scale
        x = scale.x_of(z_mm)
        faint = qt.QPen(clear(self._inks.ink, 130), 1.0)
        faint.setStyle(qt.Qt.DotLine)
        self._painter.setPen(faint)
        self._painter.drawLine(qt.QPointF(x, scale.top_px), qt.QPointF(x, scale.bottom_px))
        triangle = qt.QPainterPath()
        triangle.moveTo(x - 5, scale.top_px - 8)
        triangle.lineTo(x + 5, scale.top_px - 8)
        triangle.lineTo(x, scale.top_px)
        triangle.closeSubpath()
        self._painter.fillPath(triangle, qt.QBrush(self._inks.ink))
        text = _("key slice {z} mm").format(z=number(z_mm, 1))
        wide = self._width(text) + 4
        left = x + 9 if x + 9 + wide <= scale.width_px else x - 9 - wide
        box = qt.QRectF(left, scale.top_px - scale.text_px - 2, wide, scale.text_px)
        self._words(box, text, self._inks.ink, qt.Qt.AlignLeft | qt.Qt.AlignVCenter)

    def _axes(self) -> None:
        """What the axes are, and their numbers but for those of z, which the cursor's may cover."""
        scale, painter, soft = self._scale, self._painter, clear(self._inks.ink, 190)
        for probability in (0.0, 0.5, 1.0):
            y = scale.y_of(probability)
            box = qt.QRectF(0, y - scale.text_px / 2, scale.left_px - 5, scale.text_px)
            text = f"{probability:.1f}" if probability == 0.5 else f"{probability:.0f}"
            self._words(box, text, soft, qt.Qt.AlignRight | qt.Qt.AlignVCenter)
        painter.save()
        painter.translate(0.0, float(scale.bottom_px))
        painter.rotate(-90)
        along = qt.QRectF(0, 0, scale.bottom_px - scale.top_px, scale.text_px)
        self._words(along, _("probability"), soft, qt.Qt.AlignCenter)
        painter.restore()
        under = scale.lane_bottom_px + 4 + scale.text_px
        line = qt.QRectF(scale.left_px, under, scale.right_px - scale.left_px, scale.text_px)
        self._words(line, _("◂ feet"), soft, qt.Qt.AlignLeft | qt.Qt.AlignVCenter)
        self._words(line, _("patient z (mm)"), soft, qt.Qt.AlignCenter)
        self._words(line, _("head ▸"), soft, qt.Qt.AlignRight | qt.Qt.AlignVCenter)

    def _lane(self) -> None:
        scale = self._scale
        lane = qt.QRectF(
            scale.left_px,
            scale.lane_top_px,
            scale.right_px - scale.left_px,
            scale.lane_bottom_px - scale.lane_top_px,
        )
        self._painter.fillRect(lane, qt.QBrush(clear(self._inks.ink, 16)))
        self._outline(lane, 60)

    def _width(self, text: str) -> int:
        return int(self._painter.fontMetrics().boundingRect(text).width())

    def _outline(self, box: Any, alpha: int) -> None:
        path = qt.QPainterPath()
        path.addRect(box)
        self._painter.strokePath(path, qt.QPen(clear(self._inks.ink, alpha), 1.0))

    def _line(self, x1: float, y1: float, x2: float, y2: float, colour: Any, wide: float) -> None:
        self._painter.setPen(qt.QPen(colour, wide))
        self._painter.drawLine(qt.QPointF(x1, y1), qt.QPointF(x2, y2))

    def _words(self, box: Any, text: str, colour: Any, where: Any) -> None:
        self._painter.setPen(qt.QPen(colour))
        self._painter.drawText(box, int(where), text)
