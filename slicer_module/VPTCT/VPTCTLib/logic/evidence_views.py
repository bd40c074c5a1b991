"""EvidenceViews: what of the evidence is drawn in Slicer's own views, as the reader wishes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..scene.marks import keep_only_ranges, show_ranges
from ..scene.plot_view import hide_other_charts, leave_plot_layout, show_chart
from ..signal import Signal
from .draft import Range

if TYPE_CHECKING:
    from .evidence import Evidence

Colour = tuple[float, float, float]

# As on the strip.
_MARK_COLOUR: Colour = (0.0, 0.6, 0.53)
_FOUND_COLOUR: Colour = (0.2, 0.55, 0.9)
# Boxes of the network are told from those of the reader by this in their names.
_BY_NETWORK = "{finding} (network)"


class EvidenceViews:
    """Boxes around the slices of the chosen finding, and the curve in a plot view.

    Args:
        evidence: that is drawn.

    Attributes:
        changed: any of these.
        shows_marks: the slices that the reader marked.
        shows_found: those where clips reach the threshold.
        shows_plot: the curves of all findings, in Slicer's plot view, while there is an answer.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self.changed = Signal()
        self.shows_marks, self.shows_found, self.shows_plot = True, False, False
        self._drawn: dict[str, tuple[Any, tuple[Range, ...]]] = {}
        self._chart: Any = None
        self._scene: Any = None
        evidence.changed.connect(self._draw)
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
        self.changed.emit()

    def _draw(self) -> None:
        volume, wanted = self._evidence.volume, self._wanted()
        if volume is not None:
            self._scene = volume.GetScene()
        if self._scene is not None:
            # Also those that a saved scene brought: in this volume they are somewhere else.
            keep_only_ranges(self._scene, volume, tuple(wanted))
        self._drawn = {name: drawn for name, drawn in self._drawn.items() if name in wanted}
        for name, (ranges, colour) in wanted.items():
            if self._drawn.get(name) != (volume, ranges):
                show_ranges(volume, name, ranges, colour=colour)
                self._drawn[name] = volume, ranges
        self._draw_plot()

    def _wanted(self) -> dict[str, tuple[tuple[Range, ...], Colour]]:
        """Ranges and colour of the boxes, by what they are called."""
        finding, profile = self._evidence.finding, self._evidence.profile
        wanted: dict[str, tuple[tuple[Range, ...], Colour]] = {}
        if profile is not None and finding and self.shows_marks:
            wanted[finding] = profile.ranges, _MARK_COLOUR
        if profile is not None and finding and self.shows_found:
            wanted[_BY_NETWORK.format(finding=finding)] = profile.found, _FOUND_COLOUR
        return wanted

    def _draw_plot(self) -> None:
        """Once per answer, so that who chooses another chart keeps it; none of another volume stays.

        Without an answer there is nothing to plot, and the slice views have the room.
        """
        kept, volume = self._evidence.kept, self._evidence.volume
        chart = None if kept is None else kept.nodes.chart
        if volume is not None:
            hide_other_charts(volume.GetScene(), chart)
        wanted = chart if self.shows_plot else None
        if wanted is not None and wanted is not self._chart:
            show_chart(wanted)
        elif wanted is None and self._chart is not None and self._scene is not None:
            leave_plot_layout(self._scene)
        self._chart = wanted
