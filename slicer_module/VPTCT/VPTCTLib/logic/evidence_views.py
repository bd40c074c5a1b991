"""EvidenceViews: what of the evidence is drawn in Slicer's own views, as the reader wishes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer

from ..scene.marks import clear_ranges, remove_ranges_of_missing_volumes, show_ranges
from ..scene.plot_view import leave_plot_layout, show_chart
from ..signal import Signal
from .profile import Range

if TYPE_CHECKING:
    from .evidence import Evidence
    from .study_on_screen import StudyOnScreen

# As on the strip.
_MARK_COLOUR = (0.0, 0.6, 0.53)
_FOUND_COLOUR = (0.2, 0.55, 0.9)
# Boxes of the network are told from those of the reader by this in their names.
_BY_NETWORK = "{finding} (network)"


class EvidenceViews:
    """Boxes around the slices of the chosen finding, and the curve in a plot view.

    Args:
        evidence: that is drawn.
        study: whose volume it is drawn on.

    Attributes:
        changed: any of these.
        shows_marks: the slices that the reader marked.
        shows_found: those where clips reach the threshold.
        shows_plot: the curves of all findings, in Slicer's plot view.
    """

    def __init__(self, evidence: Evidence, study: StudyOnScreen) -> None:
        self._evidence = evidence
        self.changed = Signal()
        self.shows_marks, self.shows_found, self.shows_plot = True, False, False
        self._drawn: dict[str, tuple[Any, tuple[Range, ...]]] = {}
        self._chart: Any = None
        evidence.changed.connect(self._draw)
        study.watch.went.connect(self._on_volume_went)
        self._draw()

    def show_marks(self, wanted: bool) -> None:
        """Draw a box around the slices that the reader marked."""
        self.shows_marks = wanted
        self._draw()
        self.changed.emit()

    def show_found(self, wanted: bool) -> None:
        """Draw a box around the slices where clips reach the threshold."""
        self.shows_found = wanted
        self._draw()
        self.changed.emit()

    def show_plot(self, wanted: bool) -> None:
        """Show the curves in Slicer's plot view; without, the layout is as it was before."""
        self.shows_plot = wanted
        self._draw_plot()
        if not wanted and self._evidence.volume is not None:
            leave_plot_layout(self._evidence.volume.GetScene())
        self.changed.emit()

    def _draw(self) -> None:
        finding, profile = self._evidence.finding, self._evidence.profile
        wanted: dict[str, tuple[tuple[Range, ...], tuple[float, float, float]]] = {}
        if profile is not None and finding and self.shows_marks:
            wanted[finding] = profile.ranges, _MARK_COLOUR
        if profile is not None and finding and self.shows_found:
            wanted[_BY_NETWORK.format(finding=finding)] = profile.found, _FOUND_COLOUR
        self._clear_others(wanted)
        volume = self._evidence.volume
        for name, (ranges, colour) in wanted.items():
            if self._drawn.get(name, (None, ())) != (volume, ranges):
                show_ranges(volume, name, ranges, colour=colour)
                self._drawn[name] = volume, ranges
        self._draw_plot()

    def _clear_others(self, wanted: Any) -> None:
        for name, (volume, _ranges) in list(self._drawn.items()):
            if name not in wanted or volume is not self._evidence.volume:
                del self._drawn[name]
                if volume.GetScene() is not None:
                    clear_ranges(volume, name)

    def _draw_plot(self) -> None:
        """Once per answer, so that a reader who chooses another chart keeps it."""
        kept = self._evidence.kept
        chart = kept.nodes.chart if self.shows_plot and kept is not None else None
        if chart is not None and chart is not self._chart:
            show_chart(chart)
        self._chart = chart

    def _on_volume_went(self, _volume_id: str) -> None:
        remove_ranges_of_missing_volumes(slicer.mrmlScene)
