"""EvidenceStrip: the probability along the patient, to look at, to jump with and to mark slices on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import qt

from ..i18n import tr as _
from ..logic.profile import Profile
from ..signal import Signal
from .canvas import clear_pixmap, painter_on, smaller
from .inks import Inks
from .strip_mouse import StripMouse
from .strip_painter import StripPainter, number
from .strip_scale import StripScale

HEIGHT_PX = 190
_LEAST_WIDTH_PX = 200
_SMALLER = 0.9


@dataclass(frozen=True)
class _Look:
    """What the backdrop depends on."""

    profile: Profile
    note: str
    width_px: int
    device_ratio: float
    paper: int
    font: str


class EvidenceStrip:
    """Paints on a label, which is as wide as the panel, and hears its mouse and keys.

    Args:
        label: shows it.

    Attributes:
        jumped: with z: the reader wants to see this slice.
        stepped: with +1 or -1: the next slice to the head or to the feet.
        marked: with low and high (mm): the reader marked these slices.
        changed: with the number of a range, low and high: it was drawn to there.
        removed: with the number of a range.
    """

    def __init__(self, label: Any) -> None:
        self.jumped, self.stepped = Signal(), Signal()
        self.marked, self.changed, self.removed = Signal(), Signal(), Signal()
        self._label = label
        self._profile: Profile | None = None
        self._here: float | None = None
        self._may_mark, self._note = True, ""
        self._backdrop: tuple[_Look, Any] | None = None
        label.setMinimumSize(_LEAST_WIDTH_PX, HEIGHT_PX)
        label.setMaximumHeight(HEIGHT_PX)
        label.setMouseTracking(True)
        label.setFocusPolicy(qt.Qt.StrongFocus)
        label.setAccessibleName(_("Probability along the patient; arrow keys go from slice to slice"))
        self.mouse = StripMouse(label, self)
        label.installEventFilter(self.mouse)

    def close(self) -> None:
        """Hear no more of the mouse."""
        self._label.removeEventFilter(self.mouse)

    @property
    def profile(self) -> Profile | None:
        """What is shown."""
        return self._profile

    @property
    def here(self) -> float | None:
        """Patient z of the slice on screen."""
        return self._here

    @property
    def may_mark(self) -> bool:
        """Whether there is a finding to mark slices of."""
        return self._may_mark

    def show(self, profile: Profile | None, *, may_mark: bool = True, note: str = "") -> None:
        """Show a finding.

        Args:
            profile: what is known of it; None for nothing.
            may_mark: whether slices can be marked.
            note: stands where the curve would be, as long as there is none.
        """
        if profile is None or self._profile is None or profile.ranges != self._profile.ranges:
            self.mouse.forget()
        self._profile, self._may_mark, self._note = profile, may_mark, note
        self.paint()

    def move_to(self, z_mm: float | None) -> None:
        """The slice on screen is this one now; None for none."""
        if z_mm != self._here:
            self._here = z_mm
            self.paint()

    def scale(self) -> StripScale | None:
        """Where things are now; None where nothing is shown."""
        if self._profile is None:
            return None
        metrics = qt.QFontMetrics(self._font())
        left = metrics.height() + metrics.boundingRect("0.5").width() + 8
        width = max(_LEAST_WIDTH_PX, self._label.width)
        return StripScale(width, HEIGHT_PX, metrics.height(), left, self._profile.axis)

    def words_at(self, z_mm: float, *, in_lane: bool = False) -> str:
        """What is at this z, for a tip; ``in_lane`` also what one can do there."""
        if self._profile is None:
            return ""
        axis, curve = self._profile.axis, self._profile.curve
        lines = [
            _("z {z} mm, slice {n} of {of} from the feet").format(
                z=number(axis.snap(z_mm), 1), n=axis.slice_of(z_mm) + 1, of=axis.slices
            )
        ]
        if curve is not None:
            lines.append(_("probability {value:.2f}").format(value=curve.at(z_mm)))
        if in_lane and self._may_mark:
            lines.append(self._what_to_do(z_mm))
        return "\n".join(lines)

    def _what_to_do(self, z_mm: float) -> str:
        """In the lane for marks."""
        half = 0.0 if self._profile is None else self._profile.axis.step_mm / 2
        for low, high in self.mouse.ranges:
            if low - half <= z_mm <= high + half:
                return _("Marked from {low} to {high} mm. Drag an end, or double-click to remove it.").format(
                    low=number(low, 1), high=number(high, 1)
                )
        return _("Drag to mark positive slices.")

    def paint(self) -> None:
        """Paint what changes on a copy of what stays."""
        scale = self.scale()
        if scale is None or self._profile is None:
            self._label.clear()
            return
        pixmap = qt.QPixmap(self._stays(scale, self._profile))
        with painter_on(pixmap, self._font()) as painter:
            strip = StripPainter(painter, scale, Inks.of(self._label.palette))
            hint = _("drag here to mark positive slices") if self._may_mark else ""
            strip.marks(self.mouse.ranges, self.mouse.chosen, hint)
            if self.mouse.pointer_mm is not None:
                strip.pointer(self.mouse.pointer_mm)
            strip.cursor(self._here)
            if self._label.hasFocus():
                strip.focus()
        self._label.setPixmap(pixmap)

    def _stays(self, scale: StripScale, profile: Profile) -> Any:
        """The backdrop, painted anew only where something of it is another."""
        inks = Inks.of(self._label.palette)
        # The reader's ranges are painted on top.
        answer, paper = replace(profile, ranges=()), inks.paper.rgb()
        font, ratio = self._font(), float(self._label.devicePixelRatioF())
        look = _Look(answer, self._note, scale.width_px, ratio, paper, font.toString())
        if self._backdrop is None or self._backdrop[0] != look:
            pixmap = clear_pixmap(self._label, scale.width_px, HEIGHT_PX)
            with painter_on(pixmap, font) as painter:
                StripPainter(painter, scale, inks).backdrop(profile, self._note)
            self._backdrop = look, pixmap
        return self._backdrop[1]

    def _font(self) -> Any:
        return smaller(self._label.font, _SMALLER)
