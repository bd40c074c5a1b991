"""StripMouse: what the mouse and the keys do on the evidence strip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import qt

from ..logic.draft import Range

if TYPE_CHECKING:
    from .evidence_strip import EvidenceStrip

# A hand that clicks moves this much.
_STILL_PX = 3
_WHEEL_NOTCH = 120
_STEPS = {qt.Qt.Key_Right: 1, qt.Qt.Key_Left: -1}
_REMOVES = (qt.Qt.Key_Delete, qt.Qt.Key_Backspace)


@dataclass(frozen=True)
class Drag:
    """What the held mouse does.

    Attributes:
        index: of the range whose edge is drawn; None for a new range, and for a look along the plot.
        fixed_mm: the end of the range that stays; None for a look along the plot.
        start_px: where it began.
    """

    index: int | None
    fixed_mm: float | None
    start_px: float


class StripMouse(qt.QObject):  # type: ignore[misc]
    """Turns events into the strip's signals.

    Args:
        label: that gets the events.
        strip: that tells them on.

    Attributes:
        chosen: the number of the range that Delete removes; None for none.
        pointer_mm: the slice under the mouse; None while it is elsewhere.
    """

    def __init__(self, label: Any, strip: EvidenceStrip) -> None:
        qt.QObject.__init__(self)
        self._label, self._strip = label, strip
        self._drag: Drag | None = None
        self._draft: Range | None = None
        self._turned = 0
        self.chosen: int | None = None
        self.pointer_mm: float | None = None

    @property
    def ranges(self) -> tuple[Range, ...]:
        """Those of the reader, as the held mouse would leave them."""
        profile = self._strip.profile
        ranges = () if profile is None else profile.ranges
        if self._drag is None or self._draft is None:
            return ranges
        if self._drag.index is None:
            return (*ranges, self._draft)
        return tuple(self._draft if i == self._drag.index else each for i, each in enumerate(ranges))

    def forget(self) -> None:
        """Other ranges are shown: what was held is none of them."""
        self._drag = self._draft = self.chosen = None

    def eventFilter(self, _watched: Any, event: Any) -> bool:  # noqa: N802 - Qt's name
        """Hear an event; True where it was meant for the strip."""
        handler = {
            qt.QEvent.MouseButtonPress: self._press,
            qt.QEvent.MouseMove: self._move,
            qt.QEvent.MouseButtonRelease: self._release,
            qt.QEvent.MouseButtonDblClick: self._double_click,
            qt.QEvent.Wheel: self._wheel,
            qt.QEvent.KeyPress: self._key,
            qt.QEvent.Leave: self._leave,
            qt.QEvent.Resize: self._look_changed,
            qt.QEvent.PaletteChange: self._look_changed,
            qt.QEvent.FontChange: self._look_changed,
            qt.QEvent.FocusIn: self._look_changed,
            qt.QEvent.FocusOut: self._look_changed,
        }.get(event.type())
        return handler is not None and self._strip.profile is not None and handler(event)

    def _press(self, event: Any) -> bool:
        scale = self._strip.scale()
        if event.button() != qt.Qt.LeftButton or scale is None:
            return False
        place = _place(event)
        z = scale.axis.snap(scale.z_of(place.x()))
        self._drag, self.chosen = Drag(None, None, place.x()), None
        if scale.in_lane(place.y()) and self._strip.may_mark:
            edge = scale.edge_at(place.x(), self.ranges)
            self.chosen = scale.range_at(place.x(), self.ranges) if edge is None else edge[0]
            if edge is not None:
                index, end = edge
                z = self.ranges[index][end]
                self._drag = Drag(index, self.ranges[index][1 - end], place.x())
            elif self.chosen is None:
                self._drag = Drag(None, z, place.x())
        self._strip.jumped.emit(z)
        self._strip.paint()
        return True

    def _move(self, event: Any) -> bool:
        scale, place = self._strip.scale(), _place(event)
        if scale is None:
            return False
        z = scale.axis.snap(scale.z_of(place.x()))
        self.pointer_mm = z
        held = self._drag is not None and bool(int(event.buttons()) & int(qt.Qt.LeftButton))
        if held and self._drag is not None:
            if self._drag.fixed_mm is not None and abs(place.x() - self._drag.start_px) >= _STILL_PX:
                self._draft = min(self._drag.fixed_mm, z), max(self._drag.fixed_mm, z)
            # The slice views go along: one sees where the edge comes to lie.
            self._strip.jumped.emit(z)
        in_lane = scale.in_lane(place.y())
        over_edge = in_lane and scale.edge_at(place.x(), self.ranges) is not None
        self._label.setCursor(qt.QCursor(qt.Qt.SizeHorCursor if over_edge else qt.Qt.CrossCursor))
        words = self._strip.words_at(z, in_lane=in_lane)
        qt.QToolTip.showText(self._label.mapToGlobal(place), words, self._label)
        self._strip.paint()
        return True

    def _release(self, event: Any) -> bool:
        drag, draft = self._drag, self._draft
        if event.button() != qt.Qt.LeftButton or drag is None:
            return False
        self._drag = self._draft = None
        if draft is not None and drag.index is None:
            self._strip.marked.emit(*draft)
        elif draft is not None:
            self._strip.changed.emit(drag.index, *draft)
        self._strip.paint()
        return True

    def _double_click(self, event: Any) -> bool:
        scale, place = self._strip.scale(), _place(event)
        if scale is None or not scale.in_lane(place.y()) or not self._strip.may_mark:
            return False
        index = scale.range_at(place.x(), self.ranges)
        if index is not None:
            self.forget()
            self._strip.removed.emit(index)
        return True

    def _wheel(self, event: Any) -> bool:
        # Touch pads turn by less than a notch at a time.
        self._turned += event.angleDelta().y()
        steps = int(self._turned / _WHEEL_NOTCH)
        self._turned -= steps * _WHEEL_NOTCH
        if steps:
            self._strip.stepped.emit(steps)
        # Or the panel would scroll away under the mouse.
        return True

    def _key(self, event: Any) -> bool:
        key = event.key()
        if key in _STEPS:
            self._strip.stepped.emit(_STEPS[key])
        elif key in _REMOVES and self.chosen is not None:
            index = self.chosen
            self.forget()
            self._strip.removed.emit(index)
        elif key == qt.Qt.Key_Escape and self._drag is not None:
            self.forget()
            self._strip.paint()
        else:
            return False
        return True

    def _leave(self, _event: Any) -> bool:
        self.pointer_mm = None
        self._strip.paint()
        return False

    def _look_changed(self, _event: Any) -> bool:
        self._strip.paint()
        return False


def _place(event: Any) -> Any:
    """Where the mouse is, in whole pixels: Qt 5 and Qt 6 tell it differently."""
    return event.position().toPoint() if hasattr(event, "position") else event.pos()
